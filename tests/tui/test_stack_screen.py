"""The Stacks screen: over the sample, without an engine, and what it starts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from core.containers.model import Container, ContainerState
from core.engine import EngineError
from core.operations.model import Operation, OperationState
from core.site import Site
from tests.tui import sample
from tests.tui.sample_machine import NOON
from tests.tui.sample_site import operation
from tests.tui.sample_stacks import hall, recruit, stacks
from tests.tui.support import settled, shows, text, until
from tests.tui.test_navigation import on_screen
from tui.app import XaivaApp
from tui.formatters import stack_details
from tui.formatters import stacks as stack_format
from tui.formatters.cells import plain_text
from tui.navigation import SCREENS
from tui.parts import ConsoleParts
from tui.screens.base import ConsoleScreen
from tui.sources import Containers
from tui.stack_source import StackView, read_stacks
from tui.widgets.choice_list import ChoiceList

COMPOSE = """
name: shop
services:
  cache: {image: "redis:7", environment: {REDIS_PASSWORD: "${SHOP_PASSWORD:-none}"}}
  web: {image: "nginx:1", depends_on: [cache], ports: ["8080:80"]}
"""


@asynccontextmanager
async def stack_screen(
    site: Site, parts: ConsoleParts = sample.PARTS, size: tuple[int, int] = (160, 45), row: str = "", **more: Any
) -> AsyncIterator[Pilot[int]]:
    app = XaivaApp(site, parts=parts, **more)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.press(*SCREENS["stacks"].keys)
        await on_screen(pilot, "stacks")
        await settled(pilot)
        if row:
            choices(pilot).move_cursor_to(row)
            await until(pilot, lambda: choices(pilot).key == row)
        yield pilot


def choices(pilot: Pilot[int]) -> ChoiceList:
    return pilot.app.screen_stack[0].query_one("#choices", ChoiceList)


def row_of(pilot: Pilot[int], key: str) -> str:
    """The text of one row of the list."""
    return " | ".join(plain_text(cell) for row in choices(pilot)._rows if row.key == key for cell in row.cells)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The operations that were started: kind, subject, options, key."""
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(ConsoleScreen, "begin_operation", lambda _, *words, key: found.append((*words, key)))
    return found


class OtherSources(sample.SampleSources):
    """The sample with other answers of some sources."""

    def __init__(self, answers: dict[str, Callable[[], Any]]) -> None:
        self._answers = answers

    def fetchers(self) -> dict[str, tuple[Callable[[], Any], float]]:
        return {**super().fetchers(), **{name: (answer, 3600.0) for name, answer in self._answers.items()}}


def with_answers(**answers: Callable[[], Any]) -> ConsoleParts:
    return replace(sample.PARTS, sources=lambda _: OtherSources(answers))  # type: ignore[arg-type, return-value]


def items(views: list[StackView], listing: Containers | None) -> dict[str, stack_format.StackItem]:
    return {item.key: item for item in stack_format.items(views, listing)}


# -- what is shown -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(160, 45), (80, 24), (60, 20)])
async def test_each_stack_with_its_services_and_what_would_change(bare_site: Site, size: tuple[int, int]) -> None:
    async with stack_screen(bare_site, size=size) as pilot:
        await shows(pilot, "✗ unhealthy")
        assert choices(pilot).keys == [
            *("hall", "hall/postgres", "hall/dubbing", "hall/inference", "hall/tools"),
            *("recruit", "recruit/redis", "recruit/agent", "recruit/backend", "recruit/frontend"),
            "welding",
        ]
        assert "▶ healthy | Up 3 hours | 138 %" in row_of(pilot, "hall/inference")
        assert "replace: its configuration changed" in row_of(pilot, "hall/inference")
        assert row_of(pilot, "hall/postgres").endswith("ready-made | ")  # nothing would change
        assert "build of agent/ | build: agent/requirements.txt changed" in row_of(pilot, "recruit/agent")
        assert "○ no container" in row_of(pilot, "recruit/backend")
        assert "✗ port 8000/tcp is used by nginx" in row_of(pilot, "recruit/backend")
        assert "compose.yaml, line 7" in row_of(pilot, "welding")


async def test_the_details_of_a_service_and_its_log(bare_site: Site) -> None:
    async with stack_screen(bare_site, size=(160, 60), row="hall/inference") as pilot:
        await shows(pilot, "Log of xaiva-cpu-debian12")
        await shows(pilot, "postgres (healthy), dubbing (ended well)")
        await shows(pilot, "$ docker compose --file /srv/site/stacks/hall/compose.yaml up")
        await shows(pilot, "XAIVA_LOG=info")
        assert "DB_PASSWORD=" in text(pilot)
        assert "correct-horse" not in text(pilot)
        choices(pilot).move_cursor_to("hall/dubbing")
        await shows(pilot, "last health check")
        await shows(pilot, "connection refused")
        choices(pilot).move_cursor_to("welding")
        await shows(pilot, "→ correct it; check with: docker compose -f")
        assert "Log of" not in text(pilot)


