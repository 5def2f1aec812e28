"""The real service and its API on a port of its own, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from core.inference.api.app import create_app
from core.inference.service import InferenceService
from core.inference.settings import ServiceSettings
from core.service_client import ServiceClient

TOKEN = "service-token-of-the-tests-0123456789"


@dataclass
class Running:
    """A served one."""

    service: InferenceService
    app: FastAPI
    url: str

    def client(self, token: str = TOKEN) -> ServiceClient:
        """A client with the service's token, or another one."""
        return ServiceClient(self.url, 10, token=token)

    def close_streams(self) -> None:
        """As the signal to end does."""
        self.app.state.loop.call_soon_threadsafe(self.app.state.closing.set)


@contextmanager
def served(data: Path, *, tls: tuple[Path, Path] | None = None, **settings: Any) -> Iterator[Running]:
    """A service on a free port of loopback; `tls`: certificate and key."""
    service = InferenceService(ServiceSettings(data=data, service_token=TOKEN, **settings))
    app = create_app(service)
    certificate, key = tls or (None, None)
    config = uvicorn.Config(
        app, port=0, log_config=None, ssl_certfile=certificate, ssl_keyfile=key, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="api-under-test")
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        running = Running(service, app, f"{'https' if tls else 'http'}://127.0.0.1:{port}")
        yield running
        running.close_streams()
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
