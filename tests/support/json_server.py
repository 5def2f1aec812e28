"""An HTTP server with fixed JSON answers: an engine or a service as a test wants it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextlib.contextmanager
def json_server(answers: dict[str, Any], headers: dict[str, str] | None = None) -> Iterator[str]:
    """A server on loopback that answers GETs of paths with these ends with JSON, others with 404. Yields host:port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            route = next((key for key in answers if path.endswith(key)), None)
            body = json.dumps(answers[route] if route else {"message": "no such thing"}).encode()
            self.send_response(200 if route else 404)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
