"""Which engine is chosen, and the errors when it cannot be reached."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.engine import EngineError, connect_engine, docker_environment, engine_root, resolve_endpoint
from core.errors import InputError
from core.site import EngineSettings, Site, SiteSettings
from tests.support import require, until
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.sshd import serve_ssh


def site_with(root: Path, env: dict[str, str], **engine: str) -> Site:
    return Site(root, SiteSettings(engine=EngineSettings(**engine)), env)


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A docker client's configuration with the contexts `bench` (current) and `tls`."""
    folder = tmp_path / "docker-config"
    for name, host in {"bench": "ssh://bench.local", "tls": "tcp://10.0.0.5:2376"}.items():
        meta = folder / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
        meta.mkdir(parents=True)
        description = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
        (meta / "meta.json").write_text(json.dumps(description))
    tls = folder / "contexts/tls" / hashlib.sha256(b"tls").hexdigest() / "docker"
    tls.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"currentContext": "bench"}))
    return folder


def test_order_of_choice(tmp_path: Path, configuration: Path) -> None:
    env = {"DOCKER_CONFIG": str(configuration)}
    assert resolve_endpoint(site_with(tmp_path, {})).host == "unix:///var/run/docker.sock"
    assert resolve_endpoint(site_with(tmp_path, env)).host == "ssh://bench.local"
    env["DOCKER_CONTEXT"] = "tls"
    chosen = resolve_endpoint(site_with(tmp_path, env))
    assert (chosen.host, chosen.tls is not None, chosen.tls_verify) == ("tcp://10.0.0.5:2376", True, True)
    env["DOCKER_HOST"] = "tcp://10.0.0.9:2375"
    assert resolve_endpoint(site_with(tmp_path, env)).host == "tcp://10.0.0.9:2375"
    assert resolve_endpoint(site_with(tmp_path, env, context="bench")).host == "ssh://bench.local"
    assert resolve_endpoint(site_with(tmp_path, env, context="bench", host="unix:///x")).host == "unix:///x"
    assert resolve_endpoint(site_with(tmp_path, env, context="default")).host == "unix:///var/run/docker.sock"


def test_docker_command_line_gets_the_same_engine(tmp_path: Path) -> None:
    env = {"DOCKER_HOST": "tcp://h", "DOCKER_CONTEXT": "c", "TOKEN": "t"}
    assert docker_environment(site_with(tmp_path, env))["DOCKER_HOST"] == "tcp://h"
    by_context = docker_environment(site_with(tmp_path, env, context="bench"))
    assert (by_context["DOCKER_CONTEXT"], "DOCKER_HOST" in by_context) == ("bench", False)
    by_host = docker_environment(site_with(tmp_path, env, host="unix:///x"))
    assert (by_host["DOCKER_HOST"], "DOCKER_CONTEXT" in by_host) == ("unix:///x", False)
    assert by_host["PATH"] == os.environ["PATH"]


def test_docker_client_itself_agrees(tmp_path: Path, configuration: Path) -> None:
    require(shutil.which("docker"), "the docker client")
    env = docker_environment(site_with(tmp_path, {"DOCKER_CONFIG": str(configuration)}, context="tls"))
    address = subprocess.run(["docker", "context", "show"], env=env, capture_output=True, text=True, check=True)
    assert address.stdout.strip() == "tls"


@pytest.mark.parametrize(("name", "said"), [("absent", "no such context"), ("broken", "names no Docker engine")])
def test_context_that_cannot_be_used(tmp_path: Path, configuration: Path, name: str, said: str) -> None:
    meta = configuration / "contexts/meta" / hashlib.sha256(b"broken").hexdigest()
    meta.mkdir()
    (meta / "meta.json").write_text("{}")
    with pytest.raises(EngineError, match=rf"(?s)Docker context {name}.*{said}.*docker context"):
        connect_engine(site_with(tmp_path, {"DOCKER_CONFIG": str(configuration), "DOCKER_CONTEXT": name}))


@pytest.mark.engine
def test_root_folder(tmp_path: Path, engine: TestEngine) -> None:
    site = site_with(tmp_path, {}, host=engine.host)
    assert engine_root(site, connect_engine(site)) == engine.folder / "data"
    assert engine_root(site_with(tmp_path, {}, host="ssh://far"), connect_engine(site)) is None


def test_no_engine(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="socket does not exist") as caught:
        connect_engine(site_with(tmp_path, {}, host=f"unix://{tmp_path}/none.sock"))
    assert "start the engine that listens there" in caught.value.remedy


def test_socket_without_an_engine(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(f"{tmp_path}/old.sock")
        with pytest.raises(EngineError, match="nothing listens"):
            connect_engine(site_with(tmp_path, {}, host=f"unix://{tmp_path}/old.sock"))


def test_tcp_without_an_engine(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match="nothing listens"):
            connect_engine(site_with(tmp_path, {}, host=f"tcp://127.0.0.1:{port}"))


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("tcp://127.0.0.1:99999", "Port out of range"),
        ("tcp://[::1", "Invalid IPv6"),
        ("npipe://engine", r"npipe:// is not supported"),
    ],
)
def test_an_address_that_is_none(tmp_path: Path, host: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        connect_engine(site_with(tmp_path, {}, host=host))
    assert "tcp://host:port" in caught.value.remedy


def test_a_host_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="name cannot be resolved") as caught:
        connect_engine(site_with(tmp_path, {}, host="tcp://no-such-host.invalid:2375"))
    assert "HTTPConnectionPool" not in str(caught.value)


