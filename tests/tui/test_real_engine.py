"""The console over a real engine: containers, logs, stop and remove; an engine that hangs; one that was never there."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator

import pytest
from textual.pilot import Pilot

from core import labels
from core.site import Site
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.pty_session import PtySession
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.navigation import SCREENS
from tui.screens.confirm import Confirm
from tui.widgets.choice_list import ChoiceList

pytestmark = pytest.mark.engine
NAME = "xaiva-console-test"
WORDS = "the camera hall is live"
STAMPED = re.compile(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {WORDS}")


@pytest.fixture
def container(engine: TestEngine) -> Iterator[str]:
    """A container of xaiva that prints lines and then sleeps."""
    script = f"echo {WORDS}; exec sleep 600"
    label = f"{labels.PRESET}=cpu-debian12"
    engine.docker("run", "-d", "--init", "--name", NAME, "--label", label, BASE_IMAGE, "sh", "-c", script)
    yield NAME
    engine.docker("rm", "-f", NAME, check=False)


async def on_containers(pilot: Pilot[int]) -> None:
    await pilot.press("5")
    await shows(pilot, NAME)
    pilot.app.screen.query_one("#choices", ChoiceList).move_cursor_to(NAME)


async def test_a_container_is_seen_with_its_log_stopped_and_removed(
    engine_site: Site, engine: TestEngine, container: str
) -> None:
    app = XaivaApp(engine_site)
    async with app.run_test(size=(160, 45)) as pilot:
        await on_containers(pilot)
        await shows(pilot, "▶ running")
        await shows(pilot, WORDS)
        engine.docker("restart", "-t", "0", container)
        await until(pilot, lambda: text(pilot).count(WORDS) == 2, 20)  # the log goes on
        await pilot.press("l", "t")
        await until(pilot, lambda: len(STAMPED.findall(text(pilot))) == 2)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("tab", "enter")
        await shows(pilot, "exited", 40)
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: container not in app.screen.query_one("#choices", ChoiceList).keys, 40)


async def test_with_a_stopped_engine_every_key_answers_and_the_panel_says_stale(
    engine_site: Site, engine: TestEngine, container: str
) -> None:
    app = XaivaApp(engine_site)
    async with app.run_test(size=(160, 45)) as pilot:
        await on_containers(pilot)
        engine.process.send_signal(signal.SIGSTOP)
        try:
            await shows(pilot, "stale ")
            assert container in text(pilot)
            for name, entry in SCREENS.items():
                await pilot.press(*entry.keys)
                await until(pilot, lambda name=name: app.current_mode == name)
        finally:
            engine.process.send_signal(signal.SIGCONT)
        await pilot.press("5")
        await until(pilot, lambda: "stale " not in text(pilot))


@pytest.mark.terminal
def test_a_command_a_shell_and_a_restart_from_the_list_in_a_small_terminal(
    engine_site: Site, engine: TestEngine, container: str
) -> None:
    words = [sys.executable, "-m", "tui", "--site", str(engine_site.root)]
    env = {"DOCKER_HOST": engine.host}
    with PtySession(words, columns=80, rows=24, env=env) as session:
        session.wait_for("Overview")
        session.press("5")
        session.wait_for("▶ running")
        session.press("E")
        session.wait_for("Run a command in")
        session.press("echo $((40+2)); exit 3", "enter")
        session.wait_for("\n42")
        session.wait_for("exit code 3")
        session.press("enter")
        session.wait_for("Log of")
        session.wait_quiet()
        session.press("e")
        session.wait_for("Shell in")
        session.press("echo $((40+3))", "enter")
        session.wait_for("\n43")
        session.press("exit", "enter")
        session.wait_quiet()
        session.press("r")
        session.wait_for(f"Restart {container}?")
        session.press("y")
        session.wait_for("restart done")
