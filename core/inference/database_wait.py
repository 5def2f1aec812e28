"""Waits for a database server: until it answers, the service is live but not ready, and says what it waits for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from core.api_schema import API_VERSION, SERVICE_NAME, Health, Problem
from core.api_schema.base import VERSION_HEADER
from core.inference.database.engine import Database
from core.inference.database.errors import LASTING_REASONS, PUBLIC_REASONS, DriverError
from core.inference.service import own_version

logger = logging.getLogger(__name__)

# Seconds before each retry. The last one repeats, and is used at once for errors that last, such as a wrong password.
RETRY_PAUSES = (2.0, 4.0, 8.0, 15.0, 30.0)
RETRY_AFTER = 5  # seconds, for requests other than health checks
LIVE_PATH = "/health/live"


class DatabaseWait:
    """Retries opening `url` in a thread of its own; an ASGI application that answers health checks meanwhile.

    It also waits for what somebody may correct: a silent server, a wrong password, a missing database.
    """

    def __init__(self, url: str, pause: Callable[[float], None] = time.sleep) -> None:
        self._url = url
        self._pause = pause
        self._why = "it has not answered yet"
        self._database: Database | None = None
        self._error: Exception | None = None
        self._began = time.monotonic()

    def start(self, on_end: Callable[[], None]) -> None:
        """Start the thread; it calls `on_end` once the database is open, or can never be."""
        threading.Thread(target=self._run, args=(on_end,), name="open-database", daemon=True).start()

    def result(self) -> Database:
        """The open database. Raises as `Database` for errors that no retry can fix."""
        if self._error is not None:
            raise self._error
        assert self._database is not None
        return self._database

    def _run(self, on_end: Callable[[], None]) -> None:
        try:
            self._open()
        except Exception as error:
            self._error = error
        on_end()

    def _open(self) -> None:
        pauses = list(RETRY_PAUSES)
        while True:
            try:
                self._database = Database(self._url)
                return
            except DriverError as error:
                pause = RETRY_PAUSES[-1] if error.why in LASTING_REASONS else pauses[0]
                pauses = pauses[1:] or pauses
                self._why = error.why if error.why in PUBLIC_REASONS else "it cannot be opened; see the log"
                logger.warning("waiting for the database: %s; trying again in %g s", error, pause)
                self._pause(pause)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Strangers learn what is wrong with the database, but not where it is."""
        if scope["type"] == "http":
            path = Request(scope).url.path
            answer = self._health(path) if path.startswith("/health") else self._unavailable()
            answer.headers[VERSION_HEADER] = str(API_VERSION)
            await answer(scope, receive, send)

    def _health(self, path: str) -> JSONResponse:
        health = Health(
            live=True,
            ready=False,
            version=own_version(),
            detail=f"waiting for its database for {time.monotonic() - self._began:.0f} s",
            service=SERVICE_NAME,
            api=API_VERSION,
            database=self._why,
        )
        return JSONResponse(health.model_dump(), 200 if path == LIVE_PATH else 503)

    def _unavailable(self) -> JSONResponse:
        why = f"it is waiting for its database: {self._why}"
        problem = Problem(what="The service", why=why, remedy="start the database, or correct XAIVA_DATABASE_URL")
        return JSONResponse(problem.model_dump(), 503, {"Retry-After": str(RETRY_AFTER)})
