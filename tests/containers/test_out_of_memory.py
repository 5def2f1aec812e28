"""A container, or a process in one, that the kernel killed because memory ran out."""

from __future__ import annotations

import pytest

import docker
from core.containers.container_logs import read_logs
from core.containers.listing import get_container, inspect_container
from core.containers.manage import diagnose
from core.findings import Level
from tests.support import until
from tests.support.engine import BASE_IMAGE, TestEngine

pytestmark = pytest.mark.engine
BOUNDS = ("--memory", "32m", "--memory-swap", "32m")
TOO_MUCH = "head -c 200m /dev/zero | tail"


@pytest.fixture(autouse=True)
def killed_container(engine: TestEngine, client: docker.DockerClient) -> str:
    """A container whose first process the kernel has killed; skips where the engine does not learn of that."""
    engine.docker("run", "--name", "hog", *BOUNDS, BASE_IMAGE, "sh", "-c", TOO_MUCH, check=False)
    if not get_container(client, "hog").oom_killed:
        pytest.skip("this machine's cgroups do not report the out-of-memory killer")
    return "hog"


def test_out_of_memory_is_named(client: docker.DockerClient, killed_container: str) -> None:
    (finding,) = diagnose(client, killed_container)
    assert (finding.code, finding.why) == ("oom", "the kernel killed it: it ran out of memory")


def test_a_container_that_lost_a_process_for_lack_of_memory_is_said_to_run_on(
    engine: TestEngine, client: docker.DockerClient
) -> None:
    script = f"({TOO_MUCH}); echo it is over; exec sleep 1000"
    engine.docker("run", "-d", "--name", "lost-one", *BOUNDS, BASE_IMAGE, "sh", "-c", script)
    until(lambda: "it is over" in [line.text for line in read_logs(client, "lost-one")])
    until(lambda: inspect_container(client, "lost-one")["State"]["OOMKilled"])
    assert get_container(client, "lost-one").condition == "running"
    (finding,) = diagnose(client, "lost-one")
    assert (finding.code, finding.level) == ("oom", Level.WARNING)
    assert finding.why == "the kernel killed a process in it, because memory ran out; the container runs on"
