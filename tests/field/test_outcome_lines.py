"""What came of long work is readable and said once: in a pipe, on a terminal of 80 columns and in the list.

It applies to every outcome with a list in it (a difference, what is not locked, findings), and to every table and bar
of the command line that says a state beside long names.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest

from core.cli import follow, output
from core.errors import XaivaError
from core.operations.model import Operation, OperationFailure, OperationState, Update
from core.operations.outcome import summarize_outcome
from core.progress import Stage, StageState
from core.site import Site
from tests.cli.conftest import Xaiva, small_site, xaiva

__all__ = ["small_site", "xaiva"]

COLUMNS = 80
LONG = "a-name-that-is-longer-than-anybody-would-type-" * 3
WARNING = {"level": "warning", "code": "x", "what": "torch has no code for it", "why": "sm_120", "remedy": "use cu128"}
ERROR = {"level": "error", "code": "y", "what": "no such driver", "why": "535 is too old", "remedy": "update it"}
LACKING = {"what": "base image x", "why": "no registry", "remedy": "get it"}
CHANGES = [f"~ wheel package-{number} 1.0 → 2.0" for number in range(70)]


def _operation(result: dict[str, Any] | None, failure: OperationFailure | None = None) -> Operation:
    return Operation(
        id=7, kind="lock", subject="small", key="preset:small", options={}, attempt=1, created=1, started=1, ended=2,
        state=OperationState.FAILED if failure else OperationState.DONE,
        seconds=1, cancel_requested=False, by="", pid=0, log="",
        result=result, failure=failure,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("result", "failure", "said"),
    [
        ({"changed": False, "unlocked": [], "findings": [], "diff": []}, None, ""),
        ({"unlocked": [LACKING, LACKING], "findings": [WARNING], "diff": CHANGES}, None,
         "partial: 2 not locked, 1 warning, 70 changes"),
        ({"findings": [ERROR, ERROR, {"level": "note"}, "unreadable"]}, None, "2 errors"),
        ({"findings": [{"level": "of a newer xaiva"}]}, None, ""),
        ({"diff": ["+ wheel numpy 2.1.0"]}, None, "1 change"),
        ({"loaded": ["xaiva-base/debian"]}, None, ""),
        (None, None, ""),
        (None, OperationFailure(what="index pypi", why="nobody\nanswers", remedy="try again"),
         "index pypi: nobody answers"),
        (None, OperationFailure(what="lock small crashed", why="it was killed; its last output:\nGet:1"),
         "lock small crashed: it was killed"),
    ],
)  # fmt: skip
def test_the_list_of_operations_says_what_came_of_one(result: Any, failure: OperationFailure | None, said: str) -> None:
    assert summarize_outcome(_operation(result, failure)) == said


def test_a_partial_lock_is_said_once_in_a_pipe_and_in_the_list(xaiva: Xaiva, small_site: Site) -> None:
    plan = {"base_image": "debian:bookworm-slim", "python_version": "3.11", "inference_service": False}
    (small_site.presets / "small.json").write_text(json.dumps(plan))
    text = xaiva("lock", "small", env={"DOCKER_HOST": "unix:///nowhere/docker.sock"}).out
    lines = [line.strip() for line in text.splitlines()]
    assert len(re.findall(r"^.*\block platform\b.*$", text, re.MULTILINE)) == 1
    assert len([line for line in lines if line.startswith("not locked: base image debian:bookworm-slim")]) == 1
    assert "{" not in text
    assert "'what'" not in text
    listed = xaiva("ops", "list").out
    assert re.search(r"done +lock small .*partial: 2 not locked", listed)


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        ({"bytes": 135604020}, ["bytes: 129.3 MiB"]),
        ({"changed": True, "fetched_bytes": 0}, ["changed: yes", "fetched bytes: 0 B"]),
        ({"unlocked": [LACKING]}, ["not locked: base image x: no registry", "→ get it"]),
        ({"unlocked": [{**LACKING, "of_a_newer_xaiva": 1}]}, ["not locked: base image x: no registry", "→ get it"]),
        ({"diff": CHANGES}, ["change: ~ wheel package-19 1.0 → 2.0",
                             "change: … and 50 more; list them all with: xaiva ops show 7"]),
        ({"findings": [WARNING]}, ["warning: torch has no code for it", "sm_120", "→ use cu128", "1 warning"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_an_outcome_is_printed_in_words(
    result: dict[str, Any], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    follow.print_result(_operation(result), 20)
    assert [line.strip() for line in capsys.readouterr().out.splitlines()][-len(lines) :] == lines


@pytest.mark.parametrize(
    ("head", "row"),
    [
        (("ID", "STATE", "FPS", "MODEL", "WHY"), ("gate", "reconnecting", 25, "m" * 30, LONG)),
        (("", "NAME", "STATE", "HEALTH", "PORTS", "IMAGE", "STATUS"),
         ("*", LONG, "restarting", "unhealthy", "8600->8600", LONG, "Up 3 hours")),
        (("CREATED", "RULE", "TO", "STATE", "EVENTS", "TRIES", "WHY"),
         ("2026-11-29 10:00:00", LONG, LONG, "waiting", "1", 3, LONG)),
        (("ID", "PRESET", "TARGET", "OUTCOME", "STARTED", "TOOK"),
         ("20261129-100000-abcd", LONG, LONG, "cancelled", "2026-11-29 10:00:00", "2 h 10 min")),
        (("ID", "STATE", "WHAT", "STARTED", "TOOK", "BY", "RESULT"),
         (7, "cancelled", LONG, "2026-11-29 10:00:00", "2 h 10 min", "ana from 10.0.0.7", LONG)),
    ],
    ids=["cameras", "containers", "deliveries", "builds", "operations"],
)  # fmt: skip
def test_a_state_is_whole_at_80_columns(
    head: tuple[str, ...], row: tuple[object, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "_terminal_width", lambda: COLUMNS)
    output.print_table(head, [row])
    lines = capsys.readouterr().out.splitlines()
    assert all(output.width(line) <= COLUMNS for line in lines)
    for title, cell in zip(head, row, strict=True):
        if title in ("STATE", "HEALTH", "OUTCOME"):
            assert str(cell) in lines[1].split()


@pytest.mark.parametrize("state", [shown_state for shown_state in StageState if shown_state is not StageState.WAITING])
def test_a_bar_keeps_its_state_at_80_columns(
    state: StageState, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    stage = Stage(id="a", title=LONG, state=state, done=1 << 30, total=4 << 30, unit="bytes", detail=LONG, started=1)
    follow._show_bars([Update(operation=_operation(None), stages=[stage], lines=[], offset=0)])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert [line.split()[0] for line in lines] == [state.value]
    assert output.width(lines[0].rstrip()) <= COLUMNS
    assert "1.0 GiB of 4.0" in lines[0]


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),  # as the convention has it: set, but to nothing
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_colour_is_for_a_terminal_that_shows_it(
    terminal: bool,
    environment: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    output.print_error(XaivaError("it failed", "", ""), as_json=False)
    assert ("\x1b[31m" in capsys.readouterr().err) is coloured
