"""Mail over real servers: plain, with STARTTLS, with TLS, with a login, and what they refuse."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from core.errors import InputError, XaivaError
from core.inference.notifications import mail as mail_module
from core.inference.notifications.mail import DeliveryRefused, MailServer, parse_server, send_mail
from tests.support.receivers import MailReceiver, certificate

LOGIN = ("xaiva", "pass word@1")


def send(url: str, to: str = "ops@example.org", text: str = "a line") -> None:
    send_mail(parse_server(url), "xaiva@site", to, "Gate: person (high)", text, "key-1")


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Path, Path]:
    return certificate(tmp_path)


@pytest.fixture
def trusted(tls: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))


def test_a_mail_says_who_what_and_when_and_keeps_its_id() -> None:
    with MailReceiver() as server:
        for _ in range(2):
            send(f"smtp://127.0.0.1:{server.port}", text="Straße → Tor 3")
    first, second = server.mails
    assert (first["From"], first["To"], first["Subject"]) == ("xaiva@site", "ops@example.org", "Gate: person (high)")
    assert first["Message-ID"] == second["Message-ID"] == "<key-1@xaiva>"
    assert first["Date"]
    payload = first.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().strip() == "Straße → Tor 3"


class RudeReceiver(MailReceiver):
    """Takes mails, and refuses to part in peace."""

    async def handle_QUIT(self, *_: object) -> str:
        return "554 not like this"


def test_a_mail_that_was_taken_counts_however_the_server_says_goodbye() -> None:
    with RudeReceiver() as server:
        send(f"smtp://127.0.0.1:{server.port}")
    assert len(server.mails) == 1


def test_starttls_is_used_when_it_is_offered_and_with_a_login_required(tls: tuple[Path, Path], trusted: None) -> None:
    with MailReceiver(tls=tls) as offering:
        send(f"smtp://127.0.0.1:{offering.port}")
        send(f"smtp://127.0.0.1:{offering.port}?tls=none")
    assert offering.encrypted == [True, False]
    with MailReceiver(tls=tls, login=LOGIN) as server:
        send(f"smtp://xaiva:pass%20word%401@127.0.0.1:{server.port}")
    assert server.encrypted == [True]


def test_tls_from_the_first_byte(tls: tuple[Path, Path], trusted: None) -> None:
    with MailReceiver(tls=tls, implicit=True, login=LOGIN) as server:
        send(f"smtps://xaiva:pass%20word%401@127.0.0.1:{server.port}")
    assert len(server.mails) == 1


def test_a_password_is_not_sent_in_the_clear(caplog: pytest.LogCaptureFixture) -> None:
    with MailReceiver() as server:
        for url in (f"smtp://xaiva:pw@127.0.0.1:{server.port}", f"smtp://127.0.0.1:{server.port}?tls=required"):
            with pytest.raises(XaivaError, match="no encryption"):
                send(url)
    assert server.mails == []


def test_a_certificate_nobody_trusts_is_told(tls: tuple[Path, Path]) -> None:
    with MailReceiver(tls=tls) as server, pytest.raises(XaivaError, match="not trusted") as error:
        send(f"smtp://127.0.0.1:{server.port}?tls=required")
    assert "SSL_CERT_FILE" in error.value.remedy
    assert server.mails == []


def test_a_refused_login_is_tried_again_and_holds_no_password(tls: tuple[Path, Path], trusted: None) -> None:
    with MailReceiver(tls=tls, login=LOGIN) as server, pytest.raises(XaivaError, match="refuses the login") as error:
        send(f"smtp://xaiva:not-the-one@127.0.0.1:{server.port}")
    assert not isinstance(error.value, DeliveryRefused)
    assert "not-the-one" not in str(error.value)


def test_a_recipient_refused_for_good_and_one_for_now() -> None:
    refuse = {"gone@example.org": "550 no such user", "grey@example.org": "451 later"}
    with MailReceiver(refuse=refuse) as server:
        with pytest.raises(DeliveryRefused, match="550 no such user"):
            send(f"smtp://127.0.0.1:{server.port}", "gone@example.org")
        with pytest.raises(XaivaError, match="451 later") as error:
            send(f"smtp://127.0.0.1:{server.port}", "grey@example.org")
    assert not isinstance(error.value, DeliveryRefused)


def test_a_server_that_is_not_there_or_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_module, "ANSWER_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(XaivaError, match="no answer"):
            send(f"smtp://127.0.0.1:{port}")
    with pytest.raises(XaivaError, match="nothing listens"):
        send(f"smtp://127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://host", MailServer("host", 25, "offered")),
        ("smtp://u:p%40@host", MailServer("host", 587, "required", "u", "p@")),
        ("smtp://u:p@host:2525?tls=none", MailServer("host", 2525, "none", "u", "p")),
        ("smtps://u:p@host", MailServer("host", 465, "implicit", "u", "p")),
    ],
)
def test_urls_of_mail_servers(url: str, server: MailServer) -> None:
    assert parse_server(url) == server
    assert "password" not in repr(server)


@pytest.mark.parametrize("url", ["host:25", "http://u:pw@host", "smtp://u:pw@", "smtp://u:pw@h:x", "smtp://h?tls=pw"])
def test_a_bad_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_server(url)
    assert refused.value.what == "XAIVA_SMTP_URL"
    assert "pw" not in str(refused.value)
