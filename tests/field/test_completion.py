"""The completion in a shell knows names, not only commands, and says nothing where it cannot know them.

It applies to every argument and option of the command line that takes a name that xaiva itself can list.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from core.api_schema import CameraRequest, Channel, ChannelKind, RuleRequest, UserRequest
from core.cli.app import root
from core.site import Site
from core.site_operations import site_ledger
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.pty_session import PtySession
from tests.support.service import TOKEN, ServiceProcess, running_service

PRESET = """{"base_image": "debian:bookworm-slim", "python_version": "3.11",
 "layers": [{"name": "common", "requirements": ["numpy"]}, {"name": "speech", "requirements": ["pillow"]}]}"""
OF_THE_SERVICE = [
    ("camera show", "ga", ["gate", "garden"]),
    ("camera edit", "gate", ["gate"]),
    ("camera restart", "", ["gate", "garden"]),
    ("camera snapshot", "x", []),
    ("event list --camera", "gar", ["garden"]),
    ("event export all.csv --camera", "gar", ["garden"]),
    ("rule add new a@example.org --camera", "gar", ["garden"]),
    ("user edit ana --camera", "gar", ["garden"]),
    ("rule edit", "n", ["night"]),
    ("rule test", "", ["night"]),
    ("user remove", "a", ["ana"]),
    ("camera add", "ga", []),  # a new name is the person's own
    ("rule add", "n", []),
    ("user add", "a", []),
]


def _complete(site: Site, words: str, typed: str) -> list[str]:
    completion = BashComplete(root, {}, "xaiva", "_XAIVA_COMPLETE")
    return [item.value for item in completion.get_completions(["--site", str(site.root), *words.split()], typed)]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with running_service(tmp_path_factory.mktemp("service")) as running:
        for name in ("gate", "garden"):
            running.client.add_camera(CameraRequest(id=name, source="rtsp://127.0.0.1:9/none", enabled=False))
        mail = Channel(kind=ChannelKind.EMAIL, to="night@example.org")
        running.client.add_rule(RuleRequest(name="night", channels=(mail,)))
        running.client.add_user(UserRequest(name="ana", password="correct horse battery"))
        yield running


def _point(site: Site, url: str) -> Site:
    (site.root / "site.toml").write_text(f'[service]\nurl = "{url}"\n')
    (site.root / ".env").write_text(f"XAIVA_SERVICE_TOKEN={TOKEN}\n")
    return site


@pytest.mark.parametrize(("words", "typed", "names"), OF_THE_SERVICE)
def test_names_of_the_service(site: Site, service: ServiceProcess, words: str, typed: str, names: list[str]) -> None:
    assert sorted(_complete(_point(site, service.client.url), words, typed)) == sorted(names)


@pytest.mark.parametrize(
    ("words", "typed", "names"),
    [
        ("lock", "sm", ["small"]),
        ("build small --target", "", ["common", "speech", "runtime", "dev"]),
        ("build small --target", "sp", ["speech"]),
        ("build nothing --target", "", []),
        ("ops follow", "", ["2", "1"]),
        ("ops cancel", "2", ["2"]),
        ("builds show", "", []),
    ],
)
def test_names_of_the_site(site: Site, words: str, typed: str, names: list[str]) -> None:
    (site.presets / "small.json").write_text(PRESET)
    ledger = site_ledger(site)
    for _ in range(2):
        ledger.wait(ledger.start("verify", "small", {}).id, timeout=60)
    assert _complete(site, words, typed) == names


@pytest.mark.engine
@pytest.mark.parametrize("words", ["logs", "stop", "rm", "exec", "inspect", "restart", "--service"])
def test_names_of_the_engine(site: Site, engine: TestEngine, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    if "named-by-a-person" not in engine.docker("ps", "-a", "--format", "{{.Names}}").split():
        engine.docker("create", "--name", "named-by-a-person", BASE_IMAGE, "true")
    assert _complete(site, words, "named") == ["named-by-a-person"]


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("lock nig", r"lock night\ shift"),
        ('lock "nig', 'lock "night shift"'),
        ("lock 'nig", "lock 'night shift'"),
        ("lock it", r"lock it\'s"),
        ("lock sm", "lock small"),
    ],
)
def test_bash_gets_a_name_as_one_word(site: Site, tmp_path: Path, typed: str, line: str) -> None:
    """zsh and fish quote what they get; bash is asked to."""
    for name in ("night shift", "it's", "small"):
        (site.presets / f"{name}.json").write_text(PRESET)
    command, root_folder = tmp_path / "xaiva", Path(__file__).parents[2]
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{root_folder}" exec "{sys.executable}" -m core.cli "$@"\n')
    command.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PS1": "ready "}
    with PtySession(["bash", "--norc", "--noprofile", "-i"], env=env, cwd=site.root) as bash:
        bash.wait_for("ready")
        bash.press('eval "$(xaiva completion bash)"; clear; echo "set up"', "enter")
        bash.wait_for(lambda screen: screen.startswith("set up"))
        bash.press(f"xaiva {typed}", "tab")
        bash.wait_for(f"xaiva {line} ")


NOBODY, SILENT = "nobody listens", "nobody answers"


@pytest.mark.parametrize("there", [NOBODY, SILENT])
@pytest.mark.parametrize("words", ["camera show", "rule edit", "user edit", "logs", "event list --camera", "ops show"])
def test_nothing_is_said_where_nothing_can_be_known(tmp_path: Path, words: str, there: str) -> None:
    """In a process of its own, as a shell asks it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if there == NOBODY:
            server.close()
        (tmp_path / "site.toml").write_text(f'[service]\nurl = "http://127.0.0.1:{port}"\n')
        env = os.environ | {
            "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
            "_XAIVA_COMPLETE": "bash_complete",
            "COMP_WORDS": f"xaiva --site {tmp_path} {words} ",
            "COMP_CWORD": str(3 + len(words.split())),
        }
        command = [sys.executable, "-m", "core.cli"]
        done = subprocess.run(
            command, env=env, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert not (tmp_path / ".xaiva").exists()
