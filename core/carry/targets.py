"""Opens what a person names as the place for a shipment: a medium, a folder, or a folder of another machine."""

from __future__ import annotations

from pathlib import Path

from core.carry.medium import Medium
from core.carry.target import Target


def open_target(medium: str) -> Target:
    """The target for a path. Raises XaivaError when it is not there or cannot be written."""
    return Medium(Path(medium))
