"""`xaiva process`: what is listed, and what is ended only after a yes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Xaiva
from tests.support.fake_nvml import FakeNvml

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process that computes on the fake GPU 0, and whose name would hide what follows it on a terminal."""
    with subprocess.Popen(["\x1b[8msleep", "1003"], executable="sleep") as process:
        fake = FakeNvml(tmp_path, "gpu rtx4090", f"process 0 {process.pid} {3 << 30}", f"busy 0 {process.pid} 62")
        for name, value in fake.env.items():
            monkeypatch.setenv(name, value)
        yield process
        process.kill()


def test_lists_processes_of_gpus_without_an_engine(xaiva: Xaiva, worker: subprocess.Popen[bytes]) -> None:
    result = xaiva("process", "list", env=NO_ENGINE)
    assert result.code == 0
    (row,) = [line.split() for line in result.out.splitlines() if "1003" in line]
    assert row[:2] == ["0", str(worker.pid)]
    assert row[-2:] == ["sleep", "1003"]
    assert "3.0 GiB" in result.out
    assert "/nowhere/docker.sock" in result.err
    (process,) = xaiva("process", "list", "--json", env=NO_ENGINE).document["processes"]
    assert (process["gpu_percent"], process["container"]) == (62, "")


def test_an_engine_that_does_not_answer_is_no_empty_list(xaiva: Xaiva, tmp_path: Path) -> None:
    result = xaiva("process", "list", env={**NO_ENGINE, **FakeNvml(tmp_path, "gpu rtx4090").env})
    assert result.code == 1
    assert "/nowhere/docker.sock" in result.err


def test_kills_only_after_a_yes(xaiva: Xaiva, worker: subprocess.Popen[bytes]) -> None:
    kill = ("process", "kill", str(worker.pid))
    asked = xaiva(*kill, env=NO_ENGINE, stdin="\n")
    assert asked.code == 130
    assert f"End process {worker.pid} of " in asked.err
    assert "\x1b" not in asked.err
    assert worker.poll() is None
    assert xaiva(*kill, "--yes", "--json", env=NO_ENGINE).document == {
        "pid": worker.pid,
        "signal": "SIGTERM",
        "ended": True,
    }
    assert worker.wait() == -15


def test_kills_no_process_that_is_not_in_the_list(xaiva: Xaiva, worker: subprocess.Popen[bytes]) -> None:
    result = xaiva("process", "kill", str(os.getppid()), "--yes", env=NO_ENGINE)
    assert result.code == 2
    assert "uses no GPU" in result.err
