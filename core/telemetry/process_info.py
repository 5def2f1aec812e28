"""A process's name and container, from /proc. Only files that never block are read."""

from __future__ import annotations

import re
from pathlib import Path

# cgroup v1 `/docker/<id>`, v2 `/system.slice/docker-<id>.scope`, and the same below other managers' slices
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


def process_name(pid: int, proc: Path = Path("/proc")) -> str:
    """The short name of a process; empty when it is gone or not to be seen from here."""
    return _read(proc / str(pid) / "comm").strip()


def container_id(pid: int, proc: Path = Path("/proc")) -> str:
    """The id of the container a process runs in; empty for none."""
    ids = _CONTAINER_ID.findall(_read(proc / str(pid) / "cgroup"))
    return ids[-1] if ids else ""  # the innermost, where containers run in containers


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
