"""A ledger over small works, whose operations are over when the test is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.operations.ledger import Ledger
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.sample_kinds import KINDS
from tests.support import require


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder for the temporary files of the ledger's operations."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def ledger(site: Site, temporary: Path) -> Iterator[Ledger]:
    """The ledger of an empty site."""
    opened = site_ledger(Site(site.root, site.settings, {**site.env, "TMPDIR": os.fspath(temporary)}), KINDS)
    yield opened
    for operation in opened.list(live_only=True):
        opened.cancel(operation.id)
        opened.wait(operation.id, 10)


@contextmanager
def disk(place: Path, size: str) -> Iterator[Path]:
    """A disk of that size, mounted at `place`."""
    require(os.getuid() == 0, "root, to mount a tmpfs")
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place]
    mounted = subprocess.run(words, capture_output=True, check=False)
    require(mounted.returncode == 0, "the right to mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    with disk(tmp_path / "disk", "3m") as place:
        yield place
