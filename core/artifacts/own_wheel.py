"""Our own wheel, made from this checkout or installation: the same code gives the same bytes on every machine."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import core
from core.errors import XaivaError

DISTRIBUTION = "xaiva-console"
EXTRA = "inference"  # what runs inside an image
TOP = "core"
ROOMS = ("inference", "telemetry")  # what an image runs, and what it stands on; the console's rooms stay outside
SUFFIXES = (".py", ".json", ".j2", ".tcss", ".sql", ".html", ".typed")
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time a zip can say; a wheel's bytes must not depend on the day
REGULAR_FILE = 0o100644 << 16


def service_requirements() -> list[str]:
    """What the inference service needs, from the project's own metadata: the extra `inference`."""
    marker = f'extra == "{EXTRA}"'
    requires = metadata.requires(DISTRIBUTION) or []
    found = []
    for line in requires:
        requirement, _, condition = (part.strip() for part in line.partition(";"))
        if condition.replace("'", '"') == marker:
            found.append(requirement)
    return sorted(found)


def wheel_name() -> str:
    """The wheel's file name."""
    return f"{DISTRIBUTION.replace('-', '_')}-{version()}-py3-none-any.whl"


def version() -> str:
    """The version of this xaiva."""
    return metadata.version(DISTRIBUTION)


def build() -> bytes:
    """The wheel. Raises XaivaError when the code cannot be read."""
    info = f"{DISTRIBUTION.replace('-', '_')}-{version()}.dist-info"
    try:
        files = dict(_code())
    except OSError as error:
        raise XaivaError("Our own wheel", str(error), "repair the installation of xaiva") from error
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: xaiva\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nxaiva-inference = core.inference.__main__:main\n"
    files[f"{info}/top_level.txt"] = f"{TOP}\n".encode()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    return _zip(files)


def _code() -> Iterator[tuple[str, bytes]]:
    folder = Path(core.__file__).parent
    ground = (path for path in folder.iterdir() if path.suffix in SUFFIXES)
    rooms = (path for room in ROOMS for path in (folder / room).rglob("*"))
    for path in (*ground, *rooms):
        if path.suffix in SUFFIXES and path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder.parent).as_posix(), path.read_bytes()


def _metadata() -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {DISTRIBUTION}", f"Version: {version()}", "Requires-Python: >=3.10"]
    lines += [f"Requires-Dist: {requirement}" for requirement in service_requirements()]
    return "\n".join(lines) + "\n"


def _record(files: dict[str, bytes], own_name: str) -> bytes:
    lines = []
    for name, data in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    return "".join([*lines, f"{own_name},,\n"]).encode()


def _zip(files: dict[str, bytes]) -> bytes:
    """Stored, not deflated: zlib's output differs between its implementations, and the image squeezes it anyway."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, ZIP_EPOCH)
            entry.create_system = 3  # Unix, whatever machine this is
            entry.external_attr = REGULAR_FILE
            archive.writestr(entry, data)
    return buffer.getvalue()
