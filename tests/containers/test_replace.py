"""Replacing a container by another one, on a real engine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import docker
from core import labels
from core.containers.launch import LaunchError, check_launch, launch
from core.containers.listing import list_containers
from core.containers.manage import diagnose, stop_container
from core.containers.model import Container, ContainerState
from core.engine import EngineError
from core.findings import Level
from core.presets.model import Preset
from core.site import Site
from tests.containers.conftest import NAME, preset
from tests.support import until
from tests.support.engine import BASE_IMAGE, TestEngine

pytestmark = pytest.mark.engine


ENDS_AT_ONCE = ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]  # on SIGTERM, unlike a bare sleep


def quick(**run: Any) -> Preset:
    return preset(**{"command": ENDS_AT_ONCE, **run})


def codes(site: Site, **run: object) -> list[str]:
    return [finding.code for finding in check_launch(site, NAME, quick(**run))]


def test_it_is_replaced_only_when_asked(engine_site: Site, client: docker.DockerClient, image: str, port: int) -> None:
    ports = [f"127.0.0.1:{port}:80"]
    first = launch(engine_site, NAME, quick(ports=ports))
    assert codes(engine_site, ports=ports) == ["already-running"]
    with pytest.raises(LaunchError, match="already running"):
        launch(engine_site, NAME, quick())
    stop_container(client, first.name, seconds=0)
    until(lambda: codes(engine_site), lambda found: found == ["name-taken"])  # a busy engine notes the end later
    second = launch(engine_site, NAME, quick(), replace=True)
    assert second.id != first.id
    assert [container.id for container in list_containers(client)] == [second.id]


def test_failed_replacement_keeps_the_old_container(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    first = launch(engine_site, NAME, quick())
    stop_container(client, first.name, seconds=0)
    with pytest.raises(EngineError, match="no program /no/such") as caught:
        launch(engine_site, NAME, quick(command=["/no/such"]), replace=True)
    assert "run.command" in caught.value.remedy
    (containers,) = list_containers(client)
    assert (containers.id, containers.name) == (first.id, first.name)


def test_a_replacement_cut_off_before_the_new_one(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    old = launch(engine_site, NAME, quick())
    stop_container(client, old.name, seconds=0)
    client.api.rename(old.id, f"{old.name}-before")  # as far as a launch had come when it was killed
    assert diagnose(client, f"{old.name}-before")[0].code == "set-aside"
    with pytest.raises(LaunchError, match="a stopped container has this name"):
        launch(engine_site, NAME, quick())
    assert [(one.id, one.name) for one in list_containers(client)] == [(old.id, old.name)]


def put_into(engine: TestEngine, name: str, state: str) -> None:
    """Put a running container into another state."""
    if state == "paused":
        engine.docker("pause", name)
    elif state == "exited":
        engine.docker("stop", "-t", "0", name)
    until(lambda: engine.docker("inspect", "-f", "{{.State.Status}}", name).strip(), lambda now: now == state)


STATES = ["running", "paused", "restarting", "exited"]


def old_one(site: Site, engine: TestEngine, state: str, port: int) -> Container:
    """A container in a state, launched without watching its start; it publishes the port."""
    run: dict[str, Any] = {"ports": [f"127.0.0.1:{port}:80"]}
    if state == "restarting":
        run |= {"restart": "always", "command": ["sh", "-c", "sleep 1.5; exit 3"]}
    container = launch(site, NAME, quick(**run))
    put_into(engine, container.name, state)
    return container


@pytest.mark.parametrize("state", STATES)
def test_replace_takes_the_place_in_every_state(
    engine_site: Site,
    engine: TestEngine,
    client: docker.DockerClient,
    image: str,
    port: int,
    watch_start_for: Callable[[float], None],
    state: str,
) -> None:
    watch_start_for(0)
    old = old_one(engine_site, engine, state, port)
    new = launch(engine_site, NAME, quick(ports=[f"127.0.0.1:{port}:80"]), replace=True)
    (left,) = list_containers(client)
    assert (left.id, left.name, left.state) == (new.id, old.name, ContainerState.RUNNING)
    assert new.id != old.id
    assert new.ports[0].host_port == port


@pytest.mark.parametrize("fault", ["no-program", "ends-in-error"])
@pytest.mark.parametrize("state", STATES)
def test_a_failed_replacement_leaves_the_old_one_as_it_was(
    engine_site: Site,
    engine: TestEngine,
    client: docker.DockerClient,
    image: str,
    port: int,
    watch_start_for: Callable[[float], None],
    state: str,
    fault: str,
) -> None:
    watch_start_for(0)
    old = old_one(engine_site, engine, state, port)
    watch_start_for(60)
    command = ["/no/such"] if fault == "no-program" else ["sh", "-c", "exit 3"]
    with pytest.raises(EngineError):
        launch(engine_site, NAME, quick(command=command, ports=[f"127.0.0.1:{port}:80"]), replace=True)
    (left,) = list_containers(client)
    assert (left.id, left.name) == (old.id, old.name)
    assert left.running == (state != "exited")
    assert (left.state is ContainerState.PAUSED) == (state == "paused")


def test_a_container_that_cannot_be_created_disturbs_nobody(
    engine_site: Site, engine: TestEngine, client: docker.DockerClient, image: str
) -> None:
    old = launch(engine_site, NAME, quick())
    began = engine.docker("inspect", "-f", "{{.State.StartedAt}}", old.name)
    with pytest.raises(EngineError):
        launch(engine_site, NAME, quick(volumes=["/:/a:nonsense"]), replace=True)
    assert engine.docker("inspect", "-f", "{{.State.StartedAt}}", old.name) == began


def test_an_old_one_that_cannot_come_back_is_named(
    engine_site: Site, engine: TestEngine, client: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    old = launch(engine_site, NAME, quick(volumes=[f"{folder}:/here"]))
    folder.rmdir()
    with pytest.raises(EngineError, match="the previous container could not be restored"):
        launch(engine_site, NAME, quick(command=["/no/such"]), replace=True)
    (left,) = list_containers(client)
    assert (left.id, left.name) == (old.id, old.name)


def test_the_preview_says_what_is_replaced(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    launch(engine_site, NAME, quick(), name="gate")
    (finding,) = check_launch(engine_site, "other", quick(), name="gate", replace=True)[1:]
    assert (finding.level, finding.code) == (Level.NOTE, "replaced")
    assert "preset plain" in finding.why


def test_one_cut_off_after_the_stop_runs_again(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    old = launch(engine_site, NAME, quick())
    client.api.rename(old.id, f"{old.name}-before")
    _created(client, old.name, before="running")
    stop_container(client, old.id, seconds=0)
    with pytest.raises(LaunchError, match="already running"):
        launch(engine_site, NAME, quick())
    assert [(one.id, one.state) for one in list_containers(client)] == [(old.id, ContainerState.RUNNING)]


@pytest.mark.parametrize("started", [False, True])
def test_a_replacement_cut_off_with_the_new_one_there(
    engine_site: Site, client: docker.DockerClient, image: str, started: bool
) -> None:
    old = launch(engine_site, NAME, quick())
    stop_container(client, old.name, seconds=0)
    client.api.rename(old.id, f"{old.name}-before")
    new = _created(client, old.name)
    if started:
        client.api.start(new)
        with pytest.raises(LaunchError, match="already running"):
            launch(engine_site, NAME, quick())
        assert [one.id for one in list_containers(client)] == [new]
    else:
        third = launch(engine_site, NAME, quick(), replace=True)
        assert third.id not in (old.id, new)
        assert [(one.id, one.name) for one in list_containers(client)] == [(third.id, old.name)]


def test_a_name_that_is_not_free_disturbs_nobody(
    engine_site: Site, engine: TestEngine, client: docker.DockerClient, image: str
) -> None:
    old = launch(engine_site, NAME, quick())
    engine.docker("create", "--name", f"{old.name}-before", BASE_IMAGE, "true")
    began = engine.docker("inspect", "-f", "{{.State.StartedAt}}", old.name)
    with pytest.raises(LaunchError, match=f"{old.name}-before: another container has the name"):
        launch(engine_site, NAME, quick(), replace=True)
    assert engine.docker("inspect", "-f", "{{.State.StartedAt}}", old.name) == began


def test_a_name_that_ends_like_one_set_aside(
    engine_site: Site, client: docker.DockerClient, image: str, engine: TestEngine
) -> None:
    with pytest.raises(LaunchError, match="are reserved for containers that are being replaced"):
        launch(engine_site, NAME, quick(), name="gate-before")
    engine.docker("tag", BASE_IMAGE, labels.image_tag("plain-before"))
    other = launch(engine_site, "plain-before", quick())  # its own name, and not a backup
    assert diagnose(client, other.name) == []
    first = launch(engine_site, NAME, quick())
    with pytest.raises(LaunchError, match="xaiva-plain-before: another container has the name"):
        launch(engine_site, NAME, quick(), replace=True)
    assert {one.id for one in list_containers(client)} == {first.id, other.id}


def test_a_replacement_cut_off_while_the_engine_stops_the_old_one(
    engine_site: Site, engine: TestEngine, client: docker.DockerClient, image: str
) -> None:
    old = launch(engine_site, NAME, preset())  # it does not listen to SIGTERM
    client.api.rename(old.id, f"{old.name}-before")
    _created(client, old.name, before="running")
    stopping = subprocess.Popen(["docker", "stop", "-t", "3", old.id], env=engine.env, stdout=subprocess.DEVNULL)
    until(lambda: engine.docker("events", "--since", "1m", "--until", "0s", "--filter", "event=kill"), bool)
    with pytest.raises(LaunchError, match="already running"):
        launch(engine_site, NAME, quick())
    assert stopping.wait() == 0
    assert [(one.id, one.state) for one in list_containers(client)] == [(old.id, ContainerState.RUNNING)]


def _created(client: docker.DockerClient, name: str, before: str = "exited") -> str:
    """A container of xaiva's that is made but not started."""
    marks = {labels.PRESET: NAME, labels.SITE: "/anywhere", labels.REPLACED_STATE: before}
    return str(client.api.create_container(BASE_IMAGE, ["sleep", "1000"], name=name, labels=marks)["Id"])
