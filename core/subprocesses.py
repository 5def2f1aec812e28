"""Child processes that can be cancelled: they end within a second, together with everything they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import Cancelled
from core.progress import Progress

POLL_SECONDS = 0.2
_READ = 1 << 16
GRACE_SECONDS = 0.5  # between asking a child to end and killing it


class FinishedProcess(NamedTuple):
    """Exit code, standard output and standard error of a child."""

    code: int
    out: bytes
    err: str


def run_child(
    argv: Sequence[str],
    progress: Progress,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> FinishedProcess:
    """Run `argv` to its end without input; calls `on_line` with each line of its error output as it comes.

    Raises Cancelled once the child and everything it started are dead.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd, start_new_session=True
        )
        try:
            position = 0
            while process.poll() is None:
                if progress.cancelled():
                    raise Cancelled()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
                position = _emit_lines(position, err.fileno(), on_line)
            _emit_lines(position, err.fileno(), on_line)
        finally:
            _terminate(process)
        out.seek(0)
        err.seek(0)
        return FinishedProcess(process.returncode, out.read(), err.read().decode(errors="replace"))


def _emit_lines(position: int, output: int, on_line: Callable[[str], None] | None) -> int:
    """Pass on the complete lines from `position` on; returns the position after them."""
    if on_line is None:
        return position
    *lines, _ = os.pread(output, _READ, position).split(b"\n")
    for line in lines:
        on_line(line.decode(errors="replace"))
    return position + sum(len(line) + 1 for line in lines)


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """End a child that still runs, with its whole session: SIGTERM first, then SIGKILL."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):  # the whole session has ended
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
