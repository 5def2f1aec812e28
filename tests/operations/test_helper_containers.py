"""Helper containers of a killed worker are removed by its supervisor or by the next operation with helpers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import docker
from core import doctor, labels
from core.artifacts.orphaned_helpers import find_orphans, remove_orphans
from core.engine import connect_engine
from core.operations import processes
from core.operations.ledger import Ledger
from core.operations.model import Operation, OperationState
from core.process_identity import is_gone, own_identity
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.sample_kinds import KINDS
from tests.operations.support import first_line
from tests.support import until
from tests.support.engine import BASE_IMAGE, TestEngine

pytestmark = pytest.mark.engine


@pytest.fixture
def client(engine_site: Site, engine: TestEngine) -> Iterator[docker.DockerClient]:
    """A client of the engine, which has no helpers left afterwards."""
    connected = connect_engine(engine_site)
    yield connected
    connected.close()
    if left := helpers(engine):
        engine.docker("rm", "-f", *left)


@pytest.fixture
def helping(engine_site: Site, temporary: Path) -> Iterator[tuple[Ledger, Operation, int]]:
    """A ledger with an operation whose worker waits for its helper container, and that worker's pid."""
    env = {**engine_site.env, "TMPDIR": os.fspath(temporary)}
    ledger = site_ledger(Site(engine_site.root, engine_site.settings, env), KINDS)
    operation = ledger.start("helper", BASE_IMAGE)
    pid = int(first_line(ledger, operation, "pid").split()[-1])
    first_line(ledger, operation, "helping")
    yield ledger, ledger.get(operation.id), pid
    for one in ledger.list(live_only=True):
        ledger.cancel(one.id)
        ledger.wait(one.id, 10)


def helpers(engine: TestEngine) -> list[str]:
    return engine.docker("ps", "-aq", "--filter", f"label={labels.HELPER_OWNER}").split()


def test_the_supervisor_removes_the_container_of_a_killed_worker(
    client: docker.DockerClient, engine: TestEngine, helping: tuple[Ledger, Operation, int]
) -> None:
    ledger, operation, pid = helping
    assert len(helpers(engine)) == 1
    assert find_orphans(client) == []  # its worker is at work
    os.kill(pid, signal.SIGKILL)
    assert ledger.wait(operation.id, 20).state is OperationState.CRASHED
    until(lambda: not helpers(engine))


def test_the_next_one_removes_what_a_killed_supervisor_left(
    client: docker.DockerClient, engine: TestEngine, engine_site: Site, helping: tuple[Ledger, Operation, int]
) -> None:
    ledger, operation, pid = helping
    os.kill(operation.pid, signal.SIGSTOP)  # so that it cannot notice
    os.kill(pid, signal.SIGKILL)
    os.kill(operation.pid, signal.SIGKILL)
    until(lambda: not processes.start_time(pid) and not processes.start_time(operation.pid))
    (name,) = find_orphans(client)
    (said,) = [one for one in doctor.examine(engine_site) if one.code == "helpers"]
    assert name in said.why
    assert name in said.remedy
    assert ledger.wait(ledger.start("helper", BASE_IMAGE, {"quick": True}).id, 30).state is OperationState.DONE
    assert helpers(engine) == []


def test_containers_of_others_are_left_alone(client: docker.DockerClient, engine: TestEngine) -> None:
    boot, namespace, pid, started = own_identity().split("/")
    identities = {
        "ours": own_identity(),
        "other-machine": f"other/{namespace}/{pid}/{started}",
        "other-namespace": f"{boot}/pid:[1]/{pid}/{started}",
        "older-xaiva": "1",
    }
    for name, identity in identities.items():
        engine.docker("create", "--name", name, "--label", f"{labels.HELPER_OWNER}={identity}", BASE_IMAGE, "true")
        assert not is_gone(identity)
    gone = f"{boot}/{namespace}/{pid}/1"  # the pid was given to another process since
    engine.docker(
        "run", "-d", "--name", "gone", "--label", f"{labels.HELPER_OWNER}={gone}", BASE_IMAGE, "sleep", "1000"
    )
    remove_orphans(client)
    assert len(helpers(engine)) == len(identities)
    assert engine.docker("ps", "-aq", "--filter", "name=^gone$") == ""


def test_several_may_remove_the_same_ones(client: docker.DockerClient, engine: TestEngine) -> None:
    boot, namespace, pid, _ = own_identity().split("/")
    for number in range(4):
        label = f"{labels.HELPER_OWNER}={boot}/{namespace}/{pid}/1"
        engine.docker("run", "-d", "--name", f"gone-{number}", "--label", label, BASE_IMAGE, "sleep", "1000")
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(remove_orphans, [client] * 4)) == [None] * 4
    until(lambda: engine.docker("ps", "-aq", "--filter", "name=^gone-") == "")
