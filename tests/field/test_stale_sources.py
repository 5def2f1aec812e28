"""What was heard before is shown as if it were so now.

It applies to every source of the console (engine, service, driver, host, ledger, disk) on every screen that shows it: a
source that fails or hangs leaves names behind and no state, says why, and comes back by itself. It applies to what is
derived from a source as well: a container that has ended, a picture, a log, a sparkline. A command asks each time.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot

from core import labels
from core.containers.model import ContainerState
from core.containers.vram import vram_holders
from core.errors import XaivaError
from core.site import Site
from core.telemetry.gpus import GpuState
from tests.support.engine import BASE_IMAGE, TestEngine, start_engine
from tests.support.service import running_service, site_of
from tests.tui import sample
from tests.tui.conftest import bare_site as bare_site
from tests.tui.support import shows, text, until
from tests.tui.test_snapshots import sample_world
from tui.app import XaivaApp
from tui.formatters import machine, overview
from tui.formatters.cells import plain_text
from tui.parts import ConsoleParts
from tui.sources import SOURCE_TITLES, Containers, LiveSample, Sources
from tui.store import Reading, Store
from tui.widgets.choice_list import ChoiceList
from tui.widgets.panel import Panel
from tui.widgets.sparkline import sparkline

UNKNOWN = "unknown, last answer"
WHY = "the cable is cut"


@dataclass
class Line:
    """What each source does: it answers, unless it is among those that fail or hang."""

    failing: set[str] = field(default_factory=set)
    hanging: set[str] = field(default_factory=set)
    go_on: threading.Event = field(default_factory=threading.Event)
    parts: ConsoleParts = sample.PARTS

    def answer(self, name: str, fetch: Callable[[], Any]) -> Any:
        if name in self.hanging:
            self.go_on.wait(60)
        if name in self.failing:
            raise XaivaError(f"Source {name}", WHY, "plug it in")
        return fetch()

    def restore(self) -> None:
        self.failing.clear()
        self.hanging.clear()
        self.go_on.set()


@pytest.fixture
def line(bare_site: Site) -> Iterator[Line]:
    """A console over the sample, whose sources can be cut."""
    cut = Line()

    class CutSources(sample.SampleSources):
        def fetchers(self) -> dict[str, tuple[Callable[[], Any], float]]:
            return {
                name: (lambda name=name, fetch=fetch: cut.answer(name, fetch), 0.05)
                for name, (fetch, _) in super().fetchers().items()
            }

    cut.parts = replace(sample.PARTS, sources=CutSources, tick=0.1)
    with sample_world(bare_site), pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("tui.store.LATE", 1.0)
        yield cut
    cut.restore()


# source → screens that show it: key, what must go, names that stay
SHOWN = {
    "containers": [("5", ("▶ running", "(healthy)", "138 %"), ("postgres",)), ("1", ("138 %",), ("postgres",))],
    "cameras": [("6", ("● live", "25.0/5.0"), ("gate-1",)), ("1", ("● live",), ("gate-1",)), ("0", ("● ready",), ())],
    "gpus": [("1", ("73 %", "71 °C", "312 W"), ("RTX 4090",))],
    "host": [("1", ("41 %", "63 °C"), ())],
    "operations": [("7", ("▶ running", "✓ done"), ("sync",)), ("3", ("▶ sync",), ("ubuntu22.04",))],
    "presets": [("2", ("✓ locked",), ("ubuntu22.04-cuda12.6",)), ("3", ("✓ locked",), ("ubuntu22.04-cuda12.6",))],
    "builds": [("4", ("✓ done", "✗ failed"), ("dubbing-cuda13.0",))],
    "events": [("8", ("●", "◐"), ("gate-1", "vehicle"))],
    "statistics": [("9", ("gate-1",), ())],
    "service": [("0", ("high",), ("night-shift",))],
}
IN_ALERTS = ("containers", "cameras", "gpus", "host", "operations")


@pytest.mark.parametrize(
    ("how", "size"),
    [pytest.param("failing", (160, 45), id="failing-160x45"), pytest.param("hanging", (80, 24), id="hanging-80x24")],
)
@pytest.mark.parametrize("source", SHOWN)
async def test_a_silent_source_leaves_names_and_no_state(
    bare_site: Site, line: Line, source: str, how: str, size: tuple[int, int]
) -> None:
    app = XaivaApp(bare_site, parts=line.parts)
    async with app.run_test(size=size) as pilot:
        for key, gone, names in SHOWN[source]:
            await pilot.press(key)
            await until(pilot, lambda names=names: all(name in text(pilot) for name in names))
            there = [word for word in gone if word in text(pilot)]
            assert there or size == (80, 24)
            getattr(line, how).add(source)
            await shows(pilot, UNKNOWN)
            await until(pilot, lambda there=there: not any(word in text(pilot) for word in there))
            assert all(name in text(pilot) + all_words(pilot) for name in names)
            assert "stale " in text(pilot)
            assert (WHY if how == "failing" else "no answer for") in " ".join(all_words(pilot).split())
            if key == "1" and source in IN_ALERTS:
                first = app.screen.query_one("#alerts", Panel).text.splitlines()[0]
                assert first.startswith(f"✗ {SOURCE_TITLES[source]}: ")
            line.restore()
            await until(pilot, lambda there=there: all(word in text(pilot) for word in there))
            await until(pilot, lambda: UNKNOWN not in text(pilot))
            line.go_on.clear()


def all_words(pilot: Pilot[int]) -> str:
    """All panels with what is scrolled out of view."""
    return "\n".join(panel.text for panel in pilot.app.screen.query(Panel))


async def test_a_picture_of_a_camera_that_is_not_known_to_be_live_goes(bare_site: Site, line: Line) -> None:
    app = XaivaApp(bare_site, parts=line.parts)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("6")
        picture = lambda: app.screen.query_one("#picture")  # noqa: E731
        await until(pilot, lambda: app.current_mode == "cameras" and picture()._arrived)
        line.failing.add("cameras")
        await until(pilot, lambda: not picture()._arrived and UNKNOWN in picture()._placeholder)
        line.restore()
        await until(pilot, lambda: picture()._arrived)


@pytest.mark.parametrize("how", ["failing", "hanging"])
async def test_an_empty_list_of_a_source_that_fell_silent_is_not_called_empty(
    bare_site: Site, line: Line, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(sample, "containers", containers := lambda: Containers([], {}))
    containers.__name__ = "containers"
    app = XaivaApp(bare_site, parts=line.parts)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("5")
        await shows(pilot, "no containers: open Presets")
        getattr(line, how).add("containers")
        await shows(pilot, UNKNOWN)
        assert "no container" not in text(pilot)


def reading(value: Any, age: float = 0.1) -> Reading[Any]:
    return Reading(value, age)


@pytest.mark.parametrize(
    ("state", "host", "words"),
    [
        pytest.param(ContainerState.RUNNING, "a" * 12, "", id="runs"),
        pytest.param(ContainerState.EXITED, "a" * 12, "the container is exited", id="stopped-by-hand"),
        pytest.param(ContainerState.PAUSED, "a" * 12, "the container is paused", id="paused"),
        pytest.param(ContainerState.RESTARTING, "a" * 12, "the container is restarting", id="restarts"),
        pytest.param(ContainerState.EXITED, "f" * 12, "", id="another-container"),
        pytest.param(ContainerState.EXITED, "workstation", "", id="no-container"),
    ],
)
def test_a_service_whose_container_does_not_run_says_nothing_more(state: ContainerState, host: str, words: str) -> None:
    found = sample.containers()
    changed = [found.containers[0].model_copy(update={"state": state}), *found.containers[1:]]
    status = sample.cameras().model_copy(update={"host": host})
    error = overview.stopped_container_error(reading(status), reading(Containers(changed, {})), None)
    assert (error.why if error else "") == words


def test_gpu_figures_of_before_are_not_shown_while_the_driver_hangs() -> None:
    live = sample.gpus()
    hung = live.sample.model_copy(update={"state": GpuState.HUNG, "age": 41.0, "detail": "no answer for 41 s"})
    shown = "\n".join(plain_text(one) for one in machine.gpu_lines(LiveSample(hung, live.history), 100))
    assert "0 RTX 4090  ? unknown, last answer 41 s ago" in shown
    assert "%" not in shown
    alerts = overview.alert_lines(LiveSample(hung, {}), None, None, None, None, None, 100)
    assert plain_text(alerts[0]) == "✗ GPU: no answer for 41 s"
    assert vram_holders(hung, None) == []


def test_a_sparkline_has_a_gap_where_nothing_was_heard(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, now = Sources(site), [100.0]
    monkeypatch.setattr("tui.sources.time.monotonic", lambda: now[0])
    for _ in range(5):
        sources._add_to_history("cpu", 100.0)
    now[0] += 60
    kept = [sources._add_to_history("cpu", 100.0) for _ in range(5)][-1]
    assert sparkline(kept, 3, 100, step=5) == "█ █"


def test_a_source_that_comes_back_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.store.LATE", 0.05)
    line, news = Line(), []
    store = Store({"slow": (lambda: line.answer("slow", lambda: 7), 0.01)}, news.append)
    try:
        store.watch(["slow"])
        wait(lambda: store.reading("slow").value == 7)
        line.hanging.add("slow")
        wait(lambda: store.reading("slow").is_stale)
        news.clear()
        line.restore()
        wait(lambda: news == ["slow"] or len(news) > 1)
    finally:
        line.restore()
        store.close()


def test_a_source_that_nobody_asked_for_a_while_is_old_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    now, line = [100.0], Line()
    monkeypatch.setattr("tui.store.time", SimpleNamespace(monotonic=lambda: now[0]))
    asked: list[str] = []

    def ask() -> Any:
        asked.append("once more")
        return line.answer("gpus", lambda: 7)

    store = Store({"gpus": (ask, 1.0)}, lambda _: None, titles=SOURCE_TITLES)
    try:
        store.watch(["gpus"])
        wait(lambda: store.reading("gpus").value == 7)
        store.watch([])
        line.hanging.add("gpus")
        now[0] += 600
        asked.clear()
        store.watch(["gpus"])  # its screen is in view again
        found = store.reading("gpus")
        assert found.is_stale
        assert found.problem.why == "asking again now"
        assert overview.source_failures([found]) == []
        wait(lambda: asked)
        now[0] += 5
        ((role, words),) = overview.source_failures([store.reading("gpus")])
        assert (role, words) == ("error", "NVIDIA driver: no answer for 5 s; last answer 10 min ago")
    finally:
        line.restore()
        store.close()


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


NAME = "xaiva-stale"


@contextmanager
def container(engine: TestEngine, site: Site) -> Iterator[None]:
    """A launched container that writes a line now and then."""
    marks = [f"--label={labels.PRESET}=cpu-debian12", f"--label={labels.SITE}={site.root}"]
    script = "while true; do echo words; sleep 0.2; done"
    engine.docker("run", "-d", "--init", "--name", NAME, *marks, BASE_IMAGE, "sh", "-c", script)
    try:
        yield
    finally:
        engine.docker("rm", "-f", NAME, check=False)


@pytest.mark.engine
async def test_a_real_engine_that_goes_away_and_comes_back(bare_site: Site) -> None:
    with start_engine() as engine:
        site = Site(bare_site.root, bare_site.settings, engine.env)
        app = XaivaApp(site)
        with container(engine, site):
            async with app.run_test(size=(160, 45)) as pilot:
                for gone, back in ((engine.pause, engine.resume), (partial(killed, engine), engine.restart)):
                    await pilot.press("5")
                    await shows(pilot, "▶ running")
                    await until(pilot, lambda: "words" in text(pilot) and UNKNOWN not in text(pilot))
                    gone()
                    try:
                        for key in "51":
                            await pilot.press(key)
                            await shows(pilot, UNKNOWN)
                            await until(pilot, lambda: "▶ running" not in text(pilot))
                            assert NAME in text(pilot)
                            assert "Docker engine" in text(pilot)
                        assert app.screen.query_one("#alerts", Panel).text.startswith("✗ Docker engine")
                    finally:
                        back()
                    engine.docker("start", NAME)  # an engine that was killed leaves it stopped
                await pilot.press("5")
                await shows(pilot, "▶ running")
                await until(pilot, lambda: "words" in text(pilot) and UNKNOWN not in text(pilot))
                engine.docker("stop", "-t", "0", NAME)
                await shows(pilot, "exited")
                assert app.screen.query_one("#choices", ChoiceList).key == NAME


def killed(engine: TestEngine) -> None:
    engine.process.kill()
    engine.process.wait()


@pytest.mark.parametrize("how", ["frozen", "killed"])
async def test_a_real_service_that_goes_away(bare_site: Site, tmp_path: Any, how: str) -> None:
    with running_service(tmp_path) as service:
        site = site_of(service, bare_site)
        app = XaivaApp(site)
        async with app.run_test(size=(160, 45)) as pilot:
            for key in "6890":
                await pilot.press(key)
                await until(pilot, lambda: app.store.reading("cameras").value is not None)
                await pilot.pause()
            service.process.send_signal(signal.SIGSTOP if how == "frozen" else signal.SIGKILL)
            for key in "016":
                await pilot.press(key)
                await shows(pilot, UNKNOWN)
                await shows(pilot, service.client.url)
            await pilot.press("6")
            assert "no cameras you may see" not in text(pilot)
            service.process.send_signal(signal.SIGCONT) if how == "frozen" else None
            if how == "frozen":
                await shows(pilot, "no cameras you may see")
