"""The Engine screen: over the sample, and over a real engine whose connection is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from textual.pilot import Pilot

from core.clean.model import CleanPlan
from core.engine import EngineError
from core.engine_objects.model import CacheRecord, DiskUsage, Image, ObjectKind
from core.site import Site
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.tui import sample
from tests.tui.sample_engine import SampleEngineEvents, clean_plan, engine_objects
from tests.tui.support import settled, shows, text, until
from tui.app import XaivaApp
from tui.formatters import engine as engine_format
from tui.formatters.cells import plain_text
from tui.navigation import SCREENS
from tui.parts import ConsoleParts
from tui.screens.base import ConsoleScreen
from tui.widgets.choice_list import ChoiceList

VOLUME, CONTAINER = "console-engine-volume", "console-engine-test"


@asynccontextmanager
async def engine_screen(
    site: Site, parts: ConsoleParts = sample.PARTS, size: tuple[int, int] = (160, 45), notifications: bool = False
) -> Any:
    app = XaivaApp(site, parts=parts)
    async with app.run_test(size=size, notifications=notifications) as pilot:
        await pilot.press(*SCREENS["engine"].keys)
        await shows(pilot, "lines · follows")
        await settled(pilot)
        yield pilot


def keys(pilot: Pilot[int]) -> list[str]:
    return pilot.app.screen.query_one("#choices", ChoiceList).keys


async def test_one_kind_after_the_other_and_then_all_again(bare_site: Site) -> None:
    async with engine_screen(bare_site) as pilot:
        await shows(pilot, "cached mount")
        everything = keys(pilot)
        seen: list[str] = []
        for kind in ObjectKind:
            await pilot.press("t")
            await until(pilot, lambda kind=kind: all(key.startswith(f"{kind.value}:") for key in keys(pilot)))
            seen += keys(pilot)
        await pilot.press("t")
        await until(pilot, lambda: keys(pilot) == everything)
        assert seen == everything
        await pilot.press("slash", *"pgdata", "enter")
        await until(pilot, lambda: keys(pilot) == ["volume:pgdata"])
        await shows(pilot, "/var/lib/postgresql/data")


async def test_a_container_leads_to_its_image_and_back(bare_site: Site) -> None:
    async with engine_screen(bare_site) as pilot:
        await pilot.press("t", "t")  # the image is of another kind than the one shown
        await pilot.press("5")
        await shows(pilot, "xaiva-cpu-debian12")
        await pilot.press("O", "n")
        await shows(pilot, "2.0 GiB that no other image has")
        await shows(pilot, "apt-get install ffmpeg")
        await pilot.press("O", "b")
        await until(pilot, lambda: pilot.app.current_mode == "builds")
        await pilot.press("backspace", "o")
        await until(pilot, lambda: pilot.app.current_mode == "containers")


async def test_brackets_in_a_build_step_are_no_markup(bare_site: Site) -> None:
    record = CacheRecord(id="r", name="[/red] [bold]COPY", size=1)
    usage = DiskUsage(cache=[record])
    async with engine_screen(bare_site, replace(sample.PARTS, sources=partial(OtherUsage, usage))) as pilot:  # type: ignore[arg-type]
        pilot.app.screen.query_one("#choices", ChoiceList).move_cursor_to(record.key)
        await until(pilot, lambda: text(pilot).count("[/red] [bold]COPY") == 3)  # the list, the frame, the details


class OtherUsage(sample.SampleSources):
    """The sample with another disk usage."""

    def __init__(self, usage: DiskUsage, site: Site) -> None:
        super().__init__(site)
        self._usage = usage

    def fetchers(self) -> dict[str, tuple[Callable[[], Any], float]]:
        return {**super().fetchers(), "disk_usage": (lambda: self._usage, 3600.0)}


class CutEvents(SampleEngineEvents):
    """Events of an engine that has gone."""

    problem = EngineError("Events of the engine", "nothing listens there")


async def test_a_cut_stream_is_shown(bare_site: Site) -> None:
    parts = replace(sample.PARTS, engine_events=CutEvents)  # type: ignore[arg-type]
    async with engine_screen(bare_site, parts) as pilot:
        await shows(pilot, "cut off: nothing listens there")


@pytest.mark.parametrize("size", [(80, 24), (60, 20)])
async def test_small_terminals(bare_site: Site, size: tuple[int, int]) -> None:
    async with engine_screen(bare_site, size=size) as pilot:
        await shows(pilot, "xaiva/cpu-debian12")
        await shows(pilot, "23.7 GiB")


def test_an_unknown_size_is_no_zero() -> None:
    volume = next(volume for volume in engine_objects().volumes if volume.name == "share")
    assert plain_text(engine_format.row(volume, 0)[2]) == "?"
    unreadable = Image(id="x", name="x", unreadable="Id is missing")
    assert plain_text(engine_format.row(unreadable, 0)[4]) == "? unreadable"
    line = plain_text(engine_format.totals(engine_objects(), None, "measuring sizes…", 160))
    assert "images 4 · ?" in line
    assert "cache ? · ?" in line


@pytest.fixture
def volume(engine: TestEngine) -> Iterator[str]:
    engine.docker("volume", "create", VOLUME)
    yield VOLUME
    engine.docker("rm", "-f", CONTAINER, check=False)
    engine.docker("volume", "rm", VOLUME)


@pytest.mark.engine
async def test_a_real_engine_with_its_events_before_and_after_a_restart(
    engine_site: Site, engine: TestEngine, volume: str
) -> None:
    app = XaivaApp(engine_site)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press(*SCREENS["engine"].keys)
        await shows(pilot, BASE_IMAGE)
        await shows(pilot, "0 B")  # the volume is measured
        engine.docker(
            "run", "--name", CONTAINER, "--volume", f"{volume}:/data", BASE_IMAGE, "sh", "-c", "exit 3", check=False
        )
        await shows(pilot, f"die {CONTAINER} (exit code 3")
        await shows(pilot, f"■ {CONTAINER}")
        engine.restart()
        await shows(pilot, "connected again")
        engine.docker("rm", CONTAINER)
        await shows(pilot, f"destroy {CONTAINER}")
        assert text(pilot).count(f"die {CONTAINER}") == 1


async def test_a_clean_up_removes_what_was_shown_and_only_after_it_was(
    bare_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[Any, ...]] = []
    monkeypatch.setattr(ConsoleScreen, "begin_operation", lambda _, *words, key: started.append((*words, key)))
    ready = threading.Event()

    def plan(_: Site) -> CleanPlan:
        ready.wait()
        return clean_plan()

    async with engine_screen(bare_site, replace(sample.PARTS, clean_plan=plan)) as pilot:
        await pilot.press("c")
        await shows(pilot, "looking at what can go")
        await pilot.press("enter")
        ready.set()
        await shows(pilot, "3 to remove: 9.0 GiB")
        await shows(pilot, "? cache: Disk usage of the engine: no answer in time")
        assert started == []
        await pilot.press("y")  # a button takes no Enter for a moment after the first one
        await until(pilot, lambda: started)
    assert started == [("clean", "site", {"items": [item.id for item in clean_plan().items]}, "clean")]


async def test_an_image_in_use_is_not_removed(bare_site: Site) -> None:
    async with engine_screen(bare_site, notifications=True) as pilot:
        pilot.app.screen.query_one("#choices", ChoiceList).move_cursor_to("image:sha256:1")
        await pilot.press("X")
        await shows(pilot, "xaiva-cpu-debian12 uses it")


@pytest.mark.engine
async def test_an_image_is_removed_after_a_question(engine_site: Site, engine: TestEngine) -> None:
    engine.docker("import", "-", "console-removal:1", input=b"\0" * 1024)
    parts = ConsoleParts(host=lambda: "gpu-box", engine_events=SampleEngineEvents)  # type: ignore[arg-type]
    async with engine_screen(engine_site, parts) as pilot:
        await pilot.press("slash", *"console-removal", "enter")
        await until(pilot, lambda: len(keys(pilot)) == 1)
        await pilot.press("X")
        await shows(pilot, "Remove console-removal:1?")
        await pilot.press("n")
        assert engine.docker("images", "-q", "console-removal")
        await pilot.press("X")
        await shows(pilot, "Remove console-removal:1?")
        await pilot.press("y")
        await until(pilot, lambda: not engine.docker("images", "-q", "console-removal"))
