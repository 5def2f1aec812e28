"""A guard in one's own client, not in the library beside it: what Apprise, smtplib or libav open goes past it.

It applies wherever the service speaks to another machine: webhooks of rules and flows, Apprise, mail, the analyser and
cameras. Each goes only to an address that was checked, and nowhere that an answer leads.
"""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from core.api_schema import CameraRequest, Channel, ChannelKind
from core.errors import InputError, XaivaError
from core.inference.address_guard import check_host, connect_guarded
from core.inference.cameras.connection_test import run_connection_test
from core.inference.flows.flow import WebhookStep
from core.inference.flows.runner import _call_webhook
from core.inference.http_post import check_url, post
from core.inference.models.analysis.language_model import Prompt
from core.inference.models.analysis.openai_model import OpenAiModel
from core.inference.notifications import apprise_process
from core.inference.notifications.channel_addresses import check_channel
from core.inference.notifications.channels import ChannelSender
from core.inference.notifications.mail import parse_server, send_mail
from core.inference.notifications.message import Message
from core.inference.settings import ServiceSettings
from tests.notifications.conftest import event
from tests.support.receivers import Answer, HttpReceiver, MailReceiver

METADATA = "169.254.169.254"

# -- how an address may be written ---

FORBIDDEN = (
    METADATA,
    "169.254.0.1",
    "2852039166",  # one number
    "0xA9FEA9FE",
    "0xa9.0xfe.0xa9.0xfe",
    "025177524776",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
    "0xa9.254.0251.254",
    "169.254.169.254.",  # with the dot that ends a whole name
    "\uff11\uff16\uff19.254.169.254",  # digits of full width
    "169\u3002254\u3002169\u3002254",  # full stops of another script
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",  # NAT64
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",  # 6to4
    "fd00::5efe:a9fe:a9fe",  # ISATAP
    "::ffff:0:169.254.169.254",  # translated by SIIT
    "fd00:ec2::254",  # metadata of clouds that do not keep to link-local addresses
    "100.100.100.200",
    "168.63.129.16",
    "fe80::1",
    "fe80::1%eth0",
    "fe80::1%25eth0",
    "[fe80::1]",
    "0.0.0.0",
    "0",
    "0x0",
    "0.0.0.1",
    "::",
    "::ffff:0.0.0.0",
    "224.0.0.1",
    "239.255.255.250",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
)
ALLOWED = (
    "127.0.0.1",
    "2130706433",
    "0x7f.1",
    "localhost",
    "::1",
    "10.0.0.7",
    "172.16.3.4",
    "192.168.1.20",
    "100.64.0.1",
    "fd12:3456::7",
    "::ffff:192.168.1.20",
    "64:ff9b::c0a8:114",
    "2001:db8::1",
    "mail.site.example",
    "xn--bcher-kva.example",
    "1.example",
    "dead.beef",
)


@pytest.mark.parametrize("host", FORBIDDEN, ids=ascii)
def test_an_address_that_is_nobodys_service_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises(InputError, match="not the address of a service"):
        check_host(host, "Webhook")


@pytest.mark.parametrize("host", ALLOWED)
def test_addresses_of_a_site_are_allowed(host: str) -> None:
    check_host(host, "Webhook")


# -- each way out: a number for a link-local address ---

CHECKED: dict[str, Callable[[], object]] = {
    "webhook": lambda: check_channel(Channel(kind=ChannelKind.WEBHOOK, to="http://2852039166/latest")),
    "webhook, IPv6": lambda: check_channel(Channel(kind=ChannelKind.WEBHOOK, to="http://[::ffff:a9fe:a9fe]/latest")),
    "apprise": lambda: check_channel(Channel(kind=ChannelKind.APPRISE, to="json://2852039166/latest")),
    "apprise, hexadecimal": lambda: check_channel(Channel(kind=ChannelKind.APPRISE, to="form://0xA9FEA9FE/latest")),
    "mail": lambda: parse_server("smtp://169.254.43518:25"),
    "analyser": lambda: OpenAiModel("http://0xA9FEA9FE/v1", "m"),
    "flow": lambda: check_url("http://0251.0376.0251.0376/x", "Flow"),
}


@pytest.mark.parametrize("use", CHECKED.values(), ids=CHECKED.keys())
def test_every_way_out_refuses_it_when_it_is_set(use: Callable[[], object]) -> None:
    with pytest.raises(InputError, match="not the address of a service"):
        use()


# -- names: what they lead to is checked, and then used ---


