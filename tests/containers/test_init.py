"""A container has an init, so that processes that have ended do not stay in its process table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import docker
from core import labels
from core.containers.launch import check_launch, launch
from core.findings import Level
from core.site import Site
from tests.containers.conftest import NAME, preset
from tests.support import until
from tests.support.engine import BASE_IMAGE, TestEngine, start_engine

pytestmark = pytest.mark.engine

# A process whose parent ends before it, as that of an operation.
ORPHAN = ["sh", "-c", "(sleep 0.1 & exec true); exec sleep 1000"]


def test_an_orphan_that_ended_is_gone(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    container = launch(engine_site, NAME, preset(command=ORPHAN))

    def commands() -> list[str]:
        return [process[-1] for process in client.api.top(container.id)["Processes"]]

    assert commands()[0].startswith("/sbin/docker-init -- ")
    until(lambda: not any("sleep 0.1" in command or "defunct" in command for command in commands()))


@pytest.fixture
def without_init(tmp_path: Path) -> Iterator[TestEngine]:
    """An engine whose docker-init is missing."""
    with start_engine(offline=True, settings={"init-path": str(tmp_path / "docker-init")}) as engine:
        engine.docker("tag", BASE_IMAGE, labels.image_tag(NAME))
        yield engine


def test_an_engine_without_init_launches_and_says_so(without_init: TestEngine, site: Site) -> None:
    there = Site(site.root, site.settings, {**site.env, "DOCKER_HOST": without_init.host})
    (finding,) = check_launch(there, NAME, preset())
    assert (finding.level, finding.code) == (Level.WARNING, "no-init")
    assert launch(there, NAME, preset()).running
