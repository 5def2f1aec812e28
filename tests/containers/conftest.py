"""A preset whose image is the plain Debian base, so that launches need no build."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import docker
from core import labels
from core.containers import manage
from core.engine import connect_engine
from core.presets.model import Preset
from core.site import Site
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.ports import HeldPort

NAME = "plain"
FOREVER = ["sh", "-c", "echo started; exec sleep 1000"]


def preset(**run: Any) -> Preset:
    """A preset with these run settings; it sleeps unless told otherwise."""
    settings = {"command": FOREVER, "restart": "no", **run}
    return Preset.model_validate({"base_image": BASE_IMAGE, "python_version": "3.11", "run": settings})


@pytest.fixture
def watch_start_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets launches watch the start for so many seconds; 0: they are done whatever the command does then."""
    return partial(monkeypatch.setattr, manage, "_START_WATCH_SECONDS")


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine that is free, and that no other test gets."""
    with HeldPort() as port:
        yield port.number


@pytest.fixture
def image(engine: TestEngine) -> str:
    """The image of the preset `plain`."""
    tag = labels.image_tag(NAME)
    engine.docker("tag", BASE_IMAGE, tag)
    return tag


@pytest.fixture
def client(engine: TestEngine, engine_site: Site) -> Iterator[docker.DockerClient]:
    """A client of the test engine; every container is removed afterwards."""
    connected = connect_engine(engine_site)
    yield connected
    connected.close()
    containers = engine.docker("ps", "-aq").split()
    if containers:
        engine.docker("rm", "-f", *containers, check=False)  # one that ends with --rm may be going already
