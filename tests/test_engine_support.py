"""The tests' own engine: it runs, publishes ports, and offline means offline."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.engine import BASE_IMAGE, TestEngine

pytestmark = pytest.mark.engine


def test_engine_runs_the_base_image(engine: TestEngine) -> None:
    release = engine.docker("run", "--rm", BASE_IMAGE, "cat", "/etc/os-release")
    assert "VERSION_CODENAME=bookworm" in release


def test_offline_engine_has_no_route(offline_engine: TestEngine) -> None:
    routes = subprocess.run(
        ["ip", "-n", offline_engine.netns, "route"], capture_output=True, text=True, check=True
    ).stdout
    assert routes == ""
    assert "Server" in offline_engine.docker("version")
