"""What processes of this machine use: CPU, memory, since when, and for whom. Everything is read from /proc."""

from __future__ import annotations

import os
import pwd
import re
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.process_identity import stat_fields
from core.redaction import redact_arguments
from core.telemetry.process_info import process_name

_PROC = Path("/proc")
_UID = re.compile(r"^Uid:\s+\d+\s+(\d+)", re.M)  # the effective one
_UTIME, _STIME, _START, _RESIDENT = 11, 12, 19, 21  # indices into `stat_fields`, see proc_pid_stat(5)


class ProcessUsage(BaseModel):
    """What one process uses."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: int
    """Clock ticks since boot; with the pid it identifies the process (`core.process_identity`)."""
    owner: str
    """The user's name on this machine, else the number."""
    cpu_percent: float | None
    """Percent of one core since the previous sample; None in the first one."""
    memory: int
    """Resident bytes."""
    run_seconds: float
    command: str
    """The command line without secrets; the name of a process that has none."""


class ProcessSampler:
    """Samples processes; not thread-safe. CPU is the difference to the previous sample of the same process."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, int], tuple[int, float]] = {}  # pid and start → CPU ticks, monotonic seconds

    def sample(self, pids: Iterable[int]) -> dict[int, ProcessUsage]:
        """What these processes use, by pid, without those that are gone or not visible."""
        latest: dict[tuple[int, int], tuple[int, float]] = {}
        usages: dict[int, ProcessUsage] = {}
        for pid in set(pids):
            fields = stat_fields(pid)
            if not fields or fields[0] in "ZX":
                continue
            started = int(fields[_START])
            ticks, now = int(fields[_UTIME]) + int(fields[_STIME]), time.monotonic()
            latest[pid, started] = ticks, now
            usages[pid] = ProcessUsage(
                pid=pid,
                started=started,
                owner=_owner(pid),
                cpu_percent=self._cpu_percent(pid, started, ticks, now),
                memory=int(fields[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE"),
                run_seconds=max(time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK"), 0),
                command=_command(pid),
            )
        self._last = latest
        return usages

    def _cpu_percent(self, pid: int, started: int, ticks: int, now: float) -> float | None:
        if (last := self._last.get((pid, started))) is None or now <= last[1]:
            return None
        return (ticks - last[0]) / os.sysconf("SC_CLK_TCK") / (now - last[1]) * 100


def _owner(pid: int) -> str:
    try:
        match = _UID.search((_PROC / str(pid) / "status").read_text(errors="replace"))
    except OSError:
        return ""
    return _user_name(int(match[1])) if match else ""


@cache
def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _command(pid: int) -> str:
    try:
        words = (_PROC / str(pid) / "cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    except OSError:
        words = []
    return " ".join(redact_arguments(words)).strip() or process_name(pid)
