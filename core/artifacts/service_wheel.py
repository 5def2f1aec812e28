"""Builds the wheel of the inference service; the same code gives the same bytes on every machine.

It holds `core/inference/` and the modules that it imports, and nothing of the console.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

import core
from core.errors import XaivaError
from core.project_metadata import package_version, read_project

DISTRIBUTION = "xaiva-inference"
EXTRA = "inference"
TOP_PACKAGE = "core"
SERVICE = "inference"  # the folder of the service below TOP_PACKAGE
# No module imports these: they run as processes of their own.
SCRIPTS = ("telemetry/nvml_child.py", "operations/supervisor.py", "operations/worker.py")
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time a zip can say; a wheel's bytes must not depend on the day
REGULAR_FILE = 0o100644 << 16


def service_requirements() -> list[str]:
    """What the inference service needs, from the project's own metadata: the extra `inference`."""
    return _normalized(read_project(EXTRA)[1])


def wheel_name() -> str:
    """The wheel's file name."""
    return f"{DISTRIBUTION.replace('-', '_')}-{version()}-py3-none-any.whl"


def version() -> str:
    """The version of this xaiva."""
    return package_version()


def build() -> bytes:
    """The wheel. Raises XaivaError when the code cannot be read."""
    info = f"{DISTRIBUTION.replace('-', '_')}-{version()}.dist-info"
    try:
        files = dict(_packaged_files())
    except OSError as error:
        raise XaivaError("The service's wheel", str(error), "install xaiva again") from error
    files[f"{info}/METADATA"] = _metadata().encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: xaiva\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nxaiva-inference = core.inference.__main__:main\n"
    files[f"{info}/top_level.txt"] = f"{TOP_PACKAGE}\n".encode()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    return _zip(files)


def _normalized(requirements: list[str]) -> list[str]:
    """The same words however they were written: both origins must give the same wheel."""
    return sorted(str(Requirement(text)) for text in requirements)


def _packaged_files() -> Iterator[tuple[str, bytes]]:
    """Each file of the wheel: its name in the archive and its content."""
    top = Path(core.__file__).parent
    service = {path for path in (top / SERVICE).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    modules = [path for path in (*service, *(top / script for script in SCRIPTS)) if path.suffix == ".py"]
    for path in service | _with_imports(top, modules):
        yield path.relative_to(top.parent).as_posix(), path.read_bytes()


def _with_imports(top: Path, modules: list[Path]) -> set[Path]:
    """The modules, all modules of `core` that they import, directly or not, and the packages that hold them."""
    reached: set[Path] = set()
    waiting = list(modules)
    while waiting:
        path = waiting.pop()
        if path in reached or not path.is_file():
            continue
        reached.add(path)
        waiting += [folder / "__init__.py" for folder in path.parents if folder.is_relative_to(top)]
        for name in _imports(path.read_bytes()):
            module = top.parent.joinpath(*name.split("."))
            waiting += [module.with_suffix(".py"), module / "__init__.py"]
    return reached


def _imports(source: bytes) -> Iterator[str]:
    """The dotted names of `core` that a module imports, wherever in it; a name may be a module's or what it holds."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == TOP_PACKAGE)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == TOP_PACKAGE:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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
