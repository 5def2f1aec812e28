"""An address as people paste it is taken for a missing file, or for a name that no server knows.

Applies to host names that cannot be looked up, and to the addresses of cameras at every door: API, console, command
line, start options and files.
"""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import httpx
import pytest

from core.api_schema import CameraRequest
from core.api_schema.sources import normalised_source
from core.cli.camera_options import camera_options, camera_request
from core.errors import InputError
from core.inference.cameras import name_lookup
from core.inference.cameras.source_address import parse_source
from core.inference.startup_cameras import cameras_from_environment, parse_camera_entries, read_camera_file
from tests.support.streams import try_connection

pytestmark = pytest.mark.camera


NO_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


LOOKED_UP = {  # what the resolver answers: what is said
    "unknown": (NO_NAME, name_lookup.UNKNOWN_HOST),
    "temporary": (
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        name_lookup.NO_NAME_SERVER_ANSWER,
    ),
    "failed": (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"), name_lookup.NO_NAME_SERVER_ANSWER),
    "impossible": (UnicodeError("label empty or too long"), name_lookup.INVALID_HOST),
}


@pytest.mark.parametrize("scheme", ["rtsp", "http", "https", "udp", "tcp"])
@pytest.mark.parametrize("answer", LOOKED_UP)
def test_an_unknown_name_is_not_a_name_server_that_is_silent(
    answer: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, words = LOOKED_UP[answer]

    def look_up(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", look_up)  # a name server of its own needs a network
    result = try_connection(f"{scheme}://camera.site:5000{'/1' if scheme in ('rtsp', 'http') else ''}")
    assert (result.cause, result.reason) == ("unreachable", words)


def test_a_name_server_that_hangs_is_said_after_the_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30))
    assert try_connection("rtsp://camera.site/1", timeout=1).reason == name_lookup.NO_NAME_SERVER_ANSWER
    over.set()


ADDRESSES = {  # what is given: what it is taken for
    " rtsp://h/1": "rtsp://h/1",
    "rtsp://h/1\n": "rtsp://h/1",
    "\u00a0rtsp://h/1\u200b": "rtsp://h/1",
    "RTSP://Host/Path": "rtsp://Host/Path",
    "Https://h/Video.ts": "https://h/Video.ts",
    '"rtsp://h/1"': "rtsp://h/1",
    "' rtsp://h/1 '": "rtsp://h/1",
    "“rtsp://h/1”": "rtsp://h/1",
    "<rtsp://h/1>": "rtsp://h/1",
    "rtsp:\\\\h\\live\\1": "rtsp://h/live/1",
    "rtsp://192.168\u200b.1.5/1": "rtsp://192.168.1.5/1",
    "rtsp://h/1?channel=1&amp;subtype=0": "rtsp://h/1?channel=1&subtype=0",
    "rtsp://h/?url=rtsp://x/1": "rtsp://h/?url=rtsp://x/1",
    "rtsp://ü.example/1": "rtsp://ü.example/1",
    "12:30:45.ts": "12:30:45.ts",
    "./0": "./0",
    "a.local.mp4": "a.local.mp4",
    "http://h/my camera/1": "http://h/my%20camera/1",
    "rtsp://u:p@ss@h/1": "rtsp://u:p%40ss@h/1",
    "rtsp://u:p/s?s#@h:554/1": "rtsp://u:p%2Fs%3Fs%23@h:554/1",
    "rtsp://u:50%@h/1": "rtsp://u:50%25@h/1",
    "rtsp://u:p%40ss@h/1": "rtsp://u:p%40ss@h/1",
    "rtsp://u:two words@h/1": "rtsp://u:two%20words@h/1",
    "rtsp://***@h/1": "rtsp://***@h/1",
    "rtsp://[::1]:554/1": "rtsp://[::1]:554/1",
    "rtsp://2001:db8::5/1": "rtsp://[2001:db8::5]/1",
    "rtsp://u:p@::1/1": "rtsp://u:p@[::1]/1",
    "rtsp://2001:db8:1:2:3:4:5:6:554/1": "rtsp://[2001:db8:1:2:3:4:5:6]:554/1",
    "file:///media/my%20clip.mp4": "/media/my clip.mp4",
    "FILE://localhost/media/a.mp4": "/media/a.mp4",
    "file:///media/a#1?.mp4": "/media/a#1?.mp4",
    "file:///~/a.mp4": "~/a.mp4",
    "/media/a%20b.mp4": "/media/a%20b.mp4",
    "/dev/video0\n": "/dev/video0",
}


@pytest.mark.parametrize("given", ADDRESSES, ids=range(len(ADDRESSES)))
def test_an_address_is_what_was_meant_at_every_door(given: str, tmp_path: Path) -> None:
    expected = ADDRESSES[given]
    body = {"id": "a", "source": given}
    file = tmp_path / "cameras.json"
    file.write_text(httpx.Request("POST", "http://x", json={"cameras": [body]}).content.decode())
    options = dict.fromkeys(param.name for param in camera_options(lambda: None).__click_params__)  # type: ignore[attr-defined]
    doors = {
        "API and console": CameraRequest.model_validate(body).source,
        "command line": camera_request(options, id="a", source=given).source,
        "start": parse_camera_entries([f"a={given}"], "--camera")[0].source,
        "file": read_camera_file(file)[0].source,
    }
    assert doors == dict.fromkeys(doors, expected)
    assert normalised_source(expected) == expected
    assert parse_source(given) == parse_source(expected) if "*" not in given else True


def test_quotes_that_an_engine_keeps_in_an_env_file_belong_to_no_camera() -> None:
    for text in ('"a=rtsp://h/1 b=RTSP://h/2"', "a=rtsp://h/1\n b='RTSP://h/2'\n"):
        cameras = cameras_from_environment({"XAIVA_CAMERAS": text})
        assert [(camera.id, camera.source) for camera in cameras] == [("a", "rtsp://h/1"), ("b", "rtsp://h/2")]


REFUSED = {  # what cannot be known for certain: what is said
    "192.168.1.5:554/stream": "has no scheme",
    "192.168.1.5/stream": "has no scheme",
    "admin:hidden@192.168.1.5:554/stream": "has no scheme",
    "camera.local:554/stream": "has no scheme",
    "[::1]:554/1": "has no scheme",
    "//192.168.1.5/stream": "has no scheme",
    "2001:db8::5": "has no scheme",
    "fe80::1%eth0/1": "has no scheme",
    "camera.local/stream": "has no scheme",
    "rtsp//192.168.1.5/1": "has no :// after its scheme",
    "rtsp:/192.168.1.5/1": "has no :// after its scheme",
    "rtsp:h/1": "has no :// after its scheme",
    "rtsp: //h/1": "has no :// after its scheme",
    "rtsp;//h/1": "has no :// after its scheme",
    "rtsp:\\h\\1": "has no :// after its scheme",
    "rtsp:／／h/1": "has no :// after its scheme",
    "(rtsp://u:hidden@h/1)": "there is text before the address",
    '"rtsp://u:hidden@h/1': "there is text before the address",
    "- rtsp://u:hidden@h/1": "there is text before the address",
    "ffplay -i rtsp://u:hidden@h/1": "there is text before the address",
    "URL: http://h/1": "there is text before the address",
    "rtspsrc location=rtsp://u:hidden@h/1": "there is text before the address",
    "rtsp :// h/1": "there is text before the address, or its scheme contains special characters",
    "ｒｔｓｐ：//h/1": "its scheme contains special characters",
    "rtsp://h/1 rtsp://u:hidden@h/2": "contains two addresses",
    "rtsp://192,168,1,5/1": "a character that host names cannot have",
    "rtsp://<ip>:554/1": "a character that host names cannot have",
    "rtsp://{ip}/1": "a character that host names cannot have",
    "rtsp://$CAMERA/1": "a character that host names cannot have",
    "rtsp://h:0/1": "port is 0",
    "udp://@:5000": "has no host",
    "0": "the device is given without its full path",
    "video0": "the device is given without its full path",
    "dev/video0": "the device is given without its full path",
    "C:\\videos\\a.mp4": "a Windows path",
    "\\\\nas\\videos\\a.mp4": "a Windows path",
    "file:///C:/videos/a.mp4": "a Windows path",
    "file://nas/a.mp4": "names another host",
    "rtsp://2001:db8::5:554/1": "where the IPv6 address ends",
    "rtsp://h\nx/1": "a control character",
    "rtsp://10.0.0.5/hidden@1": "has an @ after its host",
    "rtmp://h/1": "rtmp: is not supported",
    "rtsp://h:99999/1": "host or port of the URL is invalid",
    "rtsp://": "has no host",
}


@pytest.mark.parametrize("source", REFUSED, ids=range(len(REFUSED)))
def test_an_address_that_may_mean_two_things_is_refused_at_the_door(source: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_source(CameraRequest(id="a", source=source).source)
    assert REFUSED[source] in raised.value.why
    assert raised.value.remedy
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("source", ["", "  ", "\n", '""'])
def test_an_empty_address_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="source"):
        CameraRequest(id="a", source=source)
