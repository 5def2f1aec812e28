"""Real Debian packages."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support import require

MACHINE_READABLE = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: tool

Files: *
Copyright: Somebody
License: GPL-2+
 The text.

Files: lib/*
License: MIT

License: MIT
 Permission is granted.
"""


def build_deb(folder: Path, package: str, copyright: str | None, compression: str = "xz", link: str = "") -> Path:
    """A real package; `link` is the package whose documents are also its own."""
    require(shutil.which("dpkg-deb"), "dpkg-deb")
    root = folder / f"root-{package}-{compression}"
    documents = root / "usr/share/doc"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        f"Package: {package}\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.net>\nDescription: small\n"
    )
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_text("x" * 10_000)
    documents.mkdir(parents=True)
    if link:
        (documents / package).symlink_to(link)
    else:
        (documents / package).mkdir()
        (documents / package / "changelog").write_text("x")
    if copyright is not None:
        (documents / package / "copyright").write_text(copyright)
    path = folder / f"{package}_1.0_all.deb"
    argv = ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "--build", str(root), str(path)]
    done = subprocess.run(argv, capture_output=True, text=True)
    require(done.returncode == 0, f"a dpkg-deb that packs {compression}: {done.stderr}")
    return path
