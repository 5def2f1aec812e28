"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.site import ServiceSettings, Site, SiteSettings
from tests.support.engine import TestEngine, start_engine
from tests.support.postgres import Postgres, postgres_server

# The tests must not see the developer's own settings of a site or an engine.
for name in ("XAIVA_SITE", "XAIVA_SOURCE_PATH", "XAIVA_SERVICE_URL", "DOCKER_HOST", "DOCKER_CONTEXT"):
    os.environ.pop(name, None)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty site of its own, without a service: whoever tests may have one at the usual port."""
    root = tmp_path / "site"
    for folder in ("presets", "artifacts", "docker"):
        (root / folder).mkdir(parents=True)
    opened = Site.open(root)
    nowhere = SiteSettings(service=ServiceSettings(url="http://127.0.0.1:9"))
    return Site(root, nowhere, opened.env)


@pytest.fixture(scope="session")
def engine() -> Iterator[TestEngine]:
    """A real engine with the host's network and the Debian base image."""
    with start_engine() as running:
        yield running


@pytest.fixture(scope="session")
def offline_engine() -> Iterator[TestEngine]:
    """A real engine in a network namespace without a route; it knows no image."""
    with start_engine(offline=True, base=False) as running:
        yield running


@pytest.fixture
def engine_site(site: Site, engine: TestEngine) -> Site:
    """A site whose environment points at the test engine."""
    return Site(site.root, site.settings, engine.env)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server."""
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, on SQLite and then on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'xaiva.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()
