"""Webhooks and Apprise over real HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.api_schema import Channel, ChannelKind
from core.errors import InputError, XaivaError
from core.inference import http_post
from core.inference.http_post import Unreachable, post
from core.inference.notifications.channels import ChannelSender
from core.inference.notifications.mail import DeliveryRefused
from core.inference.notifications.message import Message
from core.inference.notifications.signature import sign
from core.inference.settings import ServiceSettings
from tests.notifications.conftest import event, mail, webhook
from tests.support.receivers import Answer, HttpReceiver, certificate


@pytest.fixture
def sender(tmp_path: Path) -> ChannelSender:
    return ChannelSender(ServiceSettings(data=tmp_path, zone="Europe/Berlin"))


def message(channel: Channel, count: int = 1) -> Message:
    newest = event()
    return Message("key-1", "ops", channel, newest, count, newest.started, (newest.id,))


def documented_check() -> Callable[[bytes, str, bytes], bool]:
    """How a receiver checks a signature, as docs/notifications.md shows it."""
    text = (Path(__file__).parent.parent.parent / "docs/notifications.md").read_text()
    names: dict[str, Any] = {}
    exec(text.partition("```python\n")[2].partition("```")[0], names)
    check: Callable[[bytes, str, bytes], bool] = names["genuine"]
    return check


def test_a_webhook_is_signed_and_says_the_event(sender: ChannelSender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "the key")
    with HttpReceiver() as receiver:
        sent = message(webhook(f"{receiver.url}/in", "HOOK_SECRET"), count=3)
        sender.send(sent)
        sender.send(sent)
    first, second = receiver.received
    genuine = documented_check()
    assert genuine(b"the key", first.headers["x-xaiva-signature"], first.body)
    assert not genuine(b"another key", first.headers["x-xaiva-signature"], first.body)
    assert not genuine(b"the key", first.headers["x-xaiva-signature"], first.body + b" ")
    assert not genuine(b"the key", sign("the key", first.body, int(time.time()) - 3600), first.body)
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] == "key-1"
    assert first.body == second.body
    payload = first.json
    assert (payload["count"], payload["rule"], payload["event"]["id"]) == (3, "ops", sent.event.id)


def test_a_missing_secret_is_told_and_nothing_is_sent_unsigned(sender: ChannelSender) -> None:
    with HttpReceiver() as receiver:
        with pytest.raises(XaivaError, match="NO_SUCH_SECRET"):
            sender.send(message(webhook(receiver.url, "NO_SUCH_SECRET")))
        assert receiver.received == []


@pytest.mark.parametrize(("status", "hopeless"), [(400, True), (410, True), (404, False), (429, False), (503, False)])
def test_what_is_worth_another_try(sender: ChannelSender, status: int, hopeless: bool) -> None:
    with HttpReceiver(lambda _: Answer(status)) as receiver:
        with pytest.raises(XaivaError, match=str(status)) as error:
            sender.send(message(webhook(f"http://u:hunter2@127.0.0.1:{receiver.port}/in?key=hunter2")))
        assert isinstance(error.value, DeliveryRefused) is hopeless
        assert "hunter2" not in str(error.value)


def test_redirects_are_not_followed(sender: ChannelSender) -> None:
    with HttpReceiver() as inner, HttpReceiver(lambda _: Answer(307, headers={"Location": inner.url})) as outer:
        with pytest.raises(XaivaError, match="redirects"):
            sender.send(message(webhook(outer.url)))
        assert inner.received == []


def test_a_name_that_leads_to_a_forbidden_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    address_infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: address_infos)
    with pytest.raises(InputError, match=r"169\.254\.169\.254"):
        post("http://metadata.internal/", b"", {}, 2, "Webhook")


def test_a_server_that_drips_or_says_nothing_is_left_in_time() -> None:
    with HttpReceiver(lambda _: Answer(body=b"x" * 500, drip=0.1)) as dripping:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="no answer"):
            post(dripping.url, b"{}", {}, 0.5, "Webhook")
        assert time.monotonic() - began < 10  # not the 50 s it would drip
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable, match="no answer"):
        post(f"http://127.0.0.1:{silent.getsockname()[1]}", b"{}", {}, 0.3, "Webhook")
    with pytest.raises(Unreachable, match="nothing listens"):
        post(dripping.url, b"{}", {}, 2, "Webhook")


def test_a_name_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(30) and [])
    began = time.monotonic()
    with pytest.raises(Unreachable, match="no answer"):
        post("http://somewhere.internal/", b"", {}, 0.3, "Webhook")
    assert time.monotonic() - began < 15  # not the 30 s of the name server
    release.set()


def test_https_with_the_site_s_own_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = certificate(tmp_path)
    http_post._trusted_certificates.cache_clear()
    with HttpReceiver(tls=tls) as receiver:
        with pytest.raises(Unreachable, match="certificate is not trusted"):
            post(receiver.url, b"{}", {}, 5, "Webhook")
        http_post._trusted_certificates.cache_clear()
        monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
        assert post(receiver.url, b"{}", {}, 5, "Webhook").is_success
    http_post._trusted_certificates.cache_clear()


def test_an_endless_answer_is_cut_off() -> None:
    with HttpReceiver(lambda _: Answer(body=b"x" * (8 << 20))) as receiver:
        assert len(post(receiver.url, b"{}", {}, 10, "Webhook").body) == http_post.ANSWER_LIMIT


def test_apprise_takes_the_rest(sender: ChannelSender) -> None:
    with HttpReceiver() as receiver:
        sender.send(message(Channel(kind=ChannelKind.APPRISE, to=f"json://127.0.0.1:{receiver.port}/x"), count=2))
        (received,) = receiver.received
        assert received.json["title"] == "gate: person ×2, priority normal"
        assert "Began:" in received.json["message"]
        receiver.answer = lambda _: Answer(500)
        with pytest.raises(XaivaError, match="500"):
            sender.send(message(Channel(kind=ChannelKind.APPRISE, to=f"json://127.0.0.1:{receiver.port}/x")))


def test_an_unsafe_apprise_url_of_an_older_database_is_not_used(sender: ChannelSender) -> None:
    with pytest.raises(InputError, match="own machine"):
        sender.send(message(Channel(kind=ChannelKind.APPRISE, to="syslog://")))


def test_without_a_mail_server_it_is_said(sender: ChannelSender) -> None:
    with pytest.raises(XaivaError, match="no mail server is set"):
        sender.send(message(mail("ops@example.org")))


def test_texts_are_in_the_zone_and_on_one_line_where_they_must_be() -> None:
    one = event().model_copy(update={"camera_name": "Gate\nBcc: all@example.org"})
    message = Message("key", "ops", mail("a@b"), one, count=1)
    assert "\n" not in message.subject()
    assert message.text(ZoneInfo("Asia/Tokyo")).count("JST") == 1
    assert json.loads(message.payload())["event"]["camera"] == "gate"


def test_a_message_about_an_inspection_names_the_part() -> None:
    one = event("inspection", "defect").model_copy(update={"product": "plate A", "note": "part lot 9"})
    lines = Message("key", "ops", mail("a@b"), one).text(ZoneInfo("UTC")).splitlines()
    assert lines[1:3] == ["Product:  plate A", "Note:     part lot 9"]
