"""A ledger with the kinds of `sample_kinds`, whose operations are ended after the test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.operations.ledger import Ledger
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.sample_kinds import KINDS
from tests.support import disks


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder for temporary files of operations."""
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    with disks.small_disk(tmp_path / "disk", "3m") as place:
        yield place
