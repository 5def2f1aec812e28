"""Serves the API on a port until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Iterable
from types import FrameType
from typing import Any, Literal

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from core.api_schema import CameraRequest
from core.errors import InputError, XaivaError
from core.inference import tls
from core.inference.api.app import create_app
from core.inference.database.engine import Database
from core.inference.database_wait import DatabaseWait
from core.inference.service import InferenceService
from core.inference.settings import ServiceSettings

logger = logging.getLogger(__name__)
_SOCKET_LOGGER = logging.getLogger(f"{__name__}.sockets")
_SOCKET_LOGGER.setLevel(logging.WARNING)

GRACE_SECONDS = 2  # for open requests; together with the service's STOP_SECONDS below the 10 s that an engine grants

MAX_SOCKET_MESSAGE = 16 << 10  # bytes of a message from a client of a WebSocket: it sends a token at most
MAX_CONNECTIONS = 416  # more would take file descriptors from the cameras


class _Connection(H11Protocol):
    """A connection that is closed for a newer one when all are taken and it waits for its client.

    It may be idle, in the middle of a request, or have an unread answer: many of those cannot lock others out.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.opened_at = time.monotonic()
        is_full = len(self.connections) >= MAX_CONNECTIONS
        others = self.connections if is_full else ()
        idle = [other for other in others if isinstance(other, (_Connection, _Socket)) and other.is_idle]
        # When all are busy, this connection gets a 503. uvicorn's own limit would also count the requests of those that
        # were just closed, and refuse a health check.
        self.limit_concurrency = 1 if is_full and not idle else None
        if idle:
            oldest = min(idle, key=lambda connection: connection.opened_at)
            self.connections.discard(oldest)
            oldest.transport.abort()
        # asyncio sets this only for sockets that name their protocol; the listener's do not. Otherwise the kernel holds
        # back a response body until the client acknowledges the headers: 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for the client."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body or self.flow.write_paused


class _Socket(WebSocketsSansIOProtocol):
    """A WebSocket. Its address is not logged, because a client may have put a token there by mistake."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.opened_at = time.monotonic()
        self.logger = _SOCKET_LOGGER

    def keepalive_timeout(self) -> None:
        """The client does not answer: do not wait until it has taken what was sent; uvicorn calls this."""
        super().keepalive_timeout()
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; asyncio calls this."""
        self.connections.add(self)  # uvicorn removes it, and fails if a newer connection has taken its place already
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether it waits for the client to read."""
        return not self.writable.is_set()


class Server(uvicorn.Server):
    """The API on a socket. Closes open streams on the signal: they would delay the shutdown until its time-out."""

    def __init__(self, service: InferenceService) -> None:
        self.app = create_app(service)
        super().__init__(_config(self.app, service.settings))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.close_streams()

    def close_streams(self) -> None:
        """End the open event streams. Thread-safe."""
        if hasattr(self.app.state, "closing"):
            self.app.state.loop.call_soon_threadsafe(self.app.state.closing.set)


def _config(app: ASGIApp, settings: ServiceSettings, lifespan: Literal["on", "off"] = "on") -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Connection,
        ws=_Socket,
        ws_max_size=MAX_SOCKET_MESSAGE,
        lifespan=lifespan,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a client could choose its address and evade the login limit
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )


def serve(settings: ServiceSettings, startup_cameras: Iterable[CameraRequest], host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, which reach the previously set handlers after the shutdown.

    With a certificate in the settings it uses TLS. `port` 0 picks a free one; the log names it. Raises XaivaError when
    the address is not available, InputError for an unusable certificate or key, and as InferenceService.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is not None:
        raise InputError(
            "XAIVA_TLS_KEY", "a key is useless without its certificate", "set XAIVA_TLS_CERTIFICATE as well"
        )
    if certificate is not None and (warning := tls.check_certificate(certificate, key)):
        logger.warning("%s", warning)
    listener = _listen(host, port)
    address = listener.getsockname()
    loopback = address[0] == "::1" or address[0].startswith("127.")
    shown_address = f"[{address[0]}]" if ":" in address[0] else address[0]
    logger.info("listening on %s://%s:%d", "https" if certificate else "http", shown_address, address[1])
    if not loopback and not certificate:
        logger.warning("port %d uses plain HTTP: anybody on the network can read passwords and pictures", address[1])
    _run_server(Server(InferenceService(settings, startup_cameras, _open_database(settings, listener))), listener)


def _open_database(settings: ServiceSettings, listener: socket.socket) -> Database:
    """The open database. Answers health checks while it waits for a server. Raises as `Database`."""
    if settings.database.startswith("sqlite"):
        return Database(settings.database)
    waiting = DatabaseWait(settings.database)
    server = uvicorn.Server(_config(waiting, settings, lifespan="off"))

    def end() -> None:
        server.should_exit = True

    with listener.dup() as listener_copy:  # the server closes it
        waiting.start(end)
        _run_server(server, listener_copy)
    return waiting.result()


def _run_server(server: uvicorn.Server, listener: socket.socket) -> None:
    """Like asyncio.run, but without waiting for threads that hang; everything important is saved by then."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(server.serve(sockets=[listener]))


def _listen(host: str, port: int) -> socket.socket:
    what = f"Address {host}:{port}"
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror as error:
        raise XaivaError(what, error.strerror or "unknown host", "choose another address with --host") from error
    except OverflowError as error:
        raise XaivaError(what, "a port is at most 65535", "choose another port with --port") from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise XaivaError(
            what, why, "stop the program that listens there, or choose another port with --port"
        ) from error
