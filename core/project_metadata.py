"""The version and the requirements of this xaiva: from a checkout's own file, or from the installation's metadata."""

from __future__ import annotations

from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import core
from core.errors import XaivaError
from core.toml import tomllib

PROJECT = "xaiva-console"  # the installation whose metadata is read where there is no checkout


@cache
def read_project(extra: str) -> tuple[str, list[str]]:
    """The version, and the requirements of one extra as they are written. Raises XaivaError."""
    project = Path(core.__file__).parent.parent / "pyproject.toml"
    if project.is_file():
        project_table: dict[str, Any] = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        return project_table["version"], project_table["optional-dependencies"][extra]
    try:
        requires = metadata.requires(PROJECT) or []
        version = metadata.version(PROJECT)
    except metadata.PackageNotFoundError as error:
        raise XaivaError("The version of xaiva", str(error), "install xaiva again") from error
    marker = f'extra == "{extra}"'
    parts = (line.partition(";") for line in requires)
    return version, [text for text, _, condition in parts if condition.strip().replace("'", '"') == marker]


def package_version() -> str:
    """The version of this xaiva. Raises XaivaError when it is not installed whole."""
    return read_project("inference")[0]
