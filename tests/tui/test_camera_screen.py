"""The service screens over the sample site: low bandwidth, large pictures, thresholds, read-only consoles."""

from __future__ import annotations

import threading

import pytest
from textual.widgets import Input

from core.api_schema import CameraRequest, CameraStatus, EventQuery
from core.errors import InputError
from core.site import Site
from tests.support import PATIENCE
from tests.tui import sample
from tests.tui.support import shows, text, until
from tests.tui.test_snapshots import sample_app
from tui.actions import ACTIONS
from tui.app import XaivaApp
from tui.formatters.events import filter_text
from tui.screens import pending_thresholds
from tui.screens.cameras import CamerasScreen
from tui.screens.event_filter import EventFilter
from tui.screens.events import EventsScreen
from tui.screens.large_picture import LargePicture
from tui.screens.text_dialog import TextDialog
from tui.widgets.choice_list import ChoiceList

__all__ = ["sample_app"]
SERVICE_SCREENS = ("cameras", "events", "statistics", "service")


async def test_a_thin_line_gets_a_picture_when_asked(sample_app: XaivaApp) -> None:
    sample_app.low_bandwidth = True
    async with sample_app.run_test(size=(160, 45)) as pilot:
        await pilot.press("6")
        await shows(pilot, "v shows the picture")
        await pilot.pause(0.5)
        assert "▀" not in text(pilot)
        await pilot.press("v")
        await shows(pilot, "▀▀")


async def test_enter_makes_the_picture_large_and_escape_leaves_it(sample_app: XaivaApp) -> None:
    async with sample_app.run_test(size=(100, 30)) as pilot:
        await pilot.press("6")
        await shows(pilot, "▀▀")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(sample_app.screen, LargePicture))
        await until(pilot, lambda: text(pilot).count("▀") > 80 * 20)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(sample_app.screen, CamerasScreen))
        sample_app.screen.query_one("#choices", ChoiceList).move_cursor_to("yard")
        await shows(pilot, "no frame for 10 s")
        await until(pilot, lambda: "▀" not in text(pilot))
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(sample_app.screen, CamerasScreen)


async def test_a_cameras_events_are_one_key_away(sample_app: XaivaApp) -> None:
    async with sample_app.run_test(size=(160, 45)) as pilot:
        await pilot.press("6")
        await shows(pilot, "gate-1")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(sample_app.screen, EventsScreen))
        await shows(pilot, "camera gate-1 ·")


