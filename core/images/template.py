"""Finds the shipped Dockerfile template, in a checkout or in an installation."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from core.errors import XaivaError

NAME = "Dockerfile.j2"


def read_template() -> str:
    """The text of the shipped `docker/Dockerfile.j2`. Raises XaivaError when the installation lacks it."""
    checkout = Path(__file__).parents[2] / "docker" / NAME
    installed = Path(sysconfig.get_path("data")) / "share" / "xaiva" / "docker" / NAME
    for path in (checkout, installed):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise XaivaError(f"The template {NAME}", f"neither {checkout} nor {installed} exists", "reinstall xaiva-console")