async def test_without_an_engine_the_stacks_stay_and_their_states_are_unknown(bare_site: Site) -> None:
    gone = EngineError("Docker engine", "nothing listens on /run/docker.sock", "start it")

    def fail() -> Containers:
        raise gone

    views = [replace(hall(), plan=None, problem=gone)]
    async with stack_screen(bare_site, with_answers(stacks=lambda: views, containers=fail)) as pilot:
        for key in ("hall", "hall/postgres"):
            await until(pilot, lambda key=key: "? unknown" in row_of(pilot, key))
            assert "? nothing listens on /run/docker.sock" in row_of(pilot, key)
        await shows(pilot, "→ start it")  # in the details


async def test_states_that_are_too_old_are_not_shown(bare_site: Site) -> None:
    answers: list[Containers] = [sample.containers()]

    def containers() -> Containers:
        if not answers:
            raise EngineError("Docker engine", "it went away")
        return answers.pop()

    async with stack_screen(bare_site, with_answers(containers=containers)) as pilot:
        await shows(pilot, "✗ unhealthy")
        await pilot.press("f5")
        await until(pilot, lambda: "? unknown, last answer" in row_of(pilot, "hall/dubbing"))
        assert "unhealthy" not in row_of(pilot, "hall/dubbing")
        assert "dubbing" in row_of(pilot, "hall/dubbing")


async def test_the_plan_is_made_again_when_an_operation_on_a_stack_begins_or_ends(bare_site: Site) -> None:
    plans = 0
    ledger: list[Operation] = []

    def read() -> list[StackView]:
        nonlocal plans
        plans += 1
        return stacks()

    async def ledger_says(pilot: Pilot[int], *operations: Operation) -> None:
        ledger[:] = operations
        app: Any = pilot.app
        app.store.answer("operations", 10)
        app.tick()

    more = {"key": "stack:recruit", "options": {"action": "up", "services": ["agent"]}}
    async with stack_screen(bare_site, with_answers(stacks=read, operations=lambda: [*ledger])) as pilot:
        before = plans
        await ledger_says(pilot, operation(20, "sync", "recruit", OperationState.RUNNING, 3))
        await ledger_says(pilot, operation(21, "stack", "recruit", OperationState.RUNNING, 3, **more))
        await until(pilot, lambda: plans == before + 1)
        await shows(pilot, "▶ operation 21: up agent")
        assert row_of(pilot, "recruit/agent").endswith("| …")  # the old plan no longer holds
        choices(pilot).move_cursor_to("recruit/agent")
        await shows(pilot, "the plan is made again")
        done = operation(21, "stack", "recruit", OperationState.DONE, 3, **more, ended=NOON)
        await ledger_says(pilot, done)
        await until(pilot, lambda: plans == before + 2)
        await until(pilot, lambda: "port 8000/tcp is used by nginx" in row_of(pilot, "recruit"))
        choices(pilot).move_cursor_to("recruit/redis")
        await pilot.press("f")
        await on_screen(pilot, "operations")


def test_a_service_with_several_containers_shows_the_one_that_does_not_run() -> None:
    first, second = (
        Container(
            id=name, name=name, image="i", image_id="i", state=state, status=status, exit_code=code, project="recruit",
            service="agent",
        )
        for name, state, status, code in (
            ("agent-1", ContainerState.RUNNING, "Up 2 hours", None),
            ("agent-2", ContainerState.EXITED, "Exited (3) 5 seconds ago", 3),
        )
    )  # fmt: skip
    item = items([recruit()], Containers([first, second], {}))["recruit/agent"]
    assert item.container == second
    assert (stack_format.state(item).text, stack_format.since(item)) == ("✗ exited 3", "Exited (3) 5 seconds ago")
    lines = "\n".join(plain_text(one) for one in stack_details.detail(item, 100))
    assert "agent-1" in lines
    assert "agent-2" in lines
    assert stack_format.state(items([recruit()], Containers([first], {}))["recruit"]).text == "! 1 of 4 run"


def test_containers_of_another_project_are_not_those_of_the_stack() -> None:
    strangers = [one.model_copy(update={"project": "other"}) for one in sample.containers().containers]
    found = items([hall()], Containers(strangers, {}))
    assert {stack_format.state(item).text for key, item in found.items() if "/" in key} == {"○ no container"}


def test_what_would_stop_the_plan_comes_first() -> None:
    plan = recruit().plan
    assert plan is not None
    lines = [plain_text(one) for one in stack_details.plan_preview(plan, 100)]
    assert lines[0] == "✗ Service backend"
    assert "port 8000/tcp" in lines[1]
    assert sum("Service backend" in one for one in lines) == 1