def answer_with(*hosts: str) -> Callable[..., list[Any]]:
    """A name server that gives another answer each time, the last one for good."""
    answers = list(hosts)

    def found(_host: object, port: object, *_: object, **__: object) -> list[Any]:
        address = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))]

    return found


def mail_to(host: str, port: int) -> None:
    send_mail(parse_server(f"smtp://{host}:{port}?tls=none"), "a@b.example", "c@d.example", "s", "t", "key")


BY_NAME: dict[str, Callable[[str, int], object]] = {
    "webhook": lambda host, port: post(f"http://{host}:{port}/", b"{}", {}, 5, "Webhook"),
    "mail": mail_to,
    "mail, TLS": lambda host, port: send_mail(parse_server(f"smtps://{host}:{port}"), "a@b", "c@d", "s", "t", "key"),
    "any socket": lambda host, port: connect_guarded(host, port, 5, "Webhook"),
}


@pytest.mark.parametrize("use", BY_NAME.values(), ids=BY_NAME.keys())
def test_a_name_that_leads_there_is_refused(use: Callable[[str, int], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answer_with(METADATA))
    with pytest.raises(InputError, match=METADATA.replace(".", r"\.")):
        use("rebound.example", 9)


def test_a_name_that_leads_there_the_second_time_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpReceiver() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", answer_with("127.0.0.1", METADATA))
        assert post(f"http://rebound.example:{receiver.port}/in", b"{}", {}, 5, "Webhook").is_success
        (received,) = receiver.received
        assert received.headers["host"] == f"rebound.example:{receiver.port}"


def test_mail_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with MailReceiver() as receiver:
        monkeypatch.setattr(socket, "getaddrinfo", answer_with("127.0.0.1", METADATA))
        mail_to("rebound.example", receiver.port)
        receiver.wait(1)


# -- the process of Apprise: no library gets past the guard ---

GUARDED = """
import socket, sys
answers = sys.argv[1].split(",")
socket.getaddrinfo = lambda host, port, *_, **__: [(2, 1, 6, "", (answers.pop(0), port))]
from core.inference.address_guard import guard_process
refusals = []
guard_process(refusals)
try:
    {call}
except OSError as error:
    pass
print(refusals)
"""
CALLS: dict[str, str] = {
    "create_connection": "socket.create_connection(('name', 80), 5)",
    "connect by name": "socket.socket().connect(('name', 80))",
    "connect by number": "socket.socket().connect(('2852039166', 80))",
    "connect_ex": "socket.socket().connect_ex(('name', 80))",
    "a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('name', 514))",
    "a datagram with flags": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', 0, ('name', 514))",
    "urllib": "__import__('urllib.request').request.urlopen('http://name/', timeout=5)",
    "http.client": "__import__('http.client').client.HTTPConnection('name', timeout=5).request('GET', '/')",
    "requests": "__import__('requests').get('http://name/', timeout=5)",
    "smtplib": "__import__('smtplib').SMTP('name', 25, timeout=5)",
    "asyncio": "__import__('asyncio').run(__import__('asyncio').open_connection('169.254.169.254', 80))",
    "another thread": "t = __import__('threading').Thread(target=socket.create_connection, args=(('name', 80), 5));"
    " t.start(); t.join()",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_no_library_reaches_a_forbidden_address_in_a_guarded_process(call: str) -> None:
    answers = ",".join(["169.254.169.254"] * 4)
    done = subprocess.run(
        [sys.executable, "-c", GUARDED.format(call=call), answers], capture_output=True, text=True, timeout=60
    )
    assert "169.254.169.254 is not the address of a service" in done.stdout, done.stderr


def test_a_guarded_process_does_not_speak_to_its_own_machine_over_a_path(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        call = f"socket.socket(socket.AF_UNIX).connect({str(tmp_path / 's')!r})"
        done = subprocess.run([sys.executable, "-c", GUARDED.format(call=call), ""], capture_output=True, text=True)
    assert "the service's own machine" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "url", ["json://169.254.43518/x", "xml://0xA9FEA9FE/x", "mailto://u:p@d.example?smtp=2852039166"]
)
def test_apprise_does_not_reach_a_link_local_address(url: str) -> None:
    with pytest.raises(XaivaError, match="not the address of a service"):
        apprise_process.send(url, "title", "text", "json://***")


# -- redirects ---


def prompt() -> Prompt:
    return Prompt(system="s", text="t", schema={}, max_tokens=10)


def by_webhook(url: str) -> None:
    post(url, b"{}", {}, 10, "Webhook")


def by_flow(url: str) -> None:
    _call_webhook(WebhookStep.model_validate({"kind": "webhook", "url": url}), "step", event())


def by_analyser(url: str) -> None:
    OpenAiModel(url, "m").complete(prompt(), 10)


def by_apprise(schema: str, path: str) -> Callable[[str], None]:
    def send(url: str) -> None:
        apprise_process.send(url.replace("http://", f"{schema}://") + path, "title", "text", f"{schema}://***")

    return send


WAYS: dict[str, Callable[[str], None]] = {
    "webhook": by_webhook,
    "flow": by_flow,
    "analyser": by_analyser,
    "apprise json": by_apprise("json", "/x"),
    "apprise json that asks for redirects": by_apprise("json", "/x?redirect=yes"),
    "apprise xml": by_apprise("xml", "/x?redirect=yes"),
    "apprise form": by_apprise("form", "/x?redirect=yes"),
    "apprise gotify": by_apprise("gotify", "/token?redirect=yes"),
    "apprise ntfy": by_apprise("ntfy", "/topic?redirect=yes"),
    "apprise apprise": by_apprise("apprise", "/abc123?redirect=yes"),
    "apprise mmost": by_apprise("mmost", "/3ccdd113474722377935511fc85d3dd4?redirect=yes"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_redirect_is_a_cause_of_its_own_and_is_not_followed(way: Callable[[str], None]) -> None:
    with HttpReceiver() as inner:
        leads = Answer(307, headers={"Location": inner.url + "/inner"})  # the one that keeps a POST a POST
        with HttpReceiver(lambda _: leads) as outer:
            with pytest.raises(XaivaError, match="status 307: redirects are not followed"):
                way(outer.url)
            assert len(outer.received) == 1
        assert inner.received == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["http://169.254.169.254/latest", "//2852039166/x", "/elsewhere"], ids=str)
def test_no_status_and_no_form_of_a_redirect_is_followed(status: int, location: str) -> None:
    with HttpReceiver(lambda _: Answer(status, headers={"Location": location})) as receiver:
        with pytest.raises(XaivaError, match=f"status {status}: redirects are not followed"):
            by_webhook(receiver.url)
        assert len(receiver.received) == 1


# -- proxies of the environment ---


@pytest.mark.parametrize(
    "way", [by_webhook, by_analyser, by_apprise("json", "/x")], ids=["webhook", "analyser", "apprise"]
)
def test_a_proxy_of_the_environment_is_not_used(way: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    chat = json.dumps({"choices": [{"message": {"content": "{}"}}]}).encode()
    with HttpReceiver() as proxy, HttpReceiver(lambda _: Answer(body=chat)) as receiver:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        way(receiver.url)
        assert (len(receiver.received), len(proxy.received)) == (1, 0)


# -- cameras ---


@pytest.fixture
def web_camera() -> Iterator[tuple[str, list[str]]]:
    """Its address, and the paths that it was asked for. `/leads` redirects to `/video` of the same port."""
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_response(302 if self.path.startswith("/leads") else 404)
            self.send_header("Location", "/video")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, ExitStack() as stack:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        stack.callback(server.shutdown)
        yield f"http://127.0.0.1:{server.server_port}", requests


def test_a_web_camera_that_redirects_is_not_followed(web_camera: tuple[str, list[str]]) -> None:
    url, requests = web_camera
    tried = run_connection_test(CameraRequest(id="new", source=f"{url.replace('://', '://u:p@')}/leads", timeout=5))
    assert (tried.cause, tried.reason) == (
        "redirect",
        "it answers with status 302 and redirects to /video: redirects are not followed",
    )
    assert set(requests) == {"/leads"}


def test_a_web_camera_is_not_reached_over_a_proxy(
    web_camera: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, requests = web_camera
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    assert run_connection_test(CameraRequest(id="new", source=f"{url}/video", timeout=5)).cause == "not_found"
    assert requests == ["/video"]


@pytest.mark.parametrize("host", [METADATA, "2852039166", "0xA9FEA9FE", "[::ffff:a9fe:a9fe]", "0.0.0.0"])
def test_a_web_camera_at_an_address_that_is_nobodys_is_refused(host: str) -> None:
    tried = run_connection_test(CameraRequest(id="new", source=f"http://{host}/video", timeout=2))
    assert tried.cause == "unreachable"
    assert "not the address of a service" in tried.reason


def test_what_waits_in_an_older_database_is_checked_again(tmp_path: Path) -> None:
    waiting = event()
    channel = Channel(kind=ChannelKind.APPRISE, to="json://2852039166/x")
    with pytest.raises(InputError, match="not the address of a service"):
        ChannelSender(ServiceSettings(data=tmp_path)).send(
            Message("key", "ops", channel, waiting, 1, waiting.started, (waiting.id,))
        )
