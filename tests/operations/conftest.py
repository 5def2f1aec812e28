"""A ledger over small works, whose operations are over when the test is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.operations.ledger import Ledger
from core.site import Site
from tests.operations.work import KINDS
from tests.support import require


@pytest.fixture
def ledger(site: Site) -> Iterator[Ledger]:
    """The ledger of an empty site."""
    opened = Ledger(site, KINDS)
    yield opened
    for operation in opened.list(live_only=True):
        opened.cancel(operation.id)
        opened.wait(operation.id, 10)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    require(os.getuid() == 0, "root, to mount a tmpfs")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", place], capture_output=True, check=False)
    require(mounted.returncode == 0, "the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", place], check=True)
