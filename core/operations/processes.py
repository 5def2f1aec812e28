"""Finds processes: by pid and start time, by descent, or by the token in their environment.

Linux only: everything comes from /proc. Clocks that people set play no part here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

TOKEN_VARIABLE = "XAIVA_OPERATION"  # names the operation (and attempt) that a process works for
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PROC = Path("/proc")


def boot_id() -> str:
    """The id of this boot of this machine: pids and monotonic seconds mean nothing beyond it."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def pid_namespace() -> str:
    """The pid namespace in which our pids hold; another one when xaiva runs in a container."""
    return os.readlink("/proc/self/ns/pid")


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 when it is gone or only a zombie."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else 0


def alive(pid: int, started: int) -> bool:
    """Whether that very process still runs: the pid may have been given to another one since."""
    return started > 0 and start_time(pid) == started


def become_subreaper() -> None:
    """Make orphans among our descendants our children, so that none can slip away."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int) -> set[int]:
    """All living processes below `pid`, without itself."""
    children: dict[int, list[int]] = {}
    for other in _pids():
        fields = _stat(other)
        if fields and fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(other)
    found: set[int] = set()
    queue = [pid]
    while queue:
        fresh = set(children.get(queue.pop(), ())) - found
        found |= fresh
        queue.extend(fresh)
    return found


def holders(token: str) -> set[int]:
    """The living processes that carry the operation's token in their environment, without this one."""
    mark = f"{TOKEN_VARIABLE}={token}".encode()
    found = set()
    for pid in _pids():
        with contextlib.suppress(OSError):
            if mark in (_PROC / str(pid) / "environ").read_bytes().split(b"\0") and start_time(pid):
                found.add(pid)
    return found - {os.getpid()}


def send(pids: set[int], number: signal.Signals) -> None:
    """Send a signal to each; those that are gone or not ours are passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_holders(token: str, within: float = 2.0) -> None:
    """Kill what is left of an operation whose supervisor is gone, and wait until it is."""
    deadline = time.monotonic() + within
    while (left := holders(token)) and time.monotonic() < deadline:
        send(left, signal.SIGKILL)
        time.sleep(0.01)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; the second may hold spaces and brackets."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()
