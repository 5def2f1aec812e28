"""A healthy container is reported as healthy within seconds, however long the interval of its health check is."""

from __future__ import annotations

import pytest

import docker
from core.containers.launch import launch
from core.containers.manage import wait_healthy
from core.containers.model import ContainerHealth
from core.site import Site
from tests.containers.conftest import NAME, preset
from tests.support.engine import BASE_IMAGE, TestEngine

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("whose", ["image", "preset"])
def test_the_first_health_check_comes_soon(
    whose: str, engine: TestEngine, engine_site: Site, client: docker.DockerClient, image: str
) -> None:
    check = "HEALTHCHECK --interval=10m --start-period=60s --retries=5 CMD true"
    made = engine.docker("create", BASE_IMAGE, "true").strip()
    engine.docker("commit", "--change", check, made, image)
    engine.docker("rm", made)
    own = {"command": ["test", "-d", "/"], "interval": 600} if whose == "preset" else None
    launch(engine_site, NAME, preset(health_check=own))
    assert wait_healthy(client, "xaiva-plain", timeout=60).health is ContainerHealth.HEALTHY
    container = client.api.inspect_container("xaiva-plain")["Config"]["Healthcheck"]
    assert (container["Interval"], container["Retries"]) == (600 * 10**9, 5 if whose == "image" else 3)
    assert (container["Test"][-1] == "true") is (whose == "image")
