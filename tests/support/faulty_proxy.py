"""An HTTP proxy in front of a real server that answers as a bad network or a troubled server does."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 16 << 10


@dataclass
class Fault:
    """What happens to the next `times` requests whose method, path and query contain all of `match`.

    `status` and `body` answer in place of the server. Otherwise its answer is cut or stalls after so many bytes of the
    body, or it has only `length` bytes and says so. The request reaches the server only once `held` is set.
    """

    match: tuple[str, ...]
    times: int = 1
    status: int = 0
    body: bytes = b""
    cut: int = -1
    stall: int = -1
    length: int = -1
    held: threading.Event | None = None


@dataclass
class FaultyProxy:
    """A running proxy. `requests` are those that came: method, path with query, and the Range header."""

    target: int
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    sent: int = 0
    closing: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, *match: str) -> int:
        """How many requests contained all of these."""
        return sum(all(word in f"{method} {path}" for word in match) for method, path, _ in self.requests)

    def take(self, line: str) -> Fault | None:
        """The fault for a request."""
        with self._lock:
            for fault in self.faults:
                if fault.times and all(word in line for word in fault.match):
                    fault.times -= 1
                    return fault
        return None


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            proxy.requests.append((self.command, self.path, self.headers.get("Range", "")))
            fault = proxy.take(f"{self.command} {self.path}")
            if fault and fault.status:
                self._send(fault.status, [("Content-Type", "application/xml")], fault.body)
                return
            if fault and fault.held:
                fault.held.wait(60)
            server = http.client.HTTPConnection("127.0.0.1", proxy.target, timeout=60)
            try:
                server.request(self.command, self.path, body, dict(self.headers))  # with the Host that was signed
                answer = server.getresponse()
                self._send(answer.status, answer.getheaders(), answer.read(), fault)
            finally:
                server.close()

        do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = answer

        def _send(self, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault | None = None) -> None:
            if fault and fault.length >= 0:
                body = body[: fault.length]
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            stop = min((at for at in (fault.cut, fault.stall) if at >= 0), default=-1) if fault else -1
            for begin in range(0, len(body), PIECE):
                piece = body[begin : begin + PIECE]
                if 0 <= stop <= begin:
                    break
                self.wfile.write(piece)
                proxy.sent += len(piece)
            else:
                return
            if fault and fault.stall >= 0:
                proxy.closing.wait(60)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away in the middle is what the tests are about."""


@contextmanager
def faulty_proxy(target: int, *faults: Fault) -> Iterator[FaultyProxy]:
    """A proxy on loopback in front of the server at port `target`."""
    proxy = FaultyProxy(target, faults=list(faults))
    with _Server(("127.0.0.1", 0), _handler(proxy)) as server:
        proxy.port = int(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.closing.set()
            server.shutdown()
            thread.join()
