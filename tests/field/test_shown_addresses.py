"""An address is shown by a list of what is harmless, never by a list of what is secret.

It holds wherever an address is shown, logged or told in an error: a camera's status, a rule, a log, a crash report, an
index, a mirror, a proxy, a database, an engine.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from core.api_schema import CameraRequest, Channel, ChannelKind, Role, UserRequest
from core.api_schema.sources import normalised_source
from core.cli import crash_log
from core.cli.app import run
from core.errors import InputError, XaivaError
from core.findings import Finding, Level
from core.inference.cameras.source_address import parse_source, redact_for_viewers
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.log_setup import RedactingFormatter
from core.inference.notifications.channel_addresses import shown_address
from core.redaction import host_of, redact_address, redact_text
from core.site import Site
from tests.api.serving import Running, served

SECRET = "tlJwpbo6"
CAMERAS = {
    # what was reported → what an administrator sees
    "login": ("rtsp://admin:tlJwpbo6@10.0.0.7:554/stream1", "rtsp://***@10.0.0.7:554/stream1"),
    "name-alone": ("rtsp://tlJwpbo6@10.0.0.7/stream1", "rtsp://***@10.0.0.7/stream1"),
    "in-the-path": (
        "rtsp://host/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp",
        "rtsp://host/user=***_password=***_channel=1_stream=0.sdp",
    ),
    "in-the-path-with-&": ("rtsp://host/live&user=a&pwd=tlJwpbo6", "rtsp://host/live&user=***&pwd=***"),
    "in-the-path-with-;": ("rtsp://host/live;pwd=tlJwpbo6", "rtsp://host/live;pwd=***"),
    "path-of-words": ("rtsp://host/user/admin/password/tlJwpbo6/ch1", "rtsp://host/user/***/password/***/ch1"),
    "path-of-login": ("rtsp://host/admin:tlJwpbo6/ch1", "rtsp://host/***/ch1"),
    "path-of-token": ("https://host/hls/tlJwpbo6aB3dE5fG7h/index.m3u8", "https://host/hls/***/index.m3u8"),
    "query": ("rtsp://host/cam?u=admin&p=tlJwpbo6&channel=2", "rtsp://host/cam?u=***&p=***&channel=2"),
    "query-nobody-knows": ("http://host/video?sid=tlJwpbo6", "http://host/video?sid=***"),
    "query-bare": ("http://host/video?tlJwpbo6", "http://host/video?***"),
    "query-harmless-name": ("http://host/v?channel=tlJwpbo6aB3dE5f", "http://host/v?channel=***"),
    "query-harmless": (
        "rtsp://host/cam/realmonitor?channel=1&subtype=0&resolution=1920x1080&fps=15&codec=h264",
        "rtsp://host/cam/realmonitor?channel=1&subtype=0&resolution=1920x1080&fps=15&codec=h264",
    ),
    "fragment": ("http://host/video#tlJwpbo6", "http://host/video#***"),
    "upper-case": ("RTSP://Admin:tlJwpbo6@HOST/Streaming/Channels/101", "RTSP://***@HOST/Streaming/Channels/101"),
    "ipv6": ("rtsp://admin:tlJwpbo6@[2001:db8::1]:554/x", "rtsp://***@[2001:db8::1]:554/x"),
    "percent-encoded": ("rtsp://admin:tlJwpbo6%40%2F@host/x", "rtsp://***@host/x"),
    "multicast": ("udp://@239.0.0.1:5000", "udp://@239.0.0.1:5000"),
}
# Most of these are refused: they are shown in errors alone.
BROKEN = {
    "hash": "rtsp://admin:p#tlJwpbo6@10.0.0.7/x",
    "slash": "rtsp://admin:p/tlJwpbo6@10.0.0.7/x",
    "slash-after-digits": "rtsp://admin:12/tlJwpbo6@10.0.0.7/x",
    "question-mark": "rtsp://admin:p?tlJwpbo6@10.0.0.7/x",
    "two-at": "rtsp://admin:p@tlJwpbo6@10.0.0.7/x",
    "blank": "rtsp://admin:p tlJwpbo6@10.0.0.7/x",
    "quote": 'rtsp://admin:p"tlJwpbo6@10.0.0.7/x',
    "port": "rtsp://admin:tlJwpbo6/x",
    "login-percent-encoded": "rtsp://admin%3AtlJwpbo6%4010.0.0.7/x",
    "no-scheme": "admin:tlJwpbo6@10.0.0.7/x",
    "no-scheme-and-slash": "admin:p/tlJwpbo6@10.0.0.7/x",
    "no-such-scheme": "cam://tlJwpbo6",
}
ELSEWHERE = {
    "slack": ("https://hooks.slack.com/services/T0000/B0000/tlJwpbo6", "https://hooks.slack.com/***"),
    "discord": ("https://discord.com/api/webhooks/12345/tlJwpbo6", "https://discord.com/***"),
    "telegram": ("https://api.telegram.org/bot12:tlJwpbo6/sendMessage", "https://api.telegram.org/***"),
    "ntfy": ("https://ntfy.sh/tlJwpbo6", "https://ntfy.sh/***"),
    "ntfy-at-home": ("https://push.example/tlJwpbo6-aB3dE5fG7h", "https://push.example/***"),
    "apprise": ("tgram://123456:tlJwpbo6/12345", "tgram://***"),
    "index": ("https://__token__:tlJwpbo6@index.example/simple/", "https://***@index.example/simple/"),
    "mirror": ("https://tlJwpbo6@mirror.example/files/", "https://***@mirror.example/files/"),
    "signed": ("https://files.example/a.whl?X-Sig=tlJwpbo6", "https://files.example/a.whl?X-Sig=***"),
    "proxy": ("http://user:tlJwpbo6@proxy.example:3128", "http://***@proxy.example:3128"),
    "database": ("postgresql+psycopg://x:tlJwpbo6@10.0.0.5/xaiva", "postgresql+psycopg://***@10.0.0.5/xaiva"),
    "mail": ("smtp://user:tlJwpbo6@10.0.0.6:587", "smtp://***@10.0.0.6:587"),
    "engine": ("tcp://user:tlJwpbo6@engine:2375", "tcp://***@engine:2375"),
    "engine-over-ssh": ("ssh://carol@engine", "ssh://carol@engine"),
    "git": ("git+https://tlJwpbo6@git.example/x/y.git", "git+https://***@git.example/x/y.git"),
    "git-with-ref": ("git+https://a:tlJwpbo6@git.example/x/y.git@v1.0", "git+https://***@git.example/x/y.git@v1.0"),
    "wheel": (
        "https://files.example/torch-2.8.0+cu128-cp311-cp311-manylinux_2_28_x86_64.whl",
        "https://files.example/torch-2.8.0+cu128-cp311-cp311-manylinux_2_28_x86_64.whl",
    ),
}
TEXTS = {
    "json": ('{"source": "rtsp://a:tlJwpbo6@h/x", "id": "y"}', '{"source": "rtsp://***@h/x", "id": "y"}'),
    "json-escaped": ('{"source":"rtsp:\\/\\/a:tlJwpbo6@h\\/x"}', '{"source":"rtsp:\\/\\/***@h\\/x"}'),
    "in-a-query": ("GET /test?url=rtsp%3A%2F%2Fa%3AtlJwpbo6%40h%2Fx HTTP/1.1", "GET /test?url=*** HTTP/1.1"),
    "in-a-body": ("url=rtsp%3A%2F%2Fa%3AtlJwpbo6%40h%2Fx", "url=rtsp%3A%2F%2F***"),
    "in-a-body-twice-encoded": ("url=rtsp%253A%252F%252Fa%253AtlJwpbo6%2540h", "url=rtsp%3A%2F%2F***"),
    "access-log": ('"GET /x?u=admin&p=tlJwpbo6&channel=2 HTTP/1.1"', '"GET /x?u=***&p=***&channel=2 HTTP/1.1"'),
    "access-log-harmless": ("GET /events?limit=50&camera=gate 200", "GET /events?limit=50&camera=gate 200"),
    "lines": ("one rtsp://a:tlJwpbo6@h/x\ntwo rtsp://b:tlJwpbo6@i/x", "one rtsp://***@h/x\ntwo rtsp://***@i/x"),
    "list": ("http://a:tlJwpbo6@h/x,http://b:tlJwpbo6@i/y", "http://***@i/y"),
    "sentence": ("see (https://a:tlJwpbo6@h/x), or ask.", "see (https://***@h/x), or ask."),
    "password": ("host=h user=u password='a tlJwpbo6'", "host=h user=u password='***'"),
    "password-after-$": ("password=$tlJwpbo6", "password=***"),
    "password-after-*": ("--password *tlJwpbo6", "--password ***"),
    "password-in-brackets": ("password=[tlJwpbo6]", "password=***"),
    "password-after-a-word": ("password=none-tlJwpbo6", "password=***"),
    "password-with-signs": ("token=a,tlJwpbo6;b, user=u", "token=***, user=u"),
    "password-with-a-quote": (r"password='it\'s tlJwpbo6'", "password='***'"),
    "password-of-yaml": ('PASSWORD: "tlJwpbo6"', 'PASSWORD: "***"'),
    "password-of-bytes": ("{'password': b'tlJwpbo6'}", "{'password': ***'}"),
    "password-by-arrow": ("password => tlJwpbo6", "password => ***"),
    "password-of-odbc": ("Server=h;Uid=a;Pwd=tlJwpbo6;", "Server=h;Uid=a;Pwd=***;"),
    "password-of-xml": ("<a:Password Type='x'>tlJwpbo6</a:Password>", "<a:Password Type='x'>***</a:Password>"),
    "option": ("pull --password tlJwpbo6 --all", "pull --password *** --all"),
    "curl": ("curl -u admin:tlJwpbo6 http://h/x", "curl -u *** http://h/x"),
    "curl-in-quotes": ('curl -u "admin:tl Jwpbo6" h', 'curl -u "***" h'),
    "curl-with-=": ("curl --user=admin:tlJwpbo6 h", "curl --user=*** h"),
    "option-in-quotes": ("login --password 'tlJwpbo6'", "login --password '***'"),
    "header-with-quotes": ('Authorization: Digest username="a", response="tlJwpbo6"', "Authorization: ***"),
    "header-as-a-value": ("authorization=Bearer tlJwpbo6", "authorization=***"),
    "header": ("Authorization: Basic tlJwpbo6", "Authorization: ***"),
    "yaml": ("name: x\n  password: tlJwpbo6\n", "name: x\n  password: ***\n"),
    "json-without": ('{"password": null, "tokens": []}', '{"password": null, "tokens": []}'),
    "image": ("python:3.11@sha256:abcdef at 10:31:22", "python:3.11@sha256:abcdef at 10:31:22"),
    "mail": ("Mail address ops@example.org", "Mail address ops@example.org"),
}
HARMLESS = [  # as it is written
    "Reply-To:ops@example.org",
    "[10:30:00]bob@example.org",
    r"D:\clips\gate@2.mp4",
    "C:/Users/me/x@2.png",
    "npm:@scope/pkg@1.2.3 and pkg:pypi/six@1.16.0",
    "h264:1920x1080@25",
    "Started unit:getty@tty1.service",
    "prompt_tokens=12 completion_tokens=50 tokens_per_second=12.5",
    '{"tokens": 12, "password": false}',
    "token: invalid",
    "  password: wrong",
    "webhook=on",
    "api-key: unset",
    "HTTP 401: token=missing",
    "--token is required, use --password to give one",
    "--password FILE",
    "set XAIVA_SERVICE_TOKEN=... in .env",
    "webhook:https://host/path secret=VARIABLE",
    "PASSWORD=${PASSWORD}",
    "WHERE id = :id AND token = :token",
    "pass=12 fail=0",
    "pwd=/srv/site",
    "Basic authentication, Bearer authentication",
    "Authorization: Bearer TOKEN",
    "cache-key: python-3.11-linux",
    "docker run -u 1000:1000 --user 1000:1000 image",
    "udp://host:port, udp://@group:port or tcp://host:port",
    "write tcp://host:port or ssh://[user@]host[:port]",
    "tgram://…, ntfy://…",
    "file:///srv/a/b@c",
    "docker-image://docker.io/library/python:3.11@sha256:abcdef",
    "git+https://git.example/x/y.git@v1.2.3#egg=y",
    "git+https://git.example/IDEA-Research/GroundingDINO.git@856dde20aee659246248e20734ef9ba5214f5e44",
    "git+https://git.example/Ascend/FSDPTurbo@d878dff#subdirectory=python/x&egg=x",
    "https://registry.example/v2/x/blobs/sha256:abcdef",
    "https://files.example/libgcc-s1_12.3.0-1ubuntu1~22.04_amd64.deb",
    "https://files.example/v8.3.0/yolo11n.onnx",
    "rtsp://10.0.0.7/h264Preview_01_main",
    "https://docs.example/topics/#dealing-with-dependency-conflicts",
]


def rows(table: dict[str, tuple[str, str]]) -> list[object]:
    return [pytest.param(*row, id=name) for name, row in table.items()]


@pytest.mark.parametrize(("url", "expected"), rows(CAMERAS))
def test_a_camera_is_shown_without_its_secrets(url: str, expected: str) -> None:
    source = parse_source(url)
    assert source.url == normalised_source(url)
    assert source.redacted == redact_address(source.url)
    assert redact_address(url) == expected
    assert expected in redact_text(f"cannot open '{url}': gone")
    assert redact_for_viewers(source.redacted) == redact_for_viewers(source.url)
    assert redact_for_viewers(url).partition("://")[2].lower() == source.host.join(
        "[]" if ":" in source.host else ("", "")
    )


@pytest.mark.parametrize(("source", "expected"), [("/dev/video0", "device"), ("/data/hall.mp4", "file")])
def test_viewers_see_the_kind_of_what_has_no_host(source: str, expected: str) -> None:
    assert redact_for_viewers(parse_source(source).redacted) == expected


@pytest.mark.parametrize("url", [pytest.param(url, id=name) for name, url in BROKEN.items()])
def test_an_address_that_is_badly_written_is_repeated_nowhere(
    url: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        shown = parse_source(url).redacted
    except InputError as error:
        shown = str(error)
    for words in (("camera", "test", url), ("camera", "show", url), ("camera", "add", "x", "y", url), ("camera", url)):
        assert run(["--site", str(site.root), *words]) != 0
    printed = capsys.readouterr()
    report = crash_log.write_crash_log(RuntimeError(url), ["camera", "test", url, "--site", str(site.root)])
    assert report is not None
    places = (shown, printed.out, printed.err, report.read_text(), redact_address(url), host_of(url))
    for place in (*places, redact_text(f"cannot open {url} (gone)"), redact_text(json.dumps({"source": url}))):
        assert SECRET not in place


@pytest.mark.parametrize(("url", "expected"), rows(ELSEWHERE))
def test_any_other_address_is_shown_without_its_secrets(url: str, expected: str) -> None:
    assert redact_address(url) == expected
    error = XaivaError(f"Fetch of {url}", f"{url} is gone")
    assert (error.what, error.why) == (f"Fetch of {expected}", f"{expected} is gone")
    finding = Finding(level=Level.NOTE, code="x", what=url, why=url, where=url)
    record = logging.LogRecord("httpx", logging.INFO, "x", 1, "HTTP Request: POST %s", (url,), None)
    assert SECRET not in finding.model_dump_json() + str(error) + RedactingFormatter("%(message)s").format(record)


@pytest.mark.parametrize(("value", "expected"), rows(TEXTS))
def test_a_text_is_shown_without_the_secrets_in_it(value: str, expected: str) -> None:
    assert redact_text(value) == expected


@pytest.mark.parametrize("value", HARMLESS)
def test_a_text_without_a_secret_stays_as_it_is(value: str) -> None:
    assert redact_text(value) == value


def test_an_address_without_an_end_is_not_read() -> None:
    assert redact_text("rtsp://10.0.0.7" + "/x" * 500_000) == "rtsp://***"


@pytest.mark.parametrize("name", ["slack", "discord", "telegram", "ntfy", "ntfy-at-home"])
def test_a_webhook_is_shown_without_its_token(name: str) -> None:
    url, expected = ELSEWHERE[name]
    assert shown_address(Channel(kind=ChannelKind.WEBHOOK, to=url)) == expected


def test_a_database_that_is_not_there_is_told_without_its_login() -> None:
    with pytest.raises(DatabaseError) as refused:
        Database(f"postgresql://xaiva:{SECRET}@127.0.0.1:1/xaiva?application_name={SECRET}")
    assert "***@127.0.0.1:1/xaiva" in str(refused.value)
    assert SECRET not in str(refused.value)


# -- who sees how much -------------------------------------------------------------------------------------------------

SOURCE = f"rtsp://admin:{SECRET}@127.0.0.1:9/user=a_password={SECRET}_channel=1?k={SECRET}"
WHOLE = "rtsp://***@127.0.0.1:9/user=***_password=***_channel=1?k=***"
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with one camera, and somebody of each role."""
    folder: Path = tmp_path_factory.mktemp("service")
    with served(folder) as service:
        service.service.add_camera(CameraRequest(id="gate", source=SOURCE, timeout=1))
        for role in Role:
            request = UserRequest(name=role.value, password=SecretStr(PASSWORD), role=role)
            service.service.auth.users.add(request)
        yield service


@pytest.fixture(scope="module")
def tokens(running: Running) -> dict[Role, str]:
    """An access token of each role."""
    return {role: running.client("").login(role.value, PASSWORD).access for role in Role}


@pytest.mark.parametrize("path", ["/cameras", "/cameras/gate", "/status", "/status/stream"])
@pytest.mark.parametrize(
    ("role", "expected"),
    [(Role.VIEWER, "rtsp://127.0.0.1"), (Role.OPERATOR, WHOLE), (Role.ADMIN, WHOLE)],
    ids=[role.value for role in Role],
)
def test_each_role_sees_of_an_address_what_it_needs(
    running: Running, tokens: dict[Role, str], path: str, role: Role, expected: str
) -> None:
    with httpx.stream("GET", running.url + path, headers={"Authorization": f"Bearer {tokens[role]}"}) as answer:
        source_line = next(line for line in answer.iter_lines() if "source" in line)
    assert f'"source":"{expected}"' in source_line
    assert SECRET not in source_line
