"""A base image's apt that fails is reported as such, and is not taken for a missing package."""

from __future__ import annotations

import os
import time

import pytest

from core.artifacts.debs import DebRequest, resolve_debs
from core.artifacts.helper_container import HelperContainer, HelperFailed
from core.engine import connect_engine
from core.errors import XaivaError
from core.progress import NullProgress
from core.site import Site
from tests.support import PATIENCE
from tests.support.engine import BASE_IMAGE, TestEngine

pytestmark = pytest.mark.engine


def ask(engine: TestEngine, site: Site, sources: str, *debs: str, beside: bool = False) -> bool:
    """Whether the base image has that Python, with these package sources alone or beside its own."""
    engine.docker("rm", "--force", "sources", check=False)
    script = f"echo '{sources}' >> /etc/apt/sources.list"
    if not beside:
        script = f"rm -rf /etc/apt/sources.list*; {script}"
    engine.docker("run", "--name", "sources", BASE_IMAGE, "sh", "-c", script)
    image = engine.docker("commit", "sources").strip()
    engine.docker("rm", "sources")
    try:
        request = DebRequest("3.11", debs, [])
        return resolve_debs(connect_engine(site, 60), image, request, os.environ, NullProgress()).python
    finally:
        engine.docker("rmi", image)


def test_a_script_that_ends_at_once_is_not_waited_for_forever(engine_site: Site) -> None:
    deadline = time.monotonic() + PATIENCE

    class Patient(NullProgress):
        """Gives up when it takes too long."""

        def cancelled(self) -> bool:
            return time.monotonic() > deadline

    for _ in range(10):
        with HelperContainer(connect_engine(engine_site, 60), BASE_IMAGE, "echo out; echo err >&2", {}, {}) as helper:
            assert helper.run(Patient(), "It") == "out\n"


def test_an_image_without_package_sources_is_named_as_such(engine: TestEngine, engine_site: Site) -> None:
    assert not ask(engine, engine_site, "")
    with pytest.raises(XaivaError, match=r"has no package sources, so hello cannot") as caught:
        ask(engine, engine_site, "", "hello")
    assert "sources.list" in caught.value.remedy


def test_one_source_that_cannot_be_reached_may_hold_any_package(engine: TestEngine, engine_site: Site) -> None:
    """When a package source is down, the distribution's package of the same name must not be taken."""
    with pytest.raises(HelperFailed, match=r"http://127\.0\.0\.1:9/ours\S* could not be reached"):
        ask(engine, engine_site, "deb [trusted=yes] http://127.0.0.1:9/ours bookworm main", "hello", beside=True)


def test_sources_that_cannot_be_reached_are_no_missing_packages(engine: TestEngine, engine_site: Site) -> None:
    with pytest.raises(HelperFailed, match="none of its package sources could be reached"):
        ask(engine, engine_site, "deb [trusted=yes] http://127.0.0.1:9/debian bookworm main")
