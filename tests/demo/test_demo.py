"""`xaiva demo` as a user runs it: everything comes alive, and nothing is left, however it ends."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import psutil
import pytest

from core.api_schema import AlertKind, Event, Role
from core.cli.app import run
from core.demo.folder import PREFIX
from core.errors import XaivaError
from core.service_client import ServiceClient
from core.site import Site
from tests.support import until
from tests.support.checkout import checkout
from tests.support.pty_session import PtySession

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tui", "demo"]
SET_UP = 600.0  # seconds for installing the packages
LONG = 120.0  # seconds; a machine may be busy


def _processes(folder: Path) -> list[psutil.Process]:
    """The keeper and the service of a demo."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
    ]


def _has_ended(process: psutil.Process) -> bool:
    """Whether a process has closed its files, too: it may still wait for its parent."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _assert_gone(folder: Path) -> None:
    until(lambda: _processes(folder), lambda processes: not processes)
    until(folder.exists, lambda exists: not exists)


@pytest.mark.terminal
@pytest.mark.index
@pytest.mark.slow
def test_a_fresh_copy_sets_up_comes_alive_and_ends_with_the_console(tmp_path: Path) -> None:
    copy = checkout(tmp_path / "xaiva")
    another = {"XAIVA_SERVICE": "http://127.0.0.1:9", "XAIVA_SERVICE_TOKEN": "of-another-service"}
    env = {"TMPDIR": str(tmp_path), "XAIVA_VENV": None, "DOCKER_HOST": f"unix://{tmp_path}/no.sock", **another}
    with PtySession(["./xaiva", "demo"], cwd=copy, env=env) as session:
        session.wait_for("generated cameras", SET_UP)
        (folder,) = tmp_path.glob(f"{PREFIX}*")
        client = ServiceClient.for_site(Site.open(folder, {}), 10)

        def picture(camera: str) -> bytes:
            try:
                return client.snapshot(camera)
            except XaivaError:
                return b""  # not yet

        for camera in ("belt", "gate", "hall"):
            assert until(lambda camera=camera: picture(camera), seconds=LONG).startswith(b"\xff\xd8")
        session.wait_for("Demo belt")
        until(lambda: client.camera("dock").cause, lambda cause: cause == "refused")

        def recorded() -> Event | None:
            events = [event for event in client.events().events if event.type == "anomaly" and event.camera == "belt"]
            return next((event for event in events if event.clip.state == "done"), None)

        event = until(recorded, seconds=LONG)
        assert event is not None
        assert event.detector == "memory"
        with av.open(str(client.save_clip(event.id, tmp_path / "clip.mp4"))) as clip:
            assert sum(1 for _ in clip.decode(video=0)) > 20
        until(
            lambda: {(one.rule, one.state) for one in client.deliveries()},
            lambda all_: ("demo-anomalies", "sent") in all_,
        )
        assert {user.role for user in client.users()} == set(Role)
        alerts = until(lambda: client.camera("hall").alerts, seconds=LONG)
        assert [alert.kind for alert in alerts] == [AlertKind.FROZEN]

        assert "! Docker engine" not in session.text  # that there is none is no alert here
        session.press("q")
        assert session.wait_end() == 0
    _assert_gone(folder)


@contextmanager
def _running(temporary: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`xaiva demo --json`, and its folder."""
    command = [*COMMAND, "--json"]
    env = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            text = b""
            while not text.endswith(b"\n}\n"):
                text += process.stdout.readline()
            yield process, Path(json.loads(text)["demo"]["site"])
        finally:
            process.kill()


def test_killed_it_leaves_nothing_that_the_next_one_does_not_remove(tmp_path: Path) -> None:
    with _running(tmp_path) as (process, left):
        victims = [psutil.Process(process.pid), *_processes(left)]
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        until(lambda: all(map(_has_ended, victims)))
        assert left.exists()
    with _running(tmp_path) as (process, folder):
        assert not left.exists()
        assert len(_processes(folder)) == 2
        process.kill()  # only the command: the others notice it
        _assert_gone(folder)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "av" else object())
    assert run(["demo", "--json"]) == 1
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["why"] == "the inference service needs packages that are not installed: av"
    assert "./xaiva demo" in error["remedy"]
