"""Sites for the console: empty, and with presets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.site import Site

SHIPPED = Path(__file__).parents[2] / "presets"


@pytest.fixture
def bare_site(site: Site, tmp_path: Path) -> Site:
    """An empty site: no engine, no service, no ledger, no preset."""
    env = {**site.env, "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
    settings = site.settings.model_copy(
        update={"service": site.settings.service.model_copy(update={"url": "http://127.0.0.1:9"})}
    )
    return Site(site.root, settings, env)


@pytest.fixture
def preset_site(bare_site: Site) -> Site:
    """Two good presets and a broken one."""
    for name in ("cpu-debian12", "ubuntu22.04-cuda12.6"):
        shutil.copy(SHIPPED / f"{name}.json", bare_site.presets)
    (bare_site.presets / "broken.json").write_text('{"base_image": "debian:12",\n "python_version": 3}\n')
    return bare_site
