"""Says which process did something, in words that still tell it later, and whether that very process is gone.

Linux only: everything comes from /proc. Clocks that people set play no part here.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def boot_id() -> str:
    """The id of this boot of this machine: pids and monotonic seconds mean nothing beyond it."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def pid_namespace() -> str:
    """The pid namespace in which our pids hold; another one when xaiva runs in a container."""
    return os.readlink("/proc/self/ns/pid")


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; the second may hold spaces and brackets."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 when it is gone or only a zombie."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else 0


def is_alive(pid: int, started: int) -> bool:
    """Whether that very process still runs: the pid may have been given to another one since."""
    return started > 0 and start_time(pid) == started


def own_identity() -> str:
    """This process in one word."""
    pid = os.getpid()
    return f"{boot_id()}/{pid_namespace()}/{pid}/{start_time(pid)}"


def is_gone(identity: str) -> bool:
    """Whether the process with that identity is known to be gone; not known of another machine or an earlier boot."""
    try:
        boot, namespace, pid, started = identity.split("/")
        return (boot, namespace) == (boot_id(), pid_namespace()) and not is_alive(int(pid), int(started))
    except ValueError:
        return False
