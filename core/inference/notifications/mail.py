"""Sends mail over the site's own server."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from core.errors import InputError, XaivaError
from core.inference.address_guard import check_host, connect_guarded

ANSWER_TIMEOUT = 15.0  # for each answer of the server
_FORM = "write it as smtp://user:password@host:587, smtps://host:465 or smtp://host:25?tls=none"
Tls = Literal["implicit", "required", "offered", "none"]


class DeliveryRefused(XaivaError):
    """The receiver refused the message for good."""


class LoginRefused(XaivaError):
    """The receiver refused the login; repeated attempts could lock it out."""


@dataclass(frozen=True)
class MailServer:
    """A parsed XAIVA_SMTP_URL. `tls`: from the first byte, required STARTTLS, STARTTLS if offered, or never."""

    host: str
    port: int
    tls: Tls
    user: str = ""
    password: str = field(default="", repr=False)


def parse_server(url: str) -> MailServer:
    """Parse XAIVA_SMTP_URL. With a login, encryption is required unless the URL says `?tls=none`.

    Raises InputError, which never contains the URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InputError("XAIVA_SMTP_URL", "its host or port cannot be read", _FORM) from None
    if parts.scheme not in ("smtp", "smtps") or not host:
        raise InputError("XAIVA_SMTP_URL", "it is not an smtp:// or smtps:// URL with a host", _FORM)
    check_host(host, "XAIVA_SMTP_URL")
    user = unquote(parts.username or "")
    tls_option = parse_qs(parts.query).get("tls", [""])[0]
    if tls_option not in ("", "none", "required", "offered") or (parts.scheme == "smtps" and tls_option):
        raise InputError("XAIVA_SMTP_URL", "tls must be none, offered or required, and only applies to smtp://", _FORM)
    if parts.scheme == "smtps":
        return MailServer(host, port or 465, "implicit", user, unquote(parts.password or ""))
    tls: Tls = "none" if tls_option == "none" else "required" if tls_option == "required" or user else "offered"
    return MailServer(host, port or (587 if user else 25), tls, user, unquote(parts.password or ""))


def send_mail(server: MailServer, sender: str, to: str, subject: str, text: str, key: str) -> None:
    """Send one mail; the Message-ID derives from `key`, so retries share it. Raises DeliveryRefused, XaivaError."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = sender, to, subject
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{key}@xaiva>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text)
    what = f"Mail server {server.host}:{server.port}"
    try:
        with contextlib.closing(_connect(server)) as connection:
            if server.user:
                connection.login(server.user, server.password)
            connection.send_message(mail, sender, [to])
            with contextlib.suppress(smtplib.SMTPException, OSError):
                connection.quit()  # the mail was accepted: an error here must not repeat it
    except smtplib.SMTPAuthenticationError as error:
        kind = LoginRefused if error.smtp_code >= 500 else XaivaError
        raise kind(what, f"it refuses the login ({error.smtp_code})", "check XAIVA_SMTP_URL") from None
    except smtplib.SMTPRecipientsRefused as error:
        code, reply = next(iter(error.recipients.values()))
        raise _refused_error(what, code, reply) from None
    except smtplib.SMTPResponseException as error:
        raise _refused_error(what, error.smtp_code, error.smtp_error) from None
    except ssl.SSLCertVerificationError as error:
        remedy = "name its certificate authority with SSL_CERT_FILE, or add ?tls=none to XAIVA_SMTP_URL"
        raise XaivaError(what, f"its certificate is not trusted: {error.verify_message}", remedy) from None
    except (smtplib.SMTPException, OSError) as error:
        raise XaivaError(what, _describe_error(error), "check that it is running and can be reached") from None


class _Guarded(smtplib.SMTP):
    """SMTP over guarded connections."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return connect_guarded(host, port, timeout, f"Mail server {host}:{port}")


class _GuardedTls(smtplib.SMTP_SSL):
    """SMTP over guarded connections, with TLS from the first byte."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = connect_guarded(host, port, timeout, f"Mail server {host}:{port}")
        return self.context.wrap_socket(plain, server_hostname=host)


def _connect(server: MailServer) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if server.tls == "implicit":
        return _GuardedTls(server.host, server.port, timeout=ANSWER_TIMEOUT, context=context)
    connection = _Guarded(server.host, server.port, timeout=ANSWER_TIMEOUT)
    try:
        connection.ehlo()
        if server.tls == "required" and not connection.has_extn("starttls"):
            remedy = "use smtps://, or add ?tls=none to XAIVA_SMTP_URL to send without encryption"
            raise XaivaError(f"Mail server {server.host}", "it offers no encryption; nothing was sent", remedy)
        if server.tls != "none" and connection.has_extn("starttls"):
            connection.starttls(context=context)
    except BaseException:
        connection.close()
        raise
    return connection


def _refused_error(what: str, code: int, reply: bytes | str) -> XaivaError:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    why = f"it refuses the mail: {code} {' '.join(text.split())[:200]}"
    if 500 <= code < 600:
        return DeliveryRefused(what, why, "check the recipient's address and XAIVA_MAIL_FROM")
    return XaivaError(what, why, "it will be tried again")


def _describe_error(error: Exception) -> str:
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):  # smtplib wraps it
        return f"no answer within {ANSWER_TIMEOUT:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens at that host and port"
    if isinstance(error, socket.gaierror):
        return "the host's name is unknown"
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return "it closed the connection"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "it does not support logins, or not the encoding of that address"
    return getattr(error, "strerror", None) or type(error).__name__
