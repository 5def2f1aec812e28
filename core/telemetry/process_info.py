"""The name and the container of a process, from files in /proc that never block."""

from __future__ import annotations

import re
from pathlib import Path

# cgroup v1 `/docker/<id>`, v2 `/system.slice/docker-<id>.scope`, and the same below other managers' slices
_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


def process_name(pid: int, proc: Path = Path("/proc")) -> str:
    """The short name of a process; empty when it is gone or not visible."""
    return _read(proc / str(pid) / "comm").strip()


def container_id(pid: int, proc: Path = Path("/proc")) -> str:
    """The id of the container in which a process runs; empty outside of containers."""
    ids = _CONTAINER_ID.findall(_read(proc / str(pid) / "cgroup"))
    return ids[-1] if ids else ""  # the innermost of nested containers


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