# -- what is started ---------------------------------------------------------------------------------------------------


async def test_up_shows_the_plan_and_starts_only_after_it(bare_site: Site, begun: list[tuple[Any, ...]]) -> None:
    async with stack_screen(bare_site, row="hall/inference") as pilot:
        await pilot.press("U")
        await shows(pilot, "inference: its configuration changed")
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        assert begun == []
        await pilot.press("U")
        await shows(pilot, "inference: its configuration changed")
        await pilot.press("y")
        await until(pilot, lambda: begun)
    assert begun == [("stack", "hall", {"action": "up", "services": []}, "stack:hall")]


async def test_up_of_one_service(bare_site: Site, begun: list[tuple[Any, ...]]) -> None:
    async with stack_screen(bare_site, row="recruit/agent") as pilot:
        await pilot.press("u")
        await shows(pilot, "Up recruit agent")
        await pilot.press("y")
        await until(pilot, lambda: begun)
        choices(pilot).move_cursor_to("recruit")
        await pilot.press("u")
        await shows(pilot, "move to a service, or press U")
    assert begun == [("stack", "recruit", {"action": "up", "services": ["agent"]}, "stack:recruit")]


@pytest.mark.parametrize(("key", "action"), [("S", "start"), ("s", "stop"), ("r", "restart"), ("X", "down")])
@pytest.mark.parametrize("row", ["hall", "hall/dubbing"])
async def test_actions_on_a_service_or_a_stack(
    bare_site: Site, begun: list[tuple[Any, ...]], key: str, action: str, row: str
) -> None:
    services = ["dubbing"] if row == "hall/dubbing" and action != "down" else []
    async with stack_screen(bare_site, row=row) as pilot:
        await pilot.press(key)
        if action != "start":
            whole = "remove the containers of hall" if action == "down" else "all services of hall"
            await shows(pilot, "dubbing of hall" if services else whole)
            if action == "down":
                await shows(pilot, "Its volumes and images")
            await pilot.press("enter")  # Cancel has the focus
            await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
            assert begun == []
            await pilot.press(key)
            await shows(pilot, "y yes")
            await pilot.press("y")
        await until(pilot, lambda: begun)
    assert begun == [("stack", "hall", {"action": action, "services": services}, "stack:hall")]


@pytest.mark.parametrize("key", ["U", "S", "s", "r", "X"])
async def test_nothing_is_started_on_a_stack_that_cannot_be_read(
    bare_site: Site, begun: list[tuple[Any, ...]], key: str
) -> None:
    async with stack_screen(bare_site, row="welding") as pilot:
        await pilot.press(key)
        await shows(pilot, "welding cannot be used")
        assert len(pilot.app.screen_stack) == 1
    assert begun == []


async def test_a_visitor_changes_nothing(bare_site: Site, begun: list[tuple[Any, ...]]) -> None:
    async with stack_screen(bare_site, row="hall/dubbing", read_only=True) as pilot:
        await pilot.press("U", "u", "S", "s", "r", "X")
        await settled(pilot)
        assert len(pilot.app.screen_stack) == 1
        bar = text(pilot).splitlines()[-1]
        assert "Logs" in bar
        assert "Restart" not in bar
    assert begun == []


async def test_a_service_leads_to_its_container_and_back(bare_site: Site) -> None:
    async with stack_screen(bare_site, row="hall/dubbing") as pilot:
        await pilot.press("o")
        await on_screen(pilot, "containers")
        await until(pilot, lambda: choices(pilot).key == "xaiva-dubbing-cuda13.0")
        choices(pilot).move_cursor_to("postgres")
        await pilot.press("O", "k")
        await on_screen(pilot, "stacks")
        await until(pilot, lambda: choices(pilot).key == "hall/postgres")


# -- the source --------------------------------------------------------------------------------------------------------


def test_the_source_without_an_engine_has_the_stacks_and_why_there_is_no_plan(bare_site: Site) -> None:
    for name, compose in {"shop": COMPOSE, "broken": "services: {web: {imgae: x}}\n"}.items():
        (bare_site.stacks / name).mkdir(parents=True)
        (bare_site.stacks / name / "compose.yaml").write_text(compose)
    site = Site(bare_site.root, bare_site.settings, {**bare_site.env, "SHOP_PASSWORD": "correct-horse"})
    broken, shop = read_stacks(site)
    assert broken.entry.error is not None
    assert shop.entry.stack is not None
    assert list(shop.entry.stack.services) == ["cache", "web"]
    assert (shop.plan, isinstance(shop.problem, EngineError)) == (None, True)
    cache = items([shop], None)["shop/cache"]
    lines = "\n".join(plain_text(one) for one in stack_details.detail(cache, 100))
    assert "REDIS_PASSWORD=" in lines
    assert "correct-horse" not in lines
