"""Keeps what a build reports, with secrets hidden, passes it on, and says what goes on while nothing is reported."""

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

BEFORE, AFTER = "load", "smoke"  # our own stages around those of BuildKit
SILENCE_SECONDS = 3.0  # after so long without a line, a line says what is at work; the next one after twice as long
_LONGEST_SILENCE = 60.0
_LAST_LINES = 40
_MIB = 1 << 20
_TITLE = 80  # characters: a step's whole command has been said


class Recorder:
    """A `Progress` that also keeps the log, with secrets hidden, and passes everything on.

    `own` are the stages that are no steps of BuildKit's, by their ids; one that is begun again counts from the first.
    """

    def __init__(self, listener: Progress, log: TextIO, secrets: list[str]) -> None:
        self._listener = listener
        self._log = log
        self._secrets = [line for secret in secrets for line in secret.splitlines() if line.strip()]
        self._lock = threading.Lock()  # guards the log and all below
        self._running: dict[str, Stage] = {}  # steps, and our own stages
        self._news = time.monotonic()  # when a line was said, or a step began or ended
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self.own: dict[str, Stage] = {}

    def stage(self, stage: Stage) -> None:
        """Pass it on."""
        with self._lock:
            if stage.id in (BEFORE, AFTER):
                begun = self.own.get(stage.id, stage).started
                self.own[stage.id] = stage.model_copy(update={"started": begun})
            runs = stage.state is StageState.RUNNING and (stage.parent or stage.id in (BEFORE, AFTER))
            if bool(runs) != (stage.id in self._running):
                self._news = time.monotonic()
            if runs:
                self._running[stage.id] = stage
            else:
                self._running.pop(stage.id, None)
        self._listener.stage(stage.model_copy(update={"detail": self.redact(stage.detail)}))

    def log(self, line: str, stage: str = "") -> None:
        """Keep it and pass it on."""
        self._write(line, stage, news=True)

    def _write(self, line: str, stage: str, *, news: bool) -> None:
        shown = self.redact(line)
        with self._lock:
            self._log.write(f"[{stage}] {shown}\n" if stage else f"{shown}\n")
            if news:
                self._news = time.monotonic()
                self.last.append(shown)
        self._listener.log(shown, stage)

    def cancelled(self) -> bool:
        """As the listener says."""
        return self._listener.cancelled()

    def redact(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return redaction.redact_text(text)

    @contextmanager
    def filling_silence(self, seconds: float = SILENCE_SECONDS) -> Iterator[None]:
        """While the block runs, say what is at work after so long a silence, and then more and more rarely."""
        ended = threading.Event()
        thread = threading.Thread(target=self._fill, args=(seconds, ended), name="silence", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _fill(self, seconds: float, ended: threading.Event) -> None:
        news = due = 0.0
        pause = seconds
        while not ended.wait(max(0.0, min(seconds, due - time.monotonic()))):
            with self._lock:
                latest = self._news
            if latest != news:
                news, pause = latest, seconds
                due = news + pause
            elif time.monotonic() >= due:
                self._say_what_runs()
                pause = min(2 * pause, _LONGEST_SILENCE)
                due = time.monotonic() + pause

    def _say_what_runs(self) -> None:
        with self._lock:
            running = list(self._running.values())
        for stage in running:
            title = stage.title if len(stage.title) <= _TITLE else f"{stage.title[:_TITLE]}…"
            self._write(f"still at work{_for_how_long(stage)}: {title}", stage.parent or stage.id, news=False)
        if not running:
            self._write("still at work: the engine prepares the next step", "", news=False)


def _for_how_long(stage: Stage) -> str:
    """Seconds, and bytes where a step counts them."""
    words = f" for {time.time() - stage.started:.0f} s" if stage.started else ""
    if stage.unit == "bytes" and stage.total:
        words += f", {stage.done / _MIB:.0f} of {stage.total / _MIB:.0f} MiB"
    return words
