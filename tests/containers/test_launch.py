"""Launches on a real engine: what the container gets, and the errors when it cannot start."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import docker
from core import labels
from core.audit import read_audit
from core.containers.container_logs import read_logs
from core.containers.launch import LaunchError, check_launch, launch
from core.containers.listing import get_container, inspect_container, list_containers
from core.containers.manage import diagnose, remove_container, restart_container, stop_container, wait_healthy
from core.containers.model import ContainerHealth, ContainerState
from core.containers.run_settings import read_run_settings
from core.engine import EngineError
from core.errors import InputError
from core.findings import Level
from core.site import Site
from tests.containers.conftest import NAME, preset
from tests.support import until
from tests.support.engine import BASE_IMAGE, TestEngine

pytestmark = pytest.mark.engine


def codes(site: Site, **run: object) -> list[str]:
    return [finding.code for finding in check_launch(site, NAME, preset(**run))]


def test_container_gets_all_run_settings(engine_site: Site, client: docker.DockerClient, image: str, port: int) -> None:
    (engine_site.root / "data").mkdir()
    (engine_site.root / "site.env").write_text("# ours\nFROM_FILE=two words\nHIDDEN=no\n")
    chosen = preset(
        ports=[f"127.0.0.1:{port}:8600", f"127.0.0.1:{port}:5000/udp"],
        volumes=["./data:/data", "cache:/cache:ro"],
        environment={"HIDDEN": "yes"},
        env_files=["site.env"],
        shm_size="128m",
        devices=["/dev/full"],
        restart="on-failure",
        health_check={"command": ["true"], "interval": 1, "timeout": 2, "start_period": 3, "retries": 4},
    )
    assert check_launch(engine_site, NAME, chosen) == []
    container = launch(engine_site, NAME, chosen)
    assert container.name == labels.container_name(NAME) == "xaiva-plain"
    assert container.managed
    assert (container.preset, container.site) == (NAME, str(engine_site.root))
    assert {str(one) for one in container.ports} == {f"127.0.0.1:{port}→5000/udp", f"127.0.0.1:{port}→8600/tcp"}
    data = inspect_container(client, container.name)
    assert {"HIDDEN=yes", "FROM_FILE=two words"} <= set(data["Config"]["Env"])
    mounts = {mount["Destination"]: mount for mount in data["Mounts"]}
    assert mounts["/data"]["Source"] == str(engine_site.root / "data")
    assert mounts["/data"]["RW"]
    assert (mounts["/cache"]["Name"], mounts["/cache"]["RW"]) == ("cache", False)
    assert data["HostConfig"]["ShmSize"] == 128 << 20
    assert [device["PathInContainer"] for device in data["HostConfig"]["Devices"]] == ["/dev/full"]
    assert data["HostConfig"]["GroupAdd"] == [str(os.stat("/dev/full").st_gid)]
    assert data["HostConfig"]["RestartPolicy"]["Name"] == "on-failure"
    check = data["Config"]["Healthcheck"]
    assert (check["Test"], check["Interval"], check["Timeout"]) == (["CMD", "true"], 10**9, 2 * 10**9)
    assert (check["StartPeriod"], check["Retries"]) == (3 * 10**9, 4)
    assert wait_healthy(client, container.name, timeout=30).health is ContainerHealth.HEALTHY


def test_a_launch_is_in_the_audit_log(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    first = launch(engine_site, NAME, preset())
    second = launch(engine_site, NAME, preset(), replace=True)
    entries = read_audit(engine_site, 2)
    assert [(entry.action, entry.subject, entry.details["id"]) for entry in entries] == [
        ("launch", NAME, first.id),
        ("launch", NAME, second.id),
    ]
    assert entries[1].details["replaced"] == first.id
    assert entries[1].details["image"] == inspect_container(client, second.id)["Image"]


def test_a_camera_that_is_not_plugged_in_is_said(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    with pytest.raises(EngineError) as refused:
        launch(engine_site, NAME, preset(devices=["/dev/video99"]))
    assert "there is no device /dev/video99" in refused.value.why


def test_listing_has_all_containers_and_marks_ours(
    engine_site: Site, engine: TestEngine, client: docker.DockerClient, image: str
) -> None:
    label = f"{labels.PRESET}={NAME}"
    engine.docker("run", "-d", "--name", "a-stranger", "--label", label, BASE_IMAGE, "sleep", "1000")
    engine.docker("run", "--name", "b-ended", BASE_IMAGE, "sh", "-c", "exit 3", check=False)
    launch(engine_site, NAME, preset())
    ours, stranger, ended = list_containers(client)
    assert (ours.name, ours.managed, ours.state) == ("xaiva-plain", True, ContainerState.RUNNING)
    # a container started by hand from xaiva's image has the preset's label, but xaiva did not launch it
    assert (stranger.name, stranger.managed) == ("a-stranger", False)
    assert (ended.name, ended.state, ended.exit_code) == ("b-ended", ContainerState.EXITED, 3)
    details = get_container(client, "b-ended")
    assert details.created == pytest.approx(ended.created, abs=1.5)
    assert (details.exit_code, details.image) == (3, ended.image)


def test_dev_mode_mounts_the_source_and_reloads(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    (engine_site.root / "app").mkdir()
    (engine_site.root / "app" / "main.py").write_text("print()\n")
    command = ["sh", "-c", 'echo "$@"; pwd; cat main.py; sleep 1000', "serve"]
    chosen = preset(command=command, dev={"enabled": True, "source": "app"})
    launch(engine_site, NAME, chosen)
    until(lambda: b"print" in client.api.logs("xaiva-plain"))
    assert client.api.logs("xaiva-plain").split() == [b"--reload", b"/src", b"print()"]


def test_dev_mode_of_the_service_runs_the_mounted_source(site: Site) -> None:
    (site.root / "core" / "inference").mkdir(parents=True)
    own = preset(command=[])
    targets = [mount.target for mount in read_run_settings(site, NAME, own, dev=True).mounts]
    assert targets == ["/src", "/opt/xaiva/lib/python3.11/site-packages/core"]
    assert [mount.target for mount in read_run_settings(site, NAME, preset(), dev=True).mounts] == [
        "/src"
    ]  # a command of its own
    assert read_run_settings(site, NAME, own, dev=False).mounts == ()


def test_dev_mode_takes_the_dev_image_where_there_is_one(
    engine_site: Site, engine: TestEngine, client: docker.DockerClient, image: str
) -> None:
    dev = labels.image_tag(NAME, "dev")
    engine.docker("tag", BASE_IMAGE, dev)
    try:
        container = launch(engine_site, NAME, preset(command=["sh", "-c", "sleep 1000", "serve"]), dev=True)
        assert container.image == dev
    finally:
        engine.docker("rm", "-f", labels.container_name(NAME), check=False)
        engine.docker("rmi", dev)


def test_missing_image(engine_site: Site, client: docker.DockerClient) -> None:
    (finding,) = check_launch(engine_site, "never-built", preset())
    assert finding.code == "image-missing"
    assert "xaiva build never-built" in finding.remedy
    with pytest.raises(LaunchError, match="Image xaiva/never-built:latest: the engine does not have it"):
        launch(engine_site, "never-built", preset())


def test_port_taken_by_a_container(
    engine_site: Site, engine: TestEngine, client: docker.DockerClient, image: str, port: int
) -> None:
    engine.docker("run", "-d", "--name", "holder", "-p", f"127.0.0.1:{port}:80", BASE_IMAGE, "sleep", "1000")
    (finding,) = check_launch(engine_site, NAME, preset(ports=[f"{port}:8600"]))
    assert (finding.code, finding.why) == ("port-taken", "it is taken by container holder")
    assert codes(engine_site, ports=[f"127.0.0.2:{port}:8600"]) == []  # another address of the machine
    assert codes(engine_site, ports=[f"{port}:8600/udp"]) == []


def test_port_taken_by_a_process(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        (finding,) = check_launch(engine_site, NAME, preset(ports=[f"{port}:8600"]))
        assert finding.code == "port-taken"
        assert "pid" in finding.why
        with pytest.raises(LaunchError, match=rf"Port {port}/tcp: it is taken by process"):
            launch(engine_site, NAME, preset(ports=[f"{port}:8600"]))


def test_port_taken_where_only_the_engine_knows(
    engine_site: Site, engine: TestEngine, client: docker.DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes on a remote engine's machine are not visible, so the engine's own refusal is explained."""
    monkeypatch.setattr("core.containers.port_conflicts._process_holder", lambda port, sockets: None)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(EngineError, match=rf"port .*{port} is taken") as caught:
            launch(engine_site, NAME, preset(ports=[f"127.0.0.1:{port}:8600"]))
    assert "run.ports" in caught.value.remedy
    assert list_containers(client) == []  # a container that could not start is removed


