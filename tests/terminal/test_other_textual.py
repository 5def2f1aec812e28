"""A Textual without one of the names it keeps to itself: the console starts, draws, and says so in its log."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.pty_session import PtySession
from tui.terminal.textual_private import USED, missing_names

NAMES = sorted({name for names in USED.values() for name in names.split()})


def test_the_locked_textual_has_every_name() -> None:
    assert missing_names() == ()


@pytest.mark.terminal
@pytest.mark.parametrize("name", NAMES)
def test_without_a_private_name_textual_draws_itself(name: str, tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    command = [sys.executable, "-m", "tests.terminal.renamed", name, str(log)]
    with PtySession(command, columns=60, rows=10, cwd=Path(__file__).parents[2]) as session:
        session.wait_for("count 000003")
        session.press("x")
        assert session.process.wait(10) == 7
    assert f".{name}" in log.read_text()
    assert "its own driver is used" in log.read_text()
