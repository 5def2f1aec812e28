"""A loopback index, and a site whose downloads time out quickly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.site import Site
from tests.support.artifacts import with_settings
from tests.support.index import Index, serve


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    files = tmp_path / "served"
    files.mkdir()
    with serve(files) as running:
        yield running


@pytest.fixture
def quick(site: Site) -> Site:
    return with_settings(site)