def test_missing_volume_folder(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    chosen = preset(volumes=["./models/deep:/models"])
    (finding,) = check_launch(engine_site, NAME, chosen)
    assert finding.code == "volume-missing"
    assert str(engine_site.root / "models/deep") in finding.what
    assert "--create-folders" in finding.remedy
    with pytest.raises(LaunchError):
        launch(engine_site, NAME, chosen)
    assert not (engine_site.root / "models").exists()
    (note,) = check_launch(engine_site, NAME, chosen, create_folders=True)
    assert (note.level, note.code) == (Level.NOTE, "volume-made")
    with pytest.raises(LaunchError, match="never-built"):
        launch(engine_site, "never-built", chosen, create_folders=True)
    assert not (engine_site.root / "models").exists()  # nothing is changed while there is another problem
    launch(engine_site, NAME, chosen, create_folders=True)
    assert (engine_site.root / "models/deep").is_dir()


@pytest.fixture
def service_image(engine: TestEngine, image: str) -> Iterator[str]:
    """The preset's image with a user that is not root, as one with the service has."""
    command = ["build", "--quiet", "--tag", image, "-"]
    engine.docker(*command, input=f"FROM {BASE_IMAGE}\nUSER 1000:1000\n".encode())
    yield image
    engine.docker("tag", BASE_IMAGE, image)


def test_the_service_s_data_folder_decides_whom_it_runs_as(
    engine_site: Site, client: docker.DockerClient, service_image: str
) -> None:
    chosen = preset(volumes=["./data:/data"], command=["sh", "-c", "touch /data/x /tmp/x; sleep 1000"], read_only=True)
    launch(engine_site, NAME, chosen, create_folders=True)
    data = engine_site.root / "data"
    until((data / "x").exists)
    assert (data / "x").stat().st_uid == 1000  # root created the folder and gave it to the user
    for owner, runs_as in ((1234, "1234:1234"), (1000, "1000:1000")):
        client.api.remove_container("xaiva-plain", force=True)
        (data / "x").unlink()
        os.chown(data, owner, owner)
        launch(engine_site, NAME, chosen)
        until((data / "x").exists)
        details = client.api.inspect_container("xaiva-plain")
        assert details["Config"]["User"] == runs_as
        assert (data / "x").stat().st_uid == owner
    assert details["HostConfig"]["ReadonlyRootfs"]
    assert client.api.logs("xaiva-plain") == b""  # both files could be written
    client.api.remove_container("xaiva-plain", force=True)
    os.chown(data, 0, 0)
    data.chmod(0o755)  # whatever the umask was
    (finding,) = check_launch(engine_site, NAME, chosen)
    assert (finding.code, finding.remedy) == ("volume-not-writable", f"sudo chown -R 1000:1000 {data}")
    data.chmod(0o777)
    assert check_launch(engine_site, NAME, chosen) == []


def test_several_obstacles_are_all_named(engine_site: Site, client: docker.DockerClient) -> None:
    with pytest.raises(LaunchError) as caught:
        launch(engine_site, "never-built", preset(volumes=["./nowhere:/data"], gpus="all"))
    findings = [finding.code for finding in caught.value.findings]
    assert findings == ["image-missing", "gpu-toolkit", "volume-missing"]
    assert "nvidia-ctk" in str(caught.value)
    assert str(caught.value).count("→") == 3


def test_engine_without_the_toolkit_refuses_and_is_explained(
    engine_site: Site, client: docker.DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own refusal, as a remote engine would give it, which names no runtime beforehand."""
    from core.containers.gpu_access import GpuAccess

    monkeypatch.setattr("core.containers.launch_checks.gpu_access", lambda info, local: GpuAccess.UNKNOWN)
    with pytest.raises(EngineError, match="no NVIDIA container toolkit") as caught:
        launch(engine_site, NAME, preset(gpus="0"))
    assert "nvidia-ctk runtime configure" in caught.value.remedy


def test_cdi_devices_reach_the_engine(
    engine_site: Site, client: docker.DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.containers.gpu_access import GpuAccess

    monkeypatch.setattr("core.containers.launch_checks.gpu_access", lambda info, local: GpuAccess.CDI)
    with pytest.raises(EngineError, match=r"CDI|cdi") as caught:
        launch(engine_site, NAME, preset(gpus="all"))
    assert caught.value.remedy


def test_strangers_name_is_kept(engine_site: Site, engine: TestEngine, client: docker.DockerClient, image: str) -> None:
    engine.docker("create", "--name", "xaiva-plain", BASE_IMAGE, "true")
    with pytest.raises(LaunchError, match="not launched by xaiva"):
        launch(engine_site, NAME, preset(), replace=True)


def test_unhealthy_comes_with_its_last_output(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    check = {"command": ["sh", "-c", "echo camera 3 is dark; exit 1"], "interval": 0.2, "start_period": 0, "retries": 1}
    launch(engine_site, NAME, preset(health_check=check))
    with pytest.raises(EngineError, match="camera 3 is dark"):
        wait_healthy(client, "xaiva-plain", timeout=30)
    (listed,) = list_containers(client)
    assert (listed.health, listed.health_output) == (ContainerHealth.UNHEALTHY, "camera 3 is dark")
    (finding,) = diagnose(client, "xaiva-plain")
    assert finding.code == "unhealthy"


def test_end_after_the_start_has_its_last_words(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    chosen = preset(command=["sh", "-c", "echo no model file >&2; exit 7"], restart="always")
    with pytest.raises(EngineError, match=r"(?s)it ended.*no model file"):
        launch(engine_site, NAME, chosen)
    assert list_containers(client) == []


def test_restarts_are_told(engine: TestEngine, client: docker.DockerClient) -> None:
    script = "test -e /again && echo well again && exec sleep 1000; touch /again; echo first try failed; exit 3"
    engine.docker("run", "-d", "--name", "retried", "--restart", "always", BASE_IMAGE, "sh", "-c", script)
    until(lambda: "well again" in [line.text for line in read_logs(client, "retried")])
    (finding,) = diagnose(client, "retried")
    assert finding.code == "restarted"
    assert finding.why.splitlines()[1:] == ["first try failed"]  # not what its present life says


def test_command_that_is_done_at_once_is_no_error(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    assert launch(engine_site, NAME, preset(command=["true"])).exit_code == 0


def test_end_before_it_is_healthy(
    engine_site: Site, client: docker.DockerClient, image: str, watch_start_for: Callable[[float], None]
) -> None:
    watch_start_for(0)
    command = ["sh", "-c", "sleep 2; echo out of licences; exit 7"]
    launch(engine_site, NAME, preset(command=command, health_check={"command": ["false"], "interval": 60}))
    with pytest.raises(EngineError, match=r"(?s)ended with code 7.*out of licences"):
        wait_healthy(client, "xaiva-plain", timeout=30)


def test_wait_ends_when_late(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    launch(engine_site, NAME, preset(health_check={"command": ["false"], "interval": 60}))
    with pytest.raises(EngineError, match=r"did not become healthy within 0\.2 s"):
        wait_healthy(client, "xaiva-plain", timeout=0.2)


def test_stop_restart_remove(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    container = launch(engine_site, NAME, preset())
    started = inspect_container(client, container.id)["State"]["StartedAt"]
    restart_container(client, container.name, seconds=0)
    assert inspect_container(client, container.id)["State"]["StartedAt"] > started
    with pytest.raises(EngineError, match="it is running"):
        remove_container(client, container.name)
    stop_container(client, container.name, seconds=0)
    assert get_container(client, container.name).state is ContainerState.EXITED
    remove_container(client, container.name)
    with pytest.raises(EngineError, match="no such container"):
        stop_container(client, container.name)


def test_missing_env_file_is_named(site: Site) -> None:
    chosen = preset(env_files=["absent.env"])
    with pytest.raises(InputError, match=r"run\.env_files: .*absent\.env: No such file"):
        launch(site, NAME, chosen)
    (finding,) = check_launch(site, NAME, chosen)
    assert finding.code == "run-settings"


def test_bad_line_of_an_env_file_is_named(site: Site) -> None:
    (site.root / "bad.env").write_text("GOOD=1\nthis is bad\n")
    with pytest.raises(InputError, match=r"bad\.env, line 2"):
        launch(site, NAME, preset(env_files=["bad.env"]))


def test_models_are_json_ready(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    container = launch(engine_site, NAME, preset())
    assert json.loads(container.model_dump_json())["state"] == "running"
    assert Path(container.site) == engine_site.root


def test_the_service_in_a_container_gets_the_token_that_the_console_sends(site: Site) -> None:
    known = Site(site.root, site.settings, {**site.env, "XAIVA_SERVICE_TOKEN": "of-the-site"})
    assert read_run_settings(known, NAME, preset(), dev=False).environment == {"XAIVA_SERVICE_TOKEN": "of-the-site"}
    own = preset(environment={"XAIVA_SERVICE_TOKEN": "its own"})
    assert read_run_settings(known, NAME, own, dev=False).environment == {"XAIVA_SERVICE_TOKEN": "its own"}
    other = preset().model_copy(update={"inference_service": False})
    assert read_run_settings(known, NAME, other, dev=False).environment == {}
    assert read_run_settings(site, NAME, preset(), dev=False).environment == {}


def test_a_site_gets_a_token_with_its_first_launch(engine_site: Site, client: docker.DockerClient, image: str) -> None:
    chosen = preset()
    launch(engine_site, NAME, chosen)
    (given,) = [one for one in _environment(client) if one.startswith("XAIVA_SERVICE_TOKEN=")]
    assert given in (engine_site.root / ".env").read_text().splitlines()
    assert len(given) > 50
    client.containers.get(labels.container_name(NAME)).remove(force=True)
    launch(engine_site, NAME, chosen)
    assert given in _environment(client)


def _environment(client: docker.DockerClient) -> list[str]:
    found: list[str] = inspect_container(client, labels.container_name(NAME))["Config"]["Env"]
    return found