@pytest.fixture
def web_server(tmp_path: Path) -> Iterator[str]:
    """Any other server that speaks HTTP; its `host:port`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_answers_is_no_engine(tmp_path: Path, web_server: str) -> None:
    with pytest.raises(EngineError, match=r"not a Docker engine \(HTTP 404\)"):
        connect_engine(site_with(tmp_path, {}, host=f"tcp://{web_server}"))
    settings = {"DOCKER_TLS_VERIFY": "1", "HOME": str(tmp_path)}
    with pytest.raises(EngineError, match="TLS failed: WRONG_VERSION_NUMBER") as caught:
        connect_engine(site_with(tmp_path, settings, host=f"tcp://{web_server}"))
    assert "DOCKER_CERT_PATH" in caught.value.remedy


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[str]:
    """A socket that accepts and never answers, as an engine that is stopped does."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/mute.sock")
        listener.listen()
        yield f"unix://{tmp_path}/mute.sock"


def test_engine_that_does_not_answer(tmp_path: Path, mute: str) -> None:
    with pytest.raises(EngineError, match="does not answer in time"):
        connect_engine(site_with(tmp_path, {}, host=mute), timeout=0.2)


def test_no_permission(engine: TestEngine) -> None:
    """Asked by a user who is not in the group of the socket."""
    require(os.geteuid() == 0, "root, to become somebody else")
    program = (
        "import os, sys\n"
        "from core.engine import EngineError, connect_engine, resolve_endpoint\n"
        "from core.site import Site, SiteSettings\n"
        "from pathlib import Path\n"
        "import docker.errors, requests, urllib3, urllib3.exceptions, core.engine_ssh\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try:\n    connect_engine(Site(Path('/'), SiteSettings(), {'DOCKER_HOST': sys.argv[1], 'HOME': '/'}))\n"
        "except EngineError as error:\n    print(error)\n"
    )
    # the tests' engine is in a folder of root's; only its socket should deny access
    engine.folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", program, engine.host], capture_output=True, text=True, timeout=60)
    assert "may not use the engine's socket" in done.stdout, done.stderr
    assert "usermod -aG docker" in done.stdout


@pytest.fixture
def ssh_site(engine: TestEngine, tmp_path: Path) -> Iterator[Site]:
    """A site whose engine is reached through a real sshd."""
    with serve_ssh(tmp_path / "ssh") as client:
        programs = tmp_path / "bin"
        programs.mkdir()
        # ssh reads its configuration from the home of the password file, not of the environment
        (programs / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F "{client}" "$@"\n')
        (programs / "ssh").chmod(0o755)
        env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        yield site_with(tmp_path, env, host=f"ssh://here{engine.host.removeprefix('unix://')}")


@pytest.mark.ssh
@pytest.mark.engine
def test_engine_over_ssh(ssh_site: Site, engine: TestEngine) -> None:
    from core.containers.container_logs import follow_logs, read_logs
    from core.containers.listing import list_containers

    engine.docker("run", "-d", "--name", "far", BASE_IMAGE, "sh", "-c", "echo hello; exec sleep 1000")
    try:
        client = connect_engine(ssh_site, timeout=5)
        assert [container.name for container in list_containers(client)] == ["far"]
        follower = follow_logs(client, "far")
        line = next(iter(follower))
        assert line.text == "hello"
        follower.close()
        assert [line.text for line in read_logs(client, "far")] == ["hello"]
        engine.pause()
        try:
            with pytest.raises(EngineError, match="does not answer in time"):
                connect_engine(ssh_site, timeout=1)
        finally:
            engine.resume()
        client.close()
    finally:
        engine.docker("rm", "-f", "far")


@pytest.mark.ssh
@pytest.mark.engine
def test_log_goes_on_after_the_ssh_connection_was_cut(ssh_site: Site, engine: TestEngine) -> None:
    import psutil

    from core.containers.container_logs import follow_logs

    script = "i=0; while true; do i=$((i+1)); echo $i; sleep 0.1; done"
    engine.docker("run", "-d", "--name", "far", BASE_IMAGE, "sh", "-c", script)
    try:
        follower = follow_logs(connect_engine(ssh_site, timeout=5), "far")
        lines = iter(follower)
        seen = [int(next(lines).text) for _ in range(3)]
        for child in psutil.Process().children():
            if child.name() == "ssh":
                child.kill()
        seen += [int(next(lines).text) for _ in range(5)]
        follower.close()
        assert seen == list(range(1, 9))
    finally:
        engine.docker("rm", "-f", "far")


@pytest.mark.ssh
@pytest.mark.engine
def test_no_process_of_ssh_is_left(ssh_site: Site) -> None:
    import psutil

    def children() -> list[int]:
        return [one.pid for one in psutil.Process().children() if one.name() == "ssh"]

    before = set(children())
    client = connect_engine(ssh_site, timeout=5)
    assert set(children()) - before
    client.close()
    until(lambda: not set(children()) - before)


@pytest.mark.ssh
def test_ssh_says_itself_why_it_failed(tmp_path: Path) -> None:
    require(shutil.which("ssh"), "ssh")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match="Connection refused") as caught:
            connect_engine(site_with(tmp_path, {}, host=f"ssh://somebody@127.0.0.1:{port}"))
    assert f"ssh -o BatchMode=yes -o ConnectTimeout=10 -T -l somebody -p {port}" in caught.value.remedy
