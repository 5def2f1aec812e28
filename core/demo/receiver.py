"""A receiver of the demo's notifications: a webhook on loopback that accepts every message."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(ThreadingHTTPServer):
    """Listens on a free port of the loopback address until `shutdown`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        """The address to send messages to."""
        return f"http://127.0.0.1:{self.server_address[1]}/messages"

    def start(self) -> None:
        """Receive in a thread of its own."""
        threading.Thread(target=self.serve_forever, name="receiver", daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the service's outbox tells what was delivered."""
