"""Real servers that receive what the service sends: HTTP and mail, with faults on demand."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.support import until
from tests.support.ports import HeldPort


@dataclass(frozen=True)
class Received:
    """One POST; `at` in monotonic seconds."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What is said to a POST. `drip`: the body comes a byte each so many seconds."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    drip: float = 0


class HttpReceiver:
    """Takes POSTs on the loopback. `answer` decides what is said; it may block, or do harm. `tls`: it speaks HTTPS."""

    def __init__(
        self, answer: Callable[[Received], Answer] = lambda _: Answer(), *, tls: tuple[Path, Path] | None = None
    ) -> None:
        self.answer = answer
        self.received: list[Received] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver._take(self, Received(self.path, headers, body, time.monotonic()))

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> HttpReceiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, count: int) -> list[Received]:
        """What was received, once there are so many."""
        return until(lambda: list(self.received), lambda received: len(received) >= count)

    def _take(self, handler: BaseHTTPRequestHandler, received: Received) -> None:
        with self._lock:
            self.received.append(received)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            answer = self.answer(received)
        finally:
            with self._lock:
                self._at_once -= 1
        try:
            handler.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            pieces = [answer.body[at : at + 1] for at in range(len(answer.body))] if answer.drip else [answer.body]
            for piece in pieces:
                handler.wfile.write(piece)
                time.sleep(answer.drip)
        except OSError:
            pass  # the sender had enough


class MailReceiver:
    """A mail server on the loopback. `refuse` are recipients and what is said to them.

    With `login` it wants that name and password, with `tls` it speaks TLS: from the first byte or after STARTTLS.
    """

    def __init__(
        self,
        *,
        tls: tuple[Path, Path] | None = None,
        implicit: bool = False,
        login: tuple[str, str] | None = None,
        refuse: dict[str, str] | None = None,
    ) -> None:
        self.mails: list[Message] = []
        self.encrypted: list[bool] = []
        self.logins: list[str] = []  # the passwords that were tried
        self._login = login
        self._refuse = refuse or {}
        context = None
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
        self._held = HeldPort()
        self.port = self._held.number
        settings: dict[str, Any] = {"hostname": "127.0.0.1", "port": self.port}
        if login:
            settings |= {"authenticator": self._authenticate, "auth_required": True}
            settings["auth_require_tls"] = tls is not None
        if context is not None and implicit:
            settings |= {"ssl_context": context, "auth_require_tls": False}
        elif context is not None:
            settings["tls_context"] = context
        self._controller = Controller(self, **settings)

    def __enter__(self) -> MailReceiver:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()
        self._held.close()

    def wait(self, count: int) -> list[Message]:
        """The mails, once there are so many."""
        return until(lambda: list(self.mails), lambda mails: len(mails) >= count)

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self._refuse:
            return self._refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.encrypted.append(session.ssl is not None)
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"

    def _authenticate(self, _s: SMTP, _session: Session, _e: Envelope, _mechanism: str, data: Any) -> AuthResult:
        self.logins.append(data.password.decode())
        return AuthResult(success=(data.login.decode(), data.password.decode()) == self._login, handled=False)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for the loopback, and its key. Needs openssl."""
    certificate, key = folder / "server.pem", folder / "server.key"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key
