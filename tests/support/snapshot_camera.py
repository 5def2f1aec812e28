"""A camera that answers with one picture at a time."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.request import parse_http_list, parse_keqv_list

REALM, NONCE = "camera", "0123456789"


@dataclass
class SnapshotCamera:
    """`picture(n)` is the body of answer number n; `login` (scheme, user, password) is asked for, `etag` given."""

    picture: Callable[[int], bytes]
    kind: str = "image/jpeg"
    login: tuple[str, str, str] | None = None
    etag: bool = False
    statuses: dict[int, int] = field(default_factory=dict)  # of single answers, in place of 200
    requests: int = 0
    pictures: int = 0
    connections: int = 0
    unchanged: int = 0
    over: bool = False

    def __enter__(self) -> SnapshotCamera:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                camera.connections += 1

            def do_GET(self) -> None:
                if camera.over:
                    self.close_connection = True
                    return
                camera.requests += 1
                if camera.login is not None and not camera._accepts(self.headers.get("Authorization", "")):
                    self._answer(401, b"", {"WWW-Authenticate": camera._challenge()})
                    return
                camera.pictures += 1
                body = camera.picture(camera.pictures)
                tag = f'"{hashlib.sha256(body).hexdigest()}"'
                if camera.etag and self.headers.get("If-None-Match") == tag:
                    camera.unchanged += 1
                    self._answer(304, b"", {"ETag": tag})
                    return
                headers = {"Content-Type": camera.kind, **({"ETag": tag} if camera.etag else {})}
                self._answer(camera.statuses.get(camera.pictures, 200), body, headers)

            def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over = True
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str = "cgi-bin/video?action=snapshot", password: str = "") -> str:
        """Its address, with the login that it wants or with another password."""
        login = ""
        if self.login is not None:
            login = f"{self.login[1]}:{password or self.login[2]}@"
        return f"http://{login}127.0.0.1:{self._server.server_port}/{path}"

    def _challenge(self) -> str:
        assert self.login is not None
        parts = "" if self.login[0] == "Basic" else f', nonce="{NONCE}", qop="auth"'
        return f'{self.login[0]} realm="{REALM}"{parts}'

    def _accepts(self, authorization: str) -> bool:
        assert self.login is not None
        scheme, user, password = self.login
        if not authorization.startswith(scheme):
            return False
        if scheme == "Basic":
            return base64.b64decode(authorization.removeprefix("Basic ")).decode() == f"{user}:{password}"
        parts = parse_keqv_list(parse_http_list(authorization.removeprefix("Digest ")))
        secret = _md5(f"{user}:{REALM}:{password}")
        request_hash = _md5(f"GET:{parts['uri']}")
        counted = f"{parts['nc']}:{parts['cnonce']}:auth:" if "qop" in parts else ""
        expected = _md5(f"{secret}:{NONCE}:{counted}{request_hash}")
        return parts["response"] == expected


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
