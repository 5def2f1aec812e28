"""The real service and its API on a port of its own, in this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.inference.server import Server
from core.inference.service import InferenceService
from core.inference.settings import ServiceSettings
from core.service_client import ServiceClient

TOKEN = "service-token-of-the-tests-0123456789"


@dataclass
class Running:
    """A service that is being served, with its address and clients."""

    service: InferenceService
    server: Server
    url: str

    def client(self, token: str = TOKEN) -> ServiceClient:
        """A client with the service's token, or another one."""
        return ServiceClient(self.url, 10, token=token)


@contextmanager
def served(data: Path, *, tls: tuple[Path, Path] | None = None, **settings: Any) -> Iterator[Running]:
    """A service on a free port of loopback; `tls`: certificate and key."""
    certificate, key = tls or (None, None)
    settings |= {"data": data, "service_token": TOKEN, "tls_certificate": certificate, "tls_key": key}
    service = InferenceService(ServiceSettings(**settings))
    server = Server(service)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), name="api-under-test")
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield Running(service, server, f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}")
        server.close_streams()
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
