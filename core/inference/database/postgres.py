"""Connections to PostgreSQL that end when the server does not answer.

Network time-outs detect a machine that is gone. A frozen server, or one whose disk hangs, still acknowledges every
packet: only a clock on this side detects that.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any

import psycopg
from psycopg import conninfo

from core.errors import InputError

ANSWER_SECONDS = 35.0  # more than the server's statement_timeout
OPTIONS: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,  # detect a dead machine before the kernel's quarter of an hour
    "options": "-c statement_timeout=30000 -c lock_timeout=10000 -c timezone=UTC",
}


class BoundedConnection(psycopg.Connection[Any]):
    """Closes itself, with an OperationalError, when an answer takes longer than `patience` seconds."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.answer_seconds = ANSWER_SECONDS

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """As psycopg's, which polls the generator while nothing arrives."""
        return super().wait(self._bound(gen), *arguments, **options)

    def _bound(self, work: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        deadline = time.monotonic() + self.answer_seconds
        try:
            state = next(work)
            while True:
                ready = yield state
                if not ready and time.monotonic() > deadline:
                    self.close()
                    raise psycopg.OperationalError("the server does not answer")
                state = work.send(ready)
        except StopIteration as done:
            return done.value


def check_options(options: Mapping[str, Any]) -> None:
    """Raise InputError for unknown options after the URL's `?`."""
    try:
        conninfo.make_conninfo(**options)
    except psycopg.ProgrammingError as error:
        raise InputError("XAIVA_DATABASE_URL", str(error).strip(), "remove that option from the URL") from None


def connect_bounded(_dialect: object, _record: object, arguments: Any, options: Any) -> BoundedConnection:
    """For SQLAlchemy's `do_connect`."""
    return BoundedConnection.connect(*arguments, **options)


def disable_timeouts(connection: Any) -> None:
    """Let statements on this connection take as long as they need, such as copying all tables."""
    connection.execute("SET statement_timeout = 0")
    connection.patience = float("inf")
