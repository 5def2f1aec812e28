"""Reads the engine's events in a thread and keeps the newest as lines of a log, which can be searched."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from core.log_lines import LineSpool
from core.site import Site

if TYPE_CHECKING:
    from core.engine import EngineError
    from core.engine_objects.events import EventStream

SPOOL_BYTES = 1 << 20  # ten thousand events
HISTORY_SECONDS = 3600.0  # of the events before the console looked, as far as the engine keeps them
CONNECT_SECONDS = 5.0


class EngineEventLog:
    """The engine's events as `lines`, without those about commands run in containers, such as health checks.

    It reads only between `open` and `close`, and reads on where it was.
    """

    def __init__(self, site: Site) -> None:
        self.lines = LineSpool(SPOOL_BYTES)
        self.problem: EngineError | None = None
        """Why no events come now; None while they do."""
        self._site = site
        self._newest = time.time() - HISTORY_SECONDS
        self._stream: EventStream | None = None

    def open(self) -> None:
        """Start to read, unless it reads already."""
        if self._stream is not None:
            return
        from core.engine import connect_engine
        from core.engine_objects.events import EventStream

        self.problem = None
        self._stream = stream = EventStream(
            lambda: connect_engine(self._site, CONNECT_SECONDS),
            since=self._newest,
            state_changed=self._note_state,
        )
        threading.Thread(target=self._read, args=(stream,), name="engine-events", daemon=True).start()

    def close(self) -> None:
        """Stop reading."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _read(self, stream: EventStream) -> None:
        from tui.formatters.engine import event_line

        for event in stream:
            if event.time > self._newest and not event.is_routine:
                self._newest = event.time
                self.lines.add([event_line(event)])

    def _note_state(self, problem: EngineError | None) -> None:
        if (problem is None) != (self.problem is None):
            words = problem.summary if problem else "connected again"
            self.lines.add([f"--:--:--\t\t{words}".replace("\n", " ")])
        self.problem = problem
