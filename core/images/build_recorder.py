"""Logs and forwards the progress of a build with secrets hidden, and reports what is running during silence."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from core import redaction
from core.progress import Progress, Stage, StageState
from core.redaction import HIDDEN

LOAD_STAGE, SMOKE_STAGE = "load", "smoke"  # xaiva's own stages before and after those of BuildKit
HEARTBEAT_SECONDS = 3.0  # without a line, until the first heartbeat; the interval then doubles
_MAX_HEARTBEAT_SECONDS = 60.0
_LAST_LINES = 40
_MIB = 1 << 20
_MAX_TITLE_CHARACTERS = 80


class BuildRecorder:
    """A `Progress` that writes the log and forwards everything to `listener`, with secrets hidden.

    `own_stages` has xaiva's own stages by id; `started` is that of the first report.
    """

    def __init__(self, listener: Progress, log: TextIO, secrets: list[str]) -> None:
        self._listener = listener
        self._log = log
        self._secrets = [line for secret in secrets for line in secret.splitlines() if line.strip()]
        self._lock = threading.Lock()  # guards the log and all attributes below
        self._running: dict[str, Stage] = {}  # steps and xaiva's own stages
        self._last_event_at = time.monotonic()  # a line was logged, or a step started or ended
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.own_stages: dict[str, Stage] = {}

    def stage(self, stage: Stage) -> None:
        """Forward the stage, and note whether it is running."""
        with self._lock:
            if stage.id in (LOAD_STAGE, SMOKE_STAGE):
                started = self.own_stages.get(stage.id, stage).started
                self.own_stages[stage.id] = stage.model_copy(update={"started": started})
            is_running = stage.state is StageState.RUNNING and (stage.parent or stage.id in (LOAD_STAGE, SMOKE_STAGE))
            if bool(is_running) != (stage.id in self._running):
                self._last_event_at = time.monotonic()
            if is_running:
                self._running[stage.id] = stage
            else:
                self._running.pop(stage.id, None)
        self._listener.stage(stage.model_copy(update={"detail": self.redact(stage.detail)}))

    def log(self, line: str, stage: str = "") -> None:
        """Log and forward the line."""
        self._write(line, stage, is_event=True)

    def _write(self, line: str, stage: str, *, is_event: bool) -> None:
        redacted = self.redact(line)
        with self._lock:
            self._log.write(f"[{stage}] {redacted}\n" if stage else f"{redacted}\n")
            if is_event:
                self._last_event_at = time.monotonic()
                self.last_lines.append(redacted)
        self._listener.log(redacted, stage)

    def cancelled(self) -> bool:
        """Whether the listener has cancelled."""
        return self._listener.cancelled()

    def redact(self, text: str) -> str:
        """The text with secrets replaced."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return redaction.redact_text(text)

    @contextmanager
    def heartbeat(self, seconds: float = HEARTBEAT_SECONDS) -> Iterator[None]:
        """While the block runs, log what is running after `seconds` of silence, then less and less often."""
        ended = threading.Event()
        thread = threading.Thread(target=self._run_heartbeat, args=(seconds, ended), name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _run_heartbeat(self, seconds: float, ended: threading.Event) -> None:
        last_event_at = due_at = 0.0
        pause = seconds
        while not ended.wait(max(0.0, min(seconds, due_at - time.monotonic()))):
            with self._lock:
                latest = self._last_event_at
            if latest != last_event_at:
                last_event_at, pause = latest, seconds
                due_at = last_event_at + pause
            elif time.monotonic() >= due_at:
                self._report_running()
                pause = min(2 * pause, _MAX_HEARTBEAT_SECONDS)
                due_at = time.monotonic() + pause

    def _report_running(self) -> None:
        with self._lock:
            running = list(self._running.values())
        for stage in running:
            title = (
                stage.title if len(stage.title) <= _MAX_TITLE_CHARACTERS else f"{stage.title[:_MAX_TITLE_CHARACTERS]}…"
            )
            self._write(f"still running{_format_elapsed(stage)}: {title}", stage.parent or stage.id, is_event=False)
        if not running:
            self._write("still running: the engine is preparing the next step", "", is_event=False)


def _format_elapsed(stage: Stage) -> str:
    """How long a stage has been running, and how many bytes are done if it counts them."""
    words = f" for {time.time() - stage.started:.0f} s" if stage.started else ""
    if stage.unit == "bytes" and stage.total:
        words += f", {stage.done / _MIB:.0f} of {stage.total / _MIB:.0f} MiB"
    return words
