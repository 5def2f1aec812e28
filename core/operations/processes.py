"""Finds processes: by pid and start time, by descent, or by the token in their environment.

Linux only: everything is read from /proc. The wall clock is not used.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

from core.process_identity import boot_id, is_alive, pid_namespace, start_time, stat_fields

__all__ = [
    "OPERATION_REQUEST_VARIABLE",
    "OPERATION_TITLE_VARIABLE",
    "OPERATION_TOKEN_VARIABLE",
    "become_subreaper",
    "boot_id",
    "descendants",
    "is_alive",
    "kill_token_holders",
    "lower_priority",
    "pid_namespace",
    "send_signal",
    "start_time",
    "token_holders",
]

OPERATION_TOKEN_VARIABLE = "XAIVA_OPERATION"  # identifies the operation and attempt that a process works for
OPERATION_REQUEST_VARIABLE = "XAIVA_OPERATION_REQUEST"  # in a worker: the same in each attempt of one operation only
OPERATION_TITLE_VARIABLE = "XAIVA_OPERATION_TITLE"  # names the operation to people, in a worker: `12 (index normal)`
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PROC = Path("/proc")
_AUTOGROUP = _PROC / "self/autogroup"
_OOM_SCORE = _PROC / "self/oom_score_adj"
OOM_SCORE = 500  # of 1000: it counts as if it used half of all memory more


def become_subreaper() -> None:
    """Make this process the parent of its orphaned descendants, so that none escapes."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def lower_priority(niceness: int) -> None:
    """Add `niceness` (0 to 19) to this thread and what it starts, and to the session, whose leader this process is.

    If memory runs out, the kernel kills this process before a service that uses no more of it.

    Where the kernel groups processes by session (autogroup), niceness counts only within a session: beside another
    session, such as that of a service, a process with niceness 19 would get as much of a core as any other.
    """
    if niceness:
        os.nice(niceness)
        with contextlib.suppress(OSError):  # a kernel without autogroup
            _AUTOGROUP.write_text(str(niceness))
        with contextlib.suppress(OSError):  # it was higher already
            _OOM_SCORE.write_text(str(OOM_SCORE))


def descendants(pid: int) -> set[int]:
    """The ids of all living descendants of `pid`."""
    children: dict[int, list[int]] = {}
    for other in _pids():
        fields = stat_fields(other)
        if fields and fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(other)
    living: set[int] = set()
    queue = [pid]
    while queue:
        children_found = set(children.get(queue.pop(), ())) - living
        living |= children_found
        queue.extend(children_found)
    return living


def token_holders(token: str) -> set[int]:
    """The living processes with the operation's token in their environment, except this one."""
    entry = f"{OPERATION_TOKEN_VARIABLE}={token}".encode()
    pids = set()
    for pid in _pids():
        with contextlib.suppress(OSError):
            if entry in (_PROC / str(pid) / "environ").read_bytes().split(b"\0") and start_time(pid):
                pids.add(pid)
    return pids - {os.getpid()}


def send_signal(pids: set[int], number: signal.Signals) -> None:
    """Send a signal to each process; ignore those that are gone or belong to another user."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def kill_token_holders(token: str, within: float = 2.0) -> None:
    """Kill the processes of an operation whose supervisor is gone, and wait for them at most `within` seconds."""
    deadline = time.monotonic() + within
    while (remaining := token_holders(token)) and time.monotonic() < deadline:
        send_signal(remaining, signal.SIGKILL)
        time.sleep(0.01)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()]
