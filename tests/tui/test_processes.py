"""The Processes screen: real processes on a fake GPU, ended only after a question."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot

from core.labels import PRESET, SITE
from core.site import Site
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.fake_nvml import FakeNvml
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.formatters.processes import ELSEWHERE
from tui.screens.kill import KillDialog
from tui.screens.processes import ProcessesScreen


@pytest.fixture
def nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml(tmp_path, "gpu rtx4090", "util 0 40")
    for name, value in fake.env.items():
        monkeypatch.setenv(name, value)
    return fake


@pytest.fixture
def worker(nvml: FakeNvml) -> Iterator[subprocess.Popen[bytes]]:
    """A process that computes on the GPU, and this one, which uses less of it."""
    with subprocess.Popen(["sleep", "1004"]) as process:
        used = f"process 0 {process.pid} {3 << 30}", f"process 0 {os.getpid()} {1 << 30}"
        nvml.say("gpu rtx4090", "util 0 40", *used, f"busy 0 {process.pid} 62")
        yield process
        process.kill()


async def opened(pilot: Pilot[int]) -> None:
    await pilot.app.switch_mode("processes")
    await until(pilot, lambda: isinstance(pilot.app.screen, ProcessesScreen) and pilot.app.screen.is_mounted)


def asks(app: App[int]) -> bool:
    return isinstance(app.screen, KillDialog)


@pytest.mark.parametrize("size", [(160, 45), (80, 24)])
async def test_a_process_is_ended_after_the_question(
    bare_site: Site, worker: subprocess.Popen[bytes], size: tuple[int, int]
) -> None:
    app = XaivaApp(bare_site)
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await shows(pilot, f"{worker.pid} on GPU 0")  # the one with more VRAM is the first
        await shows(pilot, "sleep 1004")
        await shows(pilot, "processes of containers are")  # without an engine
        await pilot.press("X")
        await until(pilot, lambda: asks(app))
        await shows(pilot, f"End process {worker.pid}?")
        await pilot.press("enter")  # Cancel has the focus
        await until(pilot, lambda: not asks(app))
        assert worker.poll() is None
        await pilot.press("X")
        await until(pilot, lambda: asks(app))
        await pilot.press("right", "enter")
        await until(pilot, lambda: worker.poll() is not None)
        assert worker.returncode == -15


async def test_kill_is_the_second_choice_and_read_only_has_none(
    bare_site: Site, worker: subprocess.Popen[bytes]
) -> None:
    visitor = XaivaApp(bare_site, read_only=True)
    async with visitor.run_test() as pilot:
        await opened(pilot)
        await shows(pilot, str(worker.pid))
        await pilot.press("X")
        assert not asks(visitor)
    app = XaivaApp(bare_site)
    async with app.run_test() as pilot:
        await opened(pilot)
        await shows(pilot, str(worker.pid))
        await pilot.press("X")
        await until(pilot, lambda: asks(app))
        await pilot.press("right", "right", "enter")
        await until(pilot, lambda: worker.poll() is not None)
        assert worker.returncode == -9


async def test_a_pid_of_somewhere_else_cannot_be_ended(bare_site: Site, nvml: FakeNvml) -> None:
    nvml.say("gpu rtx4090", "process 0 4194999 4096")
    app = XaivaApp(bare_site)
    async with app.run_test(size=(160, 45)) as pilot:
        await opened(pilot)
        await shows(pilot, "4194999")
        await shows(pilot, ELSEWHERE[:40])
        await pilot.press("X")
        assert not asks(app)


async def test_no_gpu_and_no_engine_are_shown_with_their_reasons(bare_site: Site, nvml: FakeNvml) -> None:
    nvml.say("init 9")
    app = XaivaApp(bare_site)
    async with app.run_test(size=(160, 45)) as pilot:
        await opened(pilot)
        await shows(pilot, "the NVIDIA driver is not loaded")
        await shows(pilot, "processes of containers are unknown")
        await shows(pilot, "those of containers are unknown")
        assert "no process uses a GPU or runs in a container" not in text(pilot)


@pytest.mark.engine
async def test_the_container_of_a_process_is_stopped_instead(
    engine_site: Site, engine: TestEngine, nvml: FakeNvml
) -> None:
    """Without a GPU process, those of the containers are listed; xaiva's own offer to stop the container."""
    labels = [word for label in (f"{PRESET}=small", f"{SITE}=/somewhere") for word in ("--label", label)]
    engine.docker("run", "-d", "--init", "--name", "detector", *labels, BASE_IMAGE, "sleep", "1005")
    app = XaivaApp(engine_site)
    try:
        async with app.run_test(size=(160, 45)) as pilot:
            await opened(pilot)
            await shows(pilot, "detector, launched by xaiva")
            await pilot.press("X")
            await until(pilot, lambda: asks(app))
            await pilot.press("right", "enter")
            await until(pilot, lambda: "sleep 1005" not in text(pilot))
        assert engine.docker("inspect", "--format", "{{.State.Status}}", "detector").strip() == "exited"
    finally:
        engine.docker("rm", "-f", "detector")
