"""A state has one name, its value: in the API, in `--json`, in the lists of the CLI, in the console and in the docs.

It applies to every vocabulary of states: operations, stages, builds, containers, cameras, models, messages,
analyses, clips, GPUs. A mark and a colour may stand beside the word, never another word for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import pytest

from core.api_schema import (
    AlertKind,
    AnalysisState,
    CameraAlert,
    CameraState,
    CameraStatus,
    ChannelKind,
    Delivery,
)
from core.cli.cameras import _problems
from core.containers import model as containers
from core.images.build_history import BuildOutcome
from core.inference.model_pool.pool import _ModelState as PoolState
from core.operations import model as operations
from core.progress import StageState
from core.telemetry.gpus import GpuState
from tests.docs.pages import page
from tests.tui import sample
from tui.formatters import builds, cameras, cells, events, service
from tui.formatters import containers as container_lines
from tui.formatters import operations as operation_lines

MODEL = {*(state.value for state in PoolState), "idle", "reserved"}


def _without_mark(text: str) -> str:
    return text.strip().partition(" ")[2].strip() if text.strip()[:1] in "●○◌▶▷■✗✓‖↻!▲?≡" else text.strip()


@pytest.mark.parametrize(
    ("shown", "states"),
    [
        pytest.param(operation_lines.STATE_SPANS, operations.OperationState, id="operations"),
        pytest.param(builds.OUTCOME_SPANS, BuildOutcome, id="builds"),
        pytest.param(container_lines.STATE_SPANS, containers.ContainerState, id="containers"),
        pytest.param(cameras.STATE_SPANS, CameraState, id="cameras"),
        pytest.param(service.MODEL_STATE_SPANS, MODEL, id="models"),
    ],
)
def test_the_console_shows_the_word_itself(shown: Mapping[Any, cells.Span], states: Iterable[Any]) -> None:
    words = {str(getattr(state, "value", state)) for state in states}
    assert {str(getattr(state, "value", state)) for state in shown} == words
    for state, span in shown.items():
        assert _without_mark(span.text) == str(getattr(state, "value", state))


@pytest.mark.parametrize(
    ("shown", "columns", "title"),
    [
        pytest.param(operation_lines.STATE_SPANS, operation_lines.COLUMNS, "state", id="operations"),
        pytest.param(builds.OUTCOME_SPANS, builds.COLUMNS, "outcome", id="builds"),
        pytest.param(container_lines.STATE_SPANS, container_lines.COLUMNS, "state", id="containers"),
        pytest.param(cameras.STATE_SPANS, cameras.COLUMNS, "state", id="cameras"),
    ],
)
def test_its_column_has_room_for_the_word(shown: Mapping[Any, cells.Span], columns: Any, title: str) -> None:
    (column,) = (column for column in columns if column.title == title)
    assert column.rank == 0
    assert column.width >= max(map(cells.width_of, shown.values()))


def test_every_stage_state_has_a_mark() -> None:
    assert set(operation_lines.STAGE_STATE_MARKS) == set(StageState)


def _live(**more: Any) -> CameraStatus:
    return CameraStatus(id="gate", name="Gate", source="rtsp://host", state=CameraState.LIVE, **more)


@pytest.mark.parametrize("state", CameraState)
def test_a_camera(state: CameraState) -> None:
    camera = _live().model_copy(update={"state": state})
    assert _without_mark(cameras.state(camera).text) == state.value


@pytest.mark.parametrize("kind", AlertKind)
def test_an_alert(kind: AlertKind) -> None:
    camera = CameraStatus(
        id="gate",
        name="Gate",
        source="rtsp://host",
        state=CameraState.LIVE,
        alerts=[CameraAlert(kind=kind, since=1, reason="")],
    )
    assert _without_mark(cameras.state(camera).text) == kind.value
    assert kind.value in _problems(camera)


def test_a_camera_outside_its_schedule_is_called_so_by_console_and_cli() -> None:
    camera = _live(scheduled=False)
    assert _without_mark(cameras.state(camera).text) == _problems(camera) == "off schedule"


@pytest.mark.parametrize("state", [AnalysisState.PENDING, AnalysisState.FAILED])
def test_an_analysis(state: AnalysisState) -> None:
    event = sample.events().events[0].model_copy(update={"facts": []})
    event = event.model_copy(update={"analysis": event.analysis.model_copy(update={"state": state, "description": ""})})
    assert events.description(event) == f"analysis {state.value}"


@pytest.mark.parametrize("state", ["none", "recording", "failed"])
def test_a_clip(state: str) -> None:
    event = sample.events().events[0]
    event = event.model_copy(update={"clip": event.clip.model_copy(update={"state": state, "why": "the disk is full"})})
    assert cells.plain_text(events._clip_cell(event)).startswith(state)


@pytest.mark.parametrize("state", ["waiting", "sent", "given_up", "of a newer service"])
def test_a_message(state: str) -> None:
    rule = sample.service().rules[0]
    moment = datetime.fromtimestamp(1, timezone.utc)
    one = Delivery(id="1", rule=rule.name, kind=ChannelKind.EMAIL, to="a@b", state=state, created=moment)
    assert any(f"  {state}  " in cells.plain_text(line) for line in service.rule_detail(rule, [one], 80))


def _table(name: str, head: str) -> set[str]:
    """What the first column of the tables with this head names."""
    return {span.text for table in page(name).tables if table.head[0] == head for span in table.column(0)}


def _spans(name: str, heading: str) -> set[str]:
    return {span.text for span in page(name).spans if span.heading == heading}


GPUS = {state.value for state in GpuState}


@pytest.mark.parametrize(
    ("documented", "states"),
    [
        pytest.param(_table("docs/cameras.md", "state"), {state.value for state in CameraState}, id="cameras"),
        pytest.param(_table("docs/models.md", "state of a model"), MODEL, id="models"),
        pytest.param(_table("docs/notifications.md", "state"), {"waiting", "sent", "given_up"}, id="messages"),
        pytest.param(_spans("docs/containers.md", "What xaiva monitors") & GPUS, GPUS, id="GPUs"),
    ],
)
def test_the_documentation_has_the_same_names(documented: set[str], states: set[str]) -> None:
    """The tables of analyses and of operations are checked in tests/docs."""
    assert documented == states
