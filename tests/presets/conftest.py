"""A site folder with nothing in it, and the shipped presets."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.site import Site

CHECKOUT = Path(__file__).parents[2]
SHIPPED = sorted(path for path in (CHECKOUT / "presets").glob("*.json") if path.name != "preset.schema.json")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty site."""
    (tmp_path / "presets").mkdir()
    return Site.open(tmp_path, environ={})
