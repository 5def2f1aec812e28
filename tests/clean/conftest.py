"""Sites that have no engine, and the tests' own engine without anything of xaiva in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.site import Site
from tests.support.engine import TestEngine


@pytest.fixture
def engineless_site(site: Site) -> Site:
    """A site whose engine does not exist: a clean-up must not reach an engine of this machine."""
    return Site(site.root, site.settings, {**site.env, "DOCKER_HOST": f"unix://{site.root}/none.sock"})


@pytest.fixture
def clean_engine(engine: TestEngine) -> Iterator[TestEngine]:
    """The tests' engine; what a test leaves in it is removed."""
    before = set(engine.docker("images", "-aq", "--no-trunc").split())
    yield engine
    for container in engine.docker("ps", "-aq").split():
        engine.docker("rm", "-f", container)
    for image in set(engine.docker("images", "-aq", "--no-trunc").split()) - before:
        engine.docker("rmi", "-f", image, check=False)
