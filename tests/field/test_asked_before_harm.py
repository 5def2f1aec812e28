"""A key that interrupts, removes, or sends something to people acts on one letter, without a question.

It applies to every action of the console that changes a running service or container: each asks first, Cancel has the
keys, and nothing happens before the answer yes.
"""

from __future__ import annotations

from typing import Any

import pytest

from core.api_schema import TestResult
from core.containers import manage
from core.site import Site
from tests.tui.bursts import console
from tests.tui.sample import SampleService
from tests.tui.support import until
from tui.screens.confirm import Confirm

HARMFUL: list[tuple[str, str, object, str]] = [  # screen, key, where the function is, its name
    ("cameras", "r", SampleService, "restart_camera"),
    ("cameras", "s", SampleService, "stop_camera"),
    ("cameras", "X", SampleService, "remove_camera"),
    ("service", "t", SampleService, "test_rule"),
    ("service", "X", SampleService, "remove_rule"),
    ("containers", "r", manage, "restart"),
    ("containers", "s", manage, "stop"),
    ("containers", "X", manage, "remove"),
]


@pytest.mark.parametrize(("screen", "key", "place", "name"), HARMFUL, ids=[f"{row[0]}-{row[3]}" for row in HARMFUL])
async def test_a_harmful_key_asks(
    site: Site, monkeypatch: pytest.MonkeyPatch, screen: str, key: str, place: Any, name: str
) -> None:
    done: list[str] = []

    def does(*_: object, **__: object) -> TestResult:
        done.append(name)
        return TestResult(sent=["ops@example.org"], failed={})  # what one of them wants to show

    monkeypatch.setattr(place, name, does, raising=False)
    async with console(site, screen) as pilot:
        app = pilot.app
        for answer in ("escape", "n", "enter"):  # enter: Cancel has the keys
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, Confirm))
            assert done == []
            await pilot.press(answer)
            await until(pilot, lambda: len(app.screen_stack) == 1)
            assert done == []
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        if place is SampleService:  # the sample has no engine to ask
            await pilot.press("y")
            await until(pilot, lambda: done == [name])
