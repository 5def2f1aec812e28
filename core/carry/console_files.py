"""The console that a medium brings: its code, its wheels, perhaps a Python; and the texts in the medium's top folder.

`console.list` names the files by hash, and the manifest names the list. The medium's launcher reads both without xaiva.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

import core
from core.carry.shipment import CONSOLE_LIST, MAX_FILE_BYTES
from core.errors import InputError, XaivaError, os_reason
from core.files import list_files, sha256_bytes, sha256_file
from core.site import Site

CODE, PYTHON, WHEELS = "console.tar", "python.tar", "wheelhouse"
LAUNCHER, START_HERE = "xaiva", "START-HERE.txt"
CHECKOUT = Path(core.__file__).parent.parent
STICK = Path(__file__).with_name("stick")
_CODE_FOLDERS = ("core", "tui", "docs", "docker", "requirements")
_CODE_FILES = ("pyproject.toml", "xaiva", "README.md", "README.ko.md", "LICENSE", "CHANGELOG.md", "env.template")
_LEFT_OUT = {"__pycache__", "screenshots"}
_LINE = re.compile(
    r"([0-9a-f]{64}) ([0-9]{1,14}) (console\.tar|python\.tar|wheelhouse/[A-Za-z0-9][A-Za-z0-9._+-]*\.whl)"
)
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==\S+(?P<condition> ;)?", re.MULTILINE)


@dataclass(frozen=True)
class ConsoleFile:
    """A file of the console: where a release has it, and its bytes."""

    path: str
    size: int
    sha256: str
    open: Callable[[], io.BufferedReader | io.BytesIO]


def console_files(site: Site, root: Path = CHECKOUT) -> list[ConsoleFile]:
    """The files of the console in the folder `root`, for a medium. Raises XaivaError when something is missing."""
    for name in (*_CODE_FILES, *_CODE_FOLDERS):
        if not (root / name).exists():
            why = f"{root} has no {name}; only a checkout of xaiva, or one installed from a medium, has all files"
            raise XaivaError("The console cannot be packed", why, "pack with the `./xaiva` of a checkout")
    code = _code_tar(root)
    files = [ConsoleFile(CODE, len(code), sha256_bytes(code), lambda: io.BytesIO(code))]
    files += [_on_disk(f"{WHEELS}/{path.name}", path) for path in _wheels(root)]
    if python := _python_tar(site, root):
        files.append(_on_disk(PYTHON, python))
    return files


def console_list_text(files: list[ConsoleFile]) -> bytes:
    """`console.list`: a line for each file with its SHA-256, its size and its path in a release."""
    return "".join(f"{file.sha256} {file.size} {file.path}\n" for file in files).encode()


def read_console_list(
    text: bytes, open_blob: Callable[[str, int], io.BufferedReader | io.BytesIO]
) -> list[ConsoleFile]:
    """The files of a verified `console.list`; `open_blob` opens the blob with a SHA-256 and a size.

    Raises InputError for another line.
    """
    files = []
    for line in text.decode("ascii", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or int(match[2]) > MAX_FILE_BYTES:
            why = f"it has a line that this xaiva does not understand: {line[:200]}"
            raise InputError(
                CONSOLE_LIST, why, "install the console of this medium in another folder with its launcher"
            )
        sha256, size = match[1], int(match[2])
        files.append(ConsoleFile(match[3], size, sha256, partial(open_blob, sha256, size)))
    return files


def release_name(version: str, console_list: bytes) -> str:
    """The folder of a release: the version, and what tells two builds of one version apart. Raises InputError."""
    if not re.fullmatch("[0-9][A-Za-z0-9.+-]*", version):
        raise InputError(f"Version {version}", "it is not the version of a console", "pack the medium again")
    return f"{version}-{sha256_bytes(console_list)[:12]}"


def launcher_text() -> bytes:
    """The script `xaiva` in the medium's top folder."""
    return (STICK / "xaiva.sh").read_bytes()


def start_here_text(*, shipment: str, created: datetime, office: str, version: str) -> bytes:
    """`START-HERE.txt`: what a person does with the medium, in English and Korean. It does not show a fingerprint."""
    text = (STICK / START_HERE).read_text(encoding="utf-8")
    packed = created.strftime("%Y-%m-%d %H:%M UTC")
    return text.format(shipment=shipment, created=packed, office=office or "?", version=version).encode()


def _on_disk(name: str, path: Path) -> ConsoleFile:
    return ConsoleFile(name, path.stat().st_size, sha256_file(path), lambda: open(path, "rb"))


def _code_tar(root: Path) -> bytes:
    """The code as an uncompressed tar, the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(_code_paths(root)):
            status = path.stat()
            entry = tarfile.TarInfo(path.relative_to(root).as_posix())
            entry.size, entry.mtime = status.st_size, int(status.st_mtime)
            entry.mode = 0o755 if status.st_mode & 0o100 else 0o644
            with open(path, "rb") as file:
                archive.addfile(entry, file)
    return buffer.getvalue()


def _code_paths(root: Path) -> Iterator[Path]:
    yield from (root / name for name in _CODE_FILES)
    for folder in _CODE_FOLDERS:
        for place, folders, names in os.walk(root / folder):
            folders[:] = [name for name in folders if name not in _LEFT_OUT and not name.startswith(".")]
            yield from (Path(place, name) for name in names if not name.startswith(".") and not name.endswith(".pyc"))


def _wheels(root: Path) -> list[Path]:
    """The wheels of the wheelhouse, which must be those that the requirements name."""
    folder, remedy = root / WHEELS, f"make it where there is a network: {root}/xaiva --wheelhouse"
    wheels = list_files(folder, ".whl")
    if not wheels:
        why = f"there are no wheels in {folder}, from which the site installs"
        raise XaivaError("The console cannot be packed", why, remedy)
    console = (root / "requirements/console.txt").read_text(encoding="utf-8")
    demo = (root / "requirements/demo.txt").read_text(encoding="utf-8")
    for wheel in wheels:
        if f"sha256:{sha256_file(wheel)}" not in console + demo:
            raise XaivaError(f"{wheel}", "it is damaged, or belongs to another version of xaiva", remedy)
    packages = {canonicalize_name(wheel.name.partition("-")[0]) for wheel in wheels}
    for match in _REQUIREMENT.finditer(console):
        if not match["condition"] and canonicalize_name(match[1]) not in packages:
            raise XaivaError(f"{folder}", f"it has no wheel of {match[1]}", remedy)
    return wheels


def _python_tar(site: Site, root: Path) -> Path | None:
    """The Python for machines without one, as the settings name it; a console from a medium passes on its own."""
    settings = site.settings.carry
    if not settings.python:
        return path if (path := root / PYTHON).is_file() else None
    path = site.root / settings.python
    try:
        actual = sha256_file(path)
        with tarfile.open(path) as archive:
            names = {PurePosixPath(name) for name in archive.getnames()}
    except (OSError, tarfile.TarError) as error:
        why = os_reason(error) if isinstance(error, OSError) else f"it is no tar file: {error}"
        raise InputError(f"{path}", why, "correct [carry] python in site.toml") from error
    if actual != settings.python_sha256:
        why = f"its SHA-256 is {actual}, and carry.python_sha256 is {settings.python_sha256 or 'empty'}"
        raise InputError(f"{path}", why, "compare it with the one its publisher gives, then write that into site.toml")
    if PurePosixPath("python/bin/python3") not in names:
        why = "it has no python/bin/python3"
        raise InputError(f"{path}", why, "take a relocatable Python, such as an install_only archive")
    return path
