"""Opens what a person names as the place of a shipment: a mounted medium, a folder, or `ssh://…`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.carry.medium import Medium
from core.carry.ssh_target import SshTarget
from core.carry.target import Target


def open_target(where: str, env: Mapping[str, str] | None = None) -> Target:
    """The target, to be closed by the caller. Raises XaivaError when it is not there or cannot be reached."""
    return SshTarget(where, env) if where.startswith("ssh://") else Medium(Path(where).expanduser())
