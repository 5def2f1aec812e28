"""Reads a container's log in a thread and keeps it on disk, so that a log of any length can be searched."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from core.errors import XaivaError
from core.log_lines import LineSpool
from core.site import Site

if TYPE_CHECKING:
    from core.containers.container_logs import LogStream
    from core.containers.model import ContainerLogLine

SPOOL_BYTES = 256 << 20
TAIL_LINES = 20_000  # of the log so far
FLUSH_SECONDS = 0.25
CONNECT_SECONDS = 5.0
_SECONDS = len("2026-01-31T12:00:00")  # of an engine's time, which goes on with fractions


class ContainerLog:
    """The log of one container; `lines` grows while it is open."""

    def __init__(self, site: Site, name: str) -> None:
        self.lines = LineSpool(SPOOL_BYTES)
        self.ended = False  # the container ended, or its engine went away; either may come back
        self._site = site
        self._name = name
        self._stream: LogStream | None = None
        self._closed = threading.Event()
        self._pending: list[str] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._read, name=f"log-{name}", daemon=True).start()
        threading.Thread(target=self._flush, name=f"log-flush-{name}", daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        if self._stream is not None:
            self._stream.close()

    def _read(self) -> None:
        from core.containers.container_logs import follow_logs
        from core.engine import connect_engine

        try:
            with closing(connect_engine(self._site, CONNECT_SECONDS)) as client:
                self._stream = follow_logs(client, self._name, tail=TAIL_LINES)
                if self._closed.is_set():
                    self._stream.close()
                for line in self._stream:
                    with self._lock:
                        self._pending.append(_stamped_line(line))
        except XaivaError as error:
            with self._lock:
                self._pending.append(f"[{error.summary}]")
        self.ended = not self._closed.is_set()
        self._closed.set()

    def _flush(self) -> None:
        while True:
            is_closed = self._closed.wait(FLUSH_SECONDS)
            with self._lock:
                batch, self._pending = self._pending, []
            if batch:
                self.lines.add(batch)
            if is_closed:
                return


def _stamped_line(line: ContainerLogLine) -> str:
    """The line with its time, as the log view expects it."""
    try:
        return f"{_local_time(line.time[:_SECONDS])}\t\t{line.text}"
    except ValueError:  # not a time
        return line.text


@lru_cache(maxsize=256)
def _local_time(utc: str) -> str:
    """The local time of a line; the engine writes it in UTC."""
    return datetime.fromisoformat(f"{utc}+00:00").astimezone().strftime("%Y-%m-%d %H:%M:%S")
