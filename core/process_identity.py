"""Identifies a process so that one can tell later, even after its pid was reused, whether it is gone.

Linux only: everything is read from /proc. The wall clock is not used.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def boot_id() -> str:
    """The id of this boot of this machine. Pids and monotonic times are valid only within it."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def pid_namespace() -> str:
    """The pid namespace of this process, which differs from the host's in a container.

    The kernel gives the number of one that is gone to the next one, such as that of the same container after its
    restart: the start of the first process tells them apart.
    """
    return f"{os.readlink('/proc/self/ns/pid')}@{start_time(1)}"


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on, because the second may contain spaces and brackets."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 when it is gone or a zombie."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else 0


def is_alive(pid: int, started: int) -> bool:
    """Whether the process with this start time still runs; its pid may have been reused since."""
    return started > 0 and start_time(pid) == started


def own_identity() -> str:
    """The identity of this process: boot id, pid namespace, pid and start time."""
    pid = os.getpid()
    return f"{boot_id()}/{pid_namespace()}/{pid}/{start_time(pid)}"


def is_gone(identity: str) -> bool:
    """Whether the process with that identity is certainly gone; False for another machine or an earlier boot."""
    try:
        boot, namespace, pid, started = identity.split("/")
        return (boot, namespace) == (boot_id(), pid_namespace()) and not is_alive(int(pid), int(started))
    except ValueError:
        return False
