"""Charts, and the lines about cameras, events and the service."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.api_schema import (
    AlertKind,
    AnalyserStatus,
    CameraAlert,
    CameraState,
    CameraStatus,
    DayStatistics,
    Learning,
    LoggerStatus,
    ModelStatus,
    OutboxStatus,
    ServiceStatus,
    Statistics,
    StorageStatus,
)
from core.telemetry.gpus import Gpu, GpuProcess, GpuSample, GpuState
from tests.tui import sample
from tui.formatters import cameras, events, overview, service, statistics
from tui.formatters.cells import Line, plain_text, width_of
from tui.formatters.charts import THRESHOLD_MARK, bar_chart, column_chart, score_graph, score_sparkline, short_number

SHARES = st.lists(st.floats(0, 1), max_size=90)


def text_of(lines: list[Line]) -> str:
    return "\n".join(plain_text(line) for line in lines)


@given(SHARES, st.floats(0, 1), st.integers(1, 100), st.integers(1, 12))
@settings(max_examples=150, deadline=None)
def test_a_score_fills_exactly_its_room_and_stands_out_above_the_threshold(
    scores: list[float], threshold: float, width: int, height: int
) -> None:
    spark = score_sparkline(scores, threshold, width)
    assert width_of(spark) == width
    loud = sum(len(span.text) for span in spark if span.role == "error")
    assert loud == sum(score >= threshold for score in scores[-width:])
    graph = score_graph(scores, threshold, width, height)
    assert len(graph) == height
    assert len({width_of(line) for line in graph}) == 1


def test_the_threshold_is_a_line_with_its_value() -> None:
    graph = score_graph([0.1, 0.9], 0.5, 40, 6)
    (marked,) = [line for line in graph if THRESHOLD_MARK in plain_text(line)]
    assert plain_text(marked).strip().startswith("0.50")
    assert graph.index(marked) == 2  # row 3 from below: 0.5 lies at its foot
    assert plain_text(graph[0]).endswith(("▃", "▄", "▅"))  # only the high score reaches the top row


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=1, max_size=120), st.integers(20, 90))
@settings(max_examples=100, deadline=None)
def test_columns_fill_their_room_and_no_count_disappears(values: list[tuple[int, int]], width: int) -> None:
    pairs = [(total, min(total, done)) for total, done in values]
    drawn = column_chart(pairs, [str(number) for number in range(len(pairs))], width, 10)
    assert len(drawn) == 10
    assert all(width_of(line) <= width for line in drawn)
    foot = plain_text(drawn[-2])[5:]
    assert (foot.strip() != "") == any(total for total, _ in pairs)


def test_bars_are_in_proportion_and_in_order() -> None:
    drawn = [plain_text(line) for line in bar_chart({"few": 1, "many": 40, "half": 20}, 60)]
    assert [line.split()[0] for line in drawn] == ["many", "half", "few"]
    assert drawn[1].count("█") == drawn[0].count("█") // 2 > 0
    assert drawn[2].split()[-1] == "1"


@pytest.mark.parametrize(("value", "text"), [(7, "7"), (999, "999"), (1200, "1.2k"), (34_000, "34k"), (2e6, "2M")])
def test_numbers_stay_short(value: float, text: str) -> None:
    assert short_number(value) == text


def day(when: date, by_hour: list[int]) -> Statistics:
    statistics_of_day = DayStatistics(
        date=when, camera="gate", events=sum(by_hour), by_hour=by_hour, by_type={"motion": sum(by_hour)}
    )
    return Statistics(zone="Europe/Berlin", days=[statistics_of_day])


@pytest.mark.parametrize(
    ("when", "hours", "at", "clock"),
    [
        (date(2026, 1, 31), 24, 13, 13),
        (date(2026, 3, 29), 23, 13, 14),  # 2:00 is skipped
        (date(2026, 10, 25), 25, 13, 12),  # 2:00 comes twice
        (date(2026, 10, 25), 25, 3, 2),
    ],
)
def test_an_hour_stands_at_its_time_on_the_clock(when: date, hours: int, at: int, clock: int) -> None:
    busiest = day(when, [9 if hour == at else 0 for hour in range(hours)])
    assert f"between {clock}:00 and" in text_of(statistics.by_hour(busiest, 12, 60))


def test_days_without_events_have_their_place() -> None:
    statistics_found = day(date(2026, 1, 30), [0] * 23 + [4])
    drawn = text_of(statistics.by_day(statistics_found, date(2026, 1, 25), date(2026, 1, 31), 12, 60))
    assert "4 events  0 acknowledged  4 waiting" in drawn
    assert "Jan 25" in drawn
    empty = Statistics(zone="UTC", days=[])
    assert "0 events" in text_of(statistics.by_day(empty, date(2026, 1, 1), date(2026, 1, 7), 12, 60))
    for lines in (statistics.by_type(empty, 40), statistics.by_camera(empty, 40), statistics.by_hour(empty, 9, 40)):
        assert text_of(lines) == "no events in these days"


LIVE = CameraStatus(id="gate", name="Gate", source="rtsp://h/1", state=CameraState.LIVE, score=0.4, scores=[0.4])
FROZEN = CameraAlert(kind=AlertKind.FROZEN, since=0, reason="the picture stands still")


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({}, "● live"),
        ({"anomaly": "e1"}, "▲ anomaly"),
        ({"anomaly": "e1", "alerts": [FROZEN]}, "! frozen"),
        ({"learning": Learning(done=30, wanted=60)}, "◐ learning 50%"),
        ({"learning": Learning(done=30, wanted=60, error="too few")}, "● live"),
        ({"scheduled": False}, "○ off schedule"),
        ({"state": CameraState.FAILED, "alerts": [FROZEN]}, "✗ failed"),
    ],
)
def test_a_cameras_state_says_what_matters_most(changed: dict[str, object], shown: str) -> None:
    assert cameras.state(LIVE.model_copy(update=changed)).text == shown


def test_a_camera_tells_every_trouble() -> None:
    ill = LIVE.model_copy(
        update={
            "state": CameraState.DISCONNECTED,
            "reason": "wrong password",
            "retry_in": 5.0,
            "alerts": [FROZEN],
            "error": "scoring failed",
            "learning": Learning(done=1, wanted=2, error="too few pictures"),
        }
    )
    text = text_of(cameras.detail(ill, 60))
    for part in ("wrong password; next try in 5 s", "the picture stands still", "scoring failed", "too few pictures"):
        assert part in text


@pytest.mark.parametrize("width", [38, 76, 150])
def test_nothing_is_wider_than_its_panel(width: int) -> None:
    status = sample.cameras()
    view = sample.service()
    assert view.rules is not None
    assert view.users is not None
    drawn = [
        *(line for camera in status.cameras for line in cameras.detail(camera, width)),
        *(line for event in sample.events().events for line in events.detail(event, width)),
        *cameras.summary(status, width),
        *service.rule_detail(view.rules[0], view.deliveries, width),
        *service.user_detail(view.users[1], width),
        *service.component_lines(status, width),
    ]
    assert not [plain_text(line) for line in drawn if width_of(line) > width]


def test_containers_stand_beside_what_the_ledger_explains() -> None:
    identity = "0123456789ab" + "c" * 52
    process = GpuProcess(pid=7, memory=1000 << 20, container_id=identity, container="xaiva-gate", ours=True)
    gpus = GpuSample(state=GpuState.OK, gpus=[Gpu(index=0, processes=[process, GpuProcess(pid=8, memory=3 << 20)])])
    status = sample.cameras()
    rows = [plain_text(line).split() for line in service.summary(status, gpus, 80)]
    assert ["xaiva-gate", "0", "1000", "MiB"] in rows
    rows = [
        plain_text(line).split()
        for line in service.summary(status.model_copy(update={"host": identity[:12]}), gpus, 80)
    ]
    assert ["xaiva-gate", "0", "1000", "MiB", "980", "MiB", "20.0", "MiB"] in rows
    assert ["process", "8", "0", "3.0", "MiB"] in rows


def told_of(status: ServiceStatus) -> str:
    return text_of(overview.alert_lines(None, None, None, status, None, None, 200))


def test_the_overview_tells_everything_of_the_service_that_needs_a_person() -> None:
    base = ServiceStatus(version="1", started=0, uptime=1, rss=1)
    assert "no alerts" in told_of(base)
    ill = base.model_copy(
        update={
            "cameras": [
                LIVE.model_copy(update={"state": CameraState.DISCONNECTED, "reason": "no route"}),
                LIVE.model_copy(update={"name": "Ramp", "state": CameraState.FAILED, "reason": "broke down"}),
                LIVE.model_copy(update={"name": "Dock", "alerts": [FROZEN]}),
            ],
            "unacknowledged": 3,
            "logger": LoggerStatus(state="failing", why="the disk is full", waiting=2),
            "outbox": OutboxStatus(waiting=4, oldest=700, why="mail refused"),
            "storage": StorageStatus(state="full", why="2 GB free are kept"),
            "analyser": AnalyserStatus(state="broken", why="connection refused"),
            "ledger": sample.cameras().ledger.model_copy(  # type: ignore[union-attr]
                update={"models": [ModelStatus(key="onnx:x", state="failed", why="no such file")]}
            ),
        }
    )
    text = told_of(ill)
    for part in (
        "camera Gate: no route",
        "camera Ramp has failed: broke down",
        "camera Dock is frozen",
        "3 events are waiting (8)",
        "the disk is full; 2 events are buffered on disk",
        "4 messages are not sent; the oldest has waited 11 min: mail refused",
        "2 GB free are kept",
        "the analyser does not answer: connection refused",
        "model onnx:x: no such file",
    ):
        assert part in text
    fresh = base.model_copy(update={"outbox": OutboxStatus(waiting=1, oldest=3.0)})
    assert "no alerts" in told_of(fresh)  # a message that has just come is no trouble
