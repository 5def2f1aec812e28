"""Binds packages to indexes in the form uv supports: a project whose requirements name their index.

uv binds a package to an index only for the requirements of a project, not for those of a plain file. A project that
requires the bound packages, beside the layers' files, binds them everywhere, dependencies of other packages included.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from core.files import list_files
from core.presets.model import Index

BINDING_PROJECT = "your-layers"  # uv's messages name it as what requires a bound package
LOCAL_WHEELS_INDEX = "xaiva-local-wheels"


def binding_project(bound: Mapping[str, Index], python_version: str) -> str:
    """The `pyproject.toml` that binds packages; an index named `LOCAL_WHEELS_INDEX` is a folder of wheels."""
    indexes = {index.name: index for index in bound.values()}
    lines = ["[project]", f'name = "{BINDING_PROJECT}"', 'version = "0"', f'requires-python = ">={python_version}"']
    lines += [f"dependencies = {json.dumps(sorted(bound))}", "[tool.uv.sources]"]
    lines += [f"{name} = {{ index = {json.dumps(index.name)} }}" for name, index in sorted(bound.items())]
    for name, index in sorted(indexes.items()):
        lines += ["[[tool.uv.index]]", f"name = {json.dumps(name)}", f"url = {json.dumps(index.url)}"]
        lines += ["explicit = true", *(['format = "flat"'] if name == LOCAL_WHEELS_INDEX else [])]
    return "\n".join(lines) + "\n"


def local_packages(folder: Path | None) -> frozenset[str]:
    """The packages in a folder of wheels. Raises InputError when it cannot be read."""
    names = set()
    for path in list_files(folder, ".whl") if folder else ():
        try:
            names.add(str(parse_wheel_filename(path.name)[0]))
        except InvalidWheelFilename:
            continue  # uv ignores it, too
    return frozenset(names)


def applicable_requirements(lines: Iterable[str], python_version: str, platform: str) -> dict[str, Requirement]:
    """Package → its requirement, for the requirements whose markers match the target's Python and platform."""
    target = {
        "python_version": python_version,
        "python_full_version": f"{python_version}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": platform.partition("-")[0],
        "extra": "",
    }
    requirements = map(Requirement, lines)
    return {
        canonicalize_name(requirement.name): requirement
        for requirement in requirements
        if _applies(requirement.marker, target)
    }


def _applies(marker: Marker | None, target: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(target)
