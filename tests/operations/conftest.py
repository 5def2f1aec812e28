"""A ledger with the kinds of `sample_kinds`, whose operations are ended after the test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.operations.ledger import Ledger
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.queue_place import queue_ledger
from tests.operations.sample_kinds import KINDS
from tests.support import disks

MakeLedger = Callable[..., Ledger]


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
def make(site: Site, temporary: Path) -> Iterator[MakeLedger]:
    """Makes a ledger whose operations queue, as `queue_ledger` does; they are ended after the test."""
    ledgers: list[Ledger] = []

    def make_ledger(*words: Any, **more: Any) -> Ledger:
        ledgers.append(queue_ledger(site.root, temporary, *words, **more))
        return ledgers[-1]

    yield make_ledger
    for ledger in ledgers:
        live = ledger.list(limit=1000, live_only=True)
        for operation in live:
            ledger.cancel(operation.id)
        for operation in live:
            ledger.wait(operation.id, 10)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    with disks.small_disk(tmp_path / "disk", "3m") as place:
        yield place
