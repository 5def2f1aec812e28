"""The files of a console as components: xaiva itself, its wheels, perhaps a Python."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import Any

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from core.carry.console_files import CODE, PYTHON, ConsoleFile
from core.carry.licence import DAMAGE, Licence, not_stated, stated, unreadable
from core.carry.wheel_licence import read_wheel
from core.images.sbom import Component, generic_purl, sha256_hashes, wheel_purl
from core.toml import tomllib

_PROJECT = "pyproject.toml"
_MAX_PROJECT_BYTES = 1 << 20


@dataclass(frozen=True)
class ConsolePart:
    """A file of the console as a component."""

    type: str
    """As CycloneDX calls it."""
    name: str
    version: str
    sha256: str
    licence: Licence

    def component(self) -> Component:
        """The component without `bom-ref`."""
        is_wheel = self.type == "library"
        purl = wheel_purl(self.name, self.version) if is_wheel else generic_purl(self.name, self.version, self.sha256)
        version = {"version": self.version} if self.version else {}
        return {"type": self.type, "name": self.name, **version, "hashes": sha256_hashes(self.sha256), "purl": purl}


def console_part(file: ConsoleFile) -> ConsolePart:
    """The component that a file is. A file that cannot be read is called that; nothing is raised for it."""
    name = file.path.rpartition("/")[2]
    if name.endswith(".whl"):
        wheel, version = _wheel_name(name)
        return ConsolePart("library", wheel, version, file.sha256, _wheel_licence(file))
    if name == CODE:
        version, licence = _read_project(file)
        return ConsolePart("application", "xaiva", version, file.sha256, licence)
    kind = "platform" if name == PYTHON else "file"
    return ConsolePart(kind, name, "", file.sha256, not_stated("an archive has no field for it; see the files in it"))


def _wheel_name(file: str) -> tuple[str, str]:
    try:
        name, version, _, _ = parse_wheel_filename(file)
    except InvalidWheelFilename:
        return file, ""
    return name, str(version)


def _wheel_licence(file: ConsoleFile) -> Licence:
    try:
        with file.open() as wheel:
            return read_wheel(wheel)
    except OSError as error:
        return unreadable(error, "METADATA")


def _read_project(file: ConsoleFile) -> tuple[str, Licence]:
    """The version and the licence in the code's `pyproject.toml`."""
    where = f"{_PROJECT} in {CODE}"
    try:
        with file.open() as tar, tarfile.open(fileobj=tar) as archive:
            content = archive.extractfile(_PROJECT)
            text = content.read(_MAX_PROJECT_BYTES).decode() if content else ""
        project: dict[str, Any] = tomllib.loads(text)["project"]
        version, licence = project["version"], project.get("license")
    except (*DAMAGE, TypeError, AttributeError) as error:
        return "", unreadable(error, where)
    return str(version), stated(str(licence), where) if licence else not_stated(where)
