"""Sites that have no engine, and the tests' own engine without anything of xaiva in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.site import Site
from tests.support.engine import TestEngine, start_engine


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


@pytest.fixture(params=["classic", "containerd"])
def either_engine(request: pytest.FixtureRequest) -> Iterator[TestEngine]:
    """An engine with each of the two image stores."""
    if request.param == "classic":
        yield request.getfixturevalue("clean_engine")
        return
    with start_engine(base=False, settings={"features": {"containerd-snapshotter": True}}) as running:
        yield running
