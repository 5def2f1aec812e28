"""A medium with a small console: launchers, uv, signature and hashes are real; its program records its arguments."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from core.carry.console_files import ConsoleFile, console_files, console_list_text, launcher_text, start_here_text
from core.carry.shipment import (
    CONSOLE_LIST,
    INDEX,
    MANIFEST,
    SHIPMENTS,
    SIGNATURE,
    Blob,
    Index,
    Manifest,
    blob_path,
    document_text,
    unique_contents,
)
from core.carry.shipment import Content as CarriedContent
from core.files import sha256_bytes, sha256_file
from core.site import Site
from tests.support import require
from tests.support.artifacts import wheel_file

ROOT = Path(__file__).parent.parent.parent
SHIPMENT = "20261130-120000-abcdef"
_PROGRAM = """\
import json, os, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
print("the console is here")
"""


def small_checkout(folder: Path, version: str = "0.1.0") -> Path:
    """A checkout whose launcher is the real one, with one small package and the uv of this environment as wheels."""
    for name in ("core/carry/stick", "tui", "docs", "docker", "requirements", "wheelhouse"):
        (folder / name).mkdir(parents=True)
    for name in ("xaiva", "requirements/pip_progress.py", "core/carry/stick/site_xaiva.sh", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("README.md", "README.ko.md", "CHANGELOG.md", "env.template", "requirements/demo.txt"):
        (folder / name).touch()
    (folder / "tui/__init__.py").touch()
    (folder / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    (folder / "tui/__main__.py").write_text(_PROGRAM)
    wheel_file(folder / "wheelhouse/tool-1.0-py3-none-any.whl", "tool", "1.0")
    uv_wheel(folder / "wheelhouse")
    pins = [
        f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
        for wheel in sorted((folder / "wheelhouse").iterdir())
        for name, version in [wheel.name.split("-")[:2]]
    ]
    (folder / "requirements/console.txt").write_text("".join(pins))
    return folder


def uv_wheel(folder: Path) -> Path:
    """A wheel with the program uv of this environment, laid out as the published one."""
    path = folder / f"uv-1.0-py3-none-manylinux_2_17_{platform.machine()}.whl"
    info = "uv-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(Path(sys.executable).with_name("uv"), "uv-1.0.data/scripts/uv")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: uv\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@dataclass(frozen=True)
class Office:
    """A key of the office, which signs what it packs."""

    key: Path
    fingerprint: str

    @classmethod
    def create(cls, folder: Path) -> Office:
        require(shutil.which("ssh-keygen"), "openssh-client")
        key = folder / "office-key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        shown = subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, text=True, check=True)
        return cls(key, shown.stdout.split()[1])

    def sign(self, text: bytes) -> bytes:
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", self.key, "-n", "carry@xaiva"]
        return subprocess.run(command, input=text, capture_output=True, check=True).stdout


def pack_console(medium: Path, office: Office, checkout: Path, site: Site, version: str = "0.1.0") -> list[ConsoleFile]:
    """Put a shipment on `medium` that has nothing but the console of `checkout`."""
    files = console_files(site, checkout)
    for file in files:
        blob = medium / blob_path(file.sha256)
        blob.parent.mkdir(parents=True, exist_ok=True)
        with file.open() as source, open(blob, "wb") as target:
            shutil.copyfileobj(source, target)
    contents = unique_contents(CarriedContent(sha256=file.sha256, size=file.size) for file in files)
    created = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
    welcome = start_here_text(shipment=SHIPMENT, created=created, office="anna@office", version=version)
    documents = {INDEX: document_text(Index(contents=contents)), CONSOLE_LIST: console_list_text(files)}
    top = {"xaiva": launcher_text(), "START-HERE.txt": welcome}
    manifest = Manifest(
        shipment=SHIPMENT, created=created, xaiva=version, documents=_blobs(documents.items()), root=_blobs(top.items())
    )
    text = document_text(manifest)
    folder = medium / SHIPMENTS / SHIPMENT
    folder.mkdir(parents=True)
    for name, data in {**documents, MANIFEST: text, SIGNATURE: office.sign(text)}.items():
        (folder / name).write_bytes(data)
    for name, data in top.items():
        (medium / name).write_bytes(data)
    sums = [f"{sha256_file(path)}  {path.relative_to(medium)}\n" for path in medium.rglob("*") if path.is_file()]
    (medium / "SHA256SUMS").write_text("".join(sorted(sums, key=lambda line: line[66:])))
    return files


def _blobs(files: Iterable[tuple[str, bytes]]) -> dict[str, Blob]:
    return {name: Blob(sha256=sha256_bytes(data), size=len(data)) for name, data in files}


@dataclass(frozen=True)
class Box:
    """A machine at a site, as far as the launcher sees it: no network, a home, and perhaps fewer programs."""

    home: Path
    path: str = field(default_factory=lambda: os.environ["PATH"])
    user: int = 0

    @property
    def target(self) -> Path:
        """Where xaiva is installed unless another folder is named."""
        return self.home / "xaiva"

    @property
    def env(self) -> dict[str, str]:
        calls = os.fspath(self.home / "calls")
        return {"PATH": self.path, "HOME": os.fspath(self.home), "CALLS": calls, "LANG": "C.UTF-8", "UV": "none"}

    @property
    def calls(self) -> list[list[str]]:
        """The arguments with which the console was started."""
        path = self.home / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def command(self, medium: Path, *arguments: str) -> list[str]:
        """The launcher in a network namespace without a route."""
        shell, unshare = shutil.which("sh"), shutil.which("unshare")
        require(unshare and os.geteuid() == 0, "root and unshare, for a network namespace")
        user = ["setpriv", f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups"] if self.user else []
        return [unshare or "", "--net", *user, shell or "", os.fspath(medium / "xaiva"), *arguments]

    def start(self, medium: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What the launcher did without a terminal."""
        return subprocess.run(
            self.command(medium, *arguments),
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