async def test_a_threshold_that_is_refused_goes_back_and_says_why(
    sample_app: XaivaApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = threading.Event()

    def refuse(_: object, request: CameraRequest) -> CameraStatus:
        assert shown.wait(PATIENCE)
        raise InputError("Camera gate-1", f"no {request.detection.threshold}", "")

    monkeypatch.setattr(sample.SampleService, "update_camera", refuse, raising=False)
    monkeypatch.setattr(pending_thresholds, "SEND_DELAY", 3600)
    async with sample_app.run_test(size=(160, 45)) as pilot:
        await pilot.press("6")
        await shows(pilot, "/0.50")
        await pilot.press("plus")
        await shows(pilot, "/0.51")
        monkeypatch.setattr(pending_thresholds, "SEND_DELAY", 0.01)  # only what the last key chose is sent
        await pilot.press("plus")
        await shows(pilot, "/0.52")
        shown.set()
        await until(pilot, lambda: isinstance(sample_app.screen, TextDialog))
        assert "no 0.52" in text(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: "/0.52" not in text(pilot))


async def test_a_later_threshold_waits_for_the_one_before_it(
    sample_app: XaivaApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    arrived: list[float] = []
    answered, later = threading.Event(), threading.Event()

    def update(_: object, request: CameraRequest) -> CameraStatus:
        asked.append(request.detection.threshold)
        assert (answered if len(asked) == 1 else later).wait(PATIENCE)
        arrived.append(request.detection.threshold)
        raise InputError("Camera gate-1", f"no {request.detection.threshold}", "")

    later.set()
    monkeypatch.setattr(sample.SampleService, "update_camera", update, raising=False)
    monkeypatch.setattr(pending_thresholds, "SEND_DELAY", 0.01)
    async with sample_app.run_test(size=(160, 45)) as pilot:
        await pilot.press("6")
        await shows(pilot, "/0.50")
        await pilot.press("plus")
        await until(pilot, lambda: asked == [0.51])
        await pilot.press("plus")
        await shows(pilot, "/0.52")
        for _ in range(10):  # rounds of its timer
            await pilot.pause(pending_thresholds.SEND_DELAY)
        answered.set()
        await until(pilot, lambda: len(arrived) == 2)
    assert arrived == [0.51, 0.52]


async def test_a_threshold_takes_a_release_above_it_along(
    sample_app: XaivaApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[CameraRequest] = []
    settings = CameraRequest.model_validate(
        {"id": "gate-1", "source": "x", "detection": {"threshold": 0.5, "release": 0.495}}
    )
    monkeypatch.setattr(sample.SampleService, "camera_settings", lambda *_: settings)
    monkeypatch.setattr(
        sample.SampleService, "update_camera", lambda _, request: requests.append(request), raising=False
    )
    async with sample_app.run_test(size=(160, 45)) as pilot:
        await pilot.press("6")
        await shows(pilot, "/0.50")
        await pilot.press("minus")
        await until(pilot, lambda: requests)
        assert (requests[0].detection.threshold, requests[0].detection.release) == (0.49, None)
        assert len(requests) == 1


async def test_a_filter_is_what_was_typed(sample_app: XaivaApp, monkeypatch: pytest.MonkeyPatch) -> None:
    queries: list[EventQuery | None] = []
    async with sample_app.run_test(size=(120, 40)) as pilot:
        dialog = EventFilter(sample_app.site, EventQuery(), ["gate-1"], ["bottle"], ["motion"])
        await sample_app.push_screen(dialog, queries.append)
        typed = {
            "camera": "gate-1",
            "product": "bottle",
            "score": "0,6",
            "state": "waiting",
            "since": "2026-01-31",
            "order": "highest",
        }
        for name, value in typed.items():
            dialog.query_one(f"#{name}", Input).value = value
        await pilot.press("enter")
        await until(pilot, lambda: queries)
    (query,) = queries
    assert query is not None
    assert (query.camera, query.minimum_score, query.acknowledged, query.sort) == ("gate-1", 0.6, False, "score")
    assert query.since is not None
    assert "camera gate-1 · product bottle · " in filter_text(query)
    reopened = {one.name: one.value for one in EventFilter(sample_app.site, query, [], [], []).fields()}
    assert reopened["product"] == "bottle"
    assert (reopened["state"], reopened["since"], reopened["order"]) == ("waiting", "2026-01-31 00:00", "highest")


@pytest.mark.parametrize("screen", SERVICE_SCREENS)
async def test_every_key_works_over_the_sample(screen: str, sample_app: XaivaApp) -> None:
    from tui.navigation import SCREENS

    async with sample_app.run_test(size=(160, 45)) as pilot:
        await pilot.press(*SCREENS[screen].keys)
        await until(pilot, lambda: sample_app.current_mode == screen)
        quiet = [
            one for one in ACTIONS if one.screen == screen and (not one.changes or one.id.endswith(("add", "edit")))
        ]
        for action in quiet:
            await pilot.press(action.keys.split(",")[0])
            await pilot.pause()
            while len(sample_app.screen_stack) > 1:
                await pilot.press("escape")
                await pilot.pause()
            await sample_app.switch_mode(screen)
        assert sample_app.current_mode == screen


async def test_a_visitor_changes_nothing_of_the_service(bare_site: Site, sample_app: XaivaApp) -> None:
    sample_app.read_only = True
    async with sample_app.run_test(size=(160, 45)) as pilot:
        for key in "680":
            await pilot.press(key)
            await pilot.pause(0.1)
            await pilot.press("a", "e", "X", "n", "u", "plus", "enter", "escape")
            assert len(sample_app.screen_stack) == 1
        assert "Learn" not in text(pilot)
