"""Cameras of the inference service as rows and lines."""

from __future__ import annotations

from core.api_schema import CameraState, CameraStatus, ServiceStatus
from core.natural_order import natural_key
from tui.formatters.cells import Cell, Column, Line, Span, enum_span, fit, labelled_lines, line, table, truncate, wrap
from tui.formatters.charts import score_graph, score_sparkline
from tui.formatters.numbers import coarse_duration, local_time, size

STATE_SPANS: dict[CameraState, Span] = {
    CameraState.CONNECTING: Span("◌ connecting", "accent"),
    CameraState.LIVE: Span("● live", "ok"),
    CameraState.DISCONNECTED: Span("✗ disconnected", "error"),
    CameraState.STOPPED: Span("■ stopped", "dim"),
    CameraState.FAILED: Span("✗ failed", "error"),
}
SPARKLINE_WIDTH = 15  # columns of the score in the list
STATE_WIDTH = 14  # of the longest, `✗ disconnected`
COLUMNS = (
    Column("camera", minimum=12),
    Column("state", STATE_WIDTH),
    Column("in/decided", 10, right=True),
    Column("age", 7, right=True, rank=4),
    Column("drops", 6, right=True, rank=6),
    Column("p50/p99", 11, right=True, rank=5),
    Column("score/at", 9, right=True, rank=1),
    Column("", SPARKLINE_WIDTH, rank=3),
    Column("model", 10, rank=7),
    Column("memory", 8, right=True, rank=8),
    Column("why", rank=2, minimum=14, weight=4),
)
LONG_RETRY_SECONDS = 10.0  # seconds until the next try, from which on a person may not want to wait
STALE_FRAME_SECONDS = (
    2.0  # seconds, or twice the usual distance of two frames; an older one of a live camera is not live
)
EXACT_SECONDS = 0.02  # seconds up to which every millisecond is told; more would change without end
CLOCK_RATE_TOLERANCE = 0.05  # less is what a network's delays make of a clock that is right
LABEL_WIDTH = 11
GRAPH_HEIGHT = 6  # rows of the score's graph
NARROW_WIDTH = 50  # columns from which on there is room for all of them


def short_seconds(value: float | None) -> str:
    """`120 ms`, `2.4 s`, coarse when long."""
    if value is None:
        return ""
    if value < 1:
        return f"{round(value, 2 if value > EXACT_SECONDS else 3) * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 60 else coarse_duration(value)


def frame_age(camera: CameraStatus) -> Span:
    """The newest frame's age."""
    usual_distance = 1 / camera.fps if camera.fps else 0.0
    is_stale = camera.last_frame_age is not None and camera.last_frame_age > max(
        STALE_FRAME_SECONDS, 2 * usual_distance
    )
    return Span(short_seconds(camera.last_frame_age), "stale" if is_stale else "")


def state(camera: CameraStatus) -> Span:
    """What matters most about it now: an anomaly, something wrong with the camera itself, learning, or its state."""
    if camera.state is not CameraState.LIVE:
        return enum_span(STATE_SPANS, camera.state)
    if camera.alerts:
        return Span(f"! {camera.alerts[0].kind.word}", "error")
    if camera.anomaly:
        return Span("▲ anomaly", "warn")
    if camera.learning is not None and not camera.learning.error:
        return Span(f"◐ learns {_learning_share(camera):.0%}", "accent")
    return enum_span(STATE_SPANS, camera.state) if camera.scheduled else Span("○ off schedule", "dim")


def _learning_share(camera: CameraStatus) -> float:
    learning = camera.learning
    return min(learning.done / learning.wanted, 1.0) if learning and learning.wanted else 0.0


def problems(camera: CameraStatus) -> list[str]:
    """Everything about it that needs a person, as sentences."""
    out = [f"{camera.reason}{_retry_text(camera)}"] if camera.reason else []
    out += [f"{alert.kind.word}: {alert.reason}" for alert in camera.alerts]
    if camera.error:
        out.append(camera.error)
    if camera.learning is not None and camera.learning.error:
        out.append(f"learning failed: {camera.learning.error}")
    if camera.unreadable:
        out.append(f"the service's answer cannot be read: {camera.unreadable}")
    return out


def _retry_text(camera: CameraStatus) -> str:
    if camera.retry_in is None:
        return ""
    wait = camera.retry_in
    at_once = ", at once with Restart" if wait > LONG_RETRY_SECONDS else ""
    return f"; next try in {f'{wait:.0f} s' if wait < 60 else coarse_duration(wait)}{at_once}"


def row(camera: CameraStatus) -> tuple[Cell, ...]:
    """One camera in a list."""
    live = camera.state is CameraState.LIVE
    return (
        camera.name or camera.id or "?",
        state(camera),
        f"{camera.fps:.1f}/{camera.processed_fps:.1f}" if live else "",
        frame_age(camera),
        Span(str(camera.dropped) if camera.dropped else "", "warn"),
        _latency_text(camera),
        _score_cell(camera),
        score_sparkline(camera.scores, camera.threshold, SPARKLINE_WIDTH, 4) if camera.scores else "",
        camera.model,
        size(camera.vram) if camera.vram else "",
        Span(_problem_text(camera), "dim"),
    )


def _latency_text(camera: CameraStatus) -> str:
    """Median and 99th percentile, with one unit where that is enough."""
    if camera.latency is None:
        return ""
    if camera.latency_p99 is None:
        return short_seconds(camera.latency)
    if camera.latency_p99 < 1:
        return f"{camera.latency * 1000:.0f}/{camera.latency_p99 * 1000:.0f} ms"
    return f"{camera.latency:.1f}/{camera.latency_p99:.1f} s"


def _score_cell(camera: CameraStatus) -> Cell:
    if camera.score is None:
        return Span(f"/{camera.threshold:.2f}", "dim")
    role = "error" if camera.score >= camera.threshold else ""
    return line(Span(f"{camera.score:.2f}", role), Span(f"/{camera.threshold:.2f}", "dim"))


def _problem_text(camera: CameraStatus) -> str:
    texts = problems(camera)
    if camera.suspended_until:
        texts.append(f"no notifications until {local_time(camera.suspended_until)}")
    return "; ".join(texts)


def summary(status: ServiceStatus | None, width: int) -> list[Line]:
    """For the Overview: those in trouble first."""
    if status is None:
        return []
    if not status.cameras:
        return [line(Span("the service runs and has no camera", "dim"))]
    columns = (Column("", minimum=10), Column("", STATE_WIDTH), Column("", 5, right=True), Column("", 24, rank=1))
    rows: list[tuple[Cell, ...]] = []
    for camera in sorted(
        status.cameras, key=lambda camera: (camera.state is CameraState.LIVE, not camera.alerts, natural_key(camera.id))
    ):
        last: Cell = score_sparkline(camera.scores, camera.threshold, 24, 5) if camera.scores else ""
        if problem_texts := problems(camera):
            last = Span(problem_texts[0], "dim")
        fps = f"{camera.fps:.1f}" if camera.state is CameraState.LIVE else ""
        rows.append((camera.name or camera.id or "?", state(camera), fps, last))
    return table(rows, columns, width, titles=False)


def detail(camera: CameraStatus, width: int) -> list[Line]:
    """Everything about one camera."""
    state_span = state(camera)
    state_word = enum_span(STATE_SPANS, camera.state)
    words = [state_span] if state_span == state_word else [state_word, Span("  "), state_span]
    decode = f", {camera.decode_ms:.1f} ms to decode" if camera.decode_ms is not None else ""
    picture = f"{camera.width}×{camera.height} {camera.codec}{decode}" if camera.width else "no frame yet"
    p99 = f", p99 {short_seconds(camera.latency_p99)}" if camera.latency_p99 is not None else ""
    latency = f"{short_seconds(camera.latency)} from arrival to decision{p99}" if camera.latency is not None else ""
    counts = [
        f"{camera.frames} frames",
        f"{camera.dropped} dropped",
        f"{camera.damaged} damaged" if camera.damaged else "",
        f"{camera.reconnects} reconnects",
        f"{camera.restarts} restarts" if camera.restarts else "",
    ]
    facts: list[tuple[str, Cell]] = [
        ("state", line(*words)),
        ("since", local_time(camera.since) if camera.since else ""),
        ("source", camera.source),
        ("picture", picture),
        ("frames", f"{camera.fps:.1f} a second in, {camera.processed_fps:.1f} decided"),
        ("newest", frame_age(camera)),
        ("clock", _clock_text(camera)),
        ("latency", latency),
        ("counted", ", ".join(word for word in counts if word)),
        ("model", f"{camera.model}{f', {size(camera.vram)}' if camera.vram else ''}" if camera.model else ""),
        ("learning", _learning_text(camera)),
        ("silent", f"no notifications until {local_time(camera.suspended_until)}" if camera.suspended_until else ""),
    ]
    out: list[Line] = []
    for problem in problems(camera):
        out += wrap(problem, width, "error")
    if camera.score is not None:
        above = camera.score >= camera.threshold
        score = Span(f"{camera.score:.2f}", "error" if above else "")
        score_line = line(Span("score ", "dim"), score, Span(f", an anomaly from {camera.threshold:.2f} on", "dim"))
        out.append(fit(score_line, width))
        out += [
            *score_graph(
                camera.scores, camera.threshold, width, GRAPH_HEIGHT if width > NARROW_WIDTH else GRAPH_HEIGHT // 2
            ),
            line(),
        ]
    for name, value in facts:
        if value:
            out += labelled_lines(name, value, LABEL_WIDTH, width)
    return out


def _clock_text(camera: CameraStatus) -> str:
    """A camera's clock that runs wrong; nothing about one that is right."""
    rate = camera.clock_rate
    if rate is None or abs(rate - 1) < CLOCK_RATE_TOLERANCE:
        return ""
    return f"its time stamps run at {rate:.2f} of real time; arrival counts instead"


def _learning_text(camera: CameraStatus) -> str:
    learning = camera.learning
    if learning is None or learning.error:
        return ""
    share = f"{_learning_share(camera):.0%}"
    return f"{coarse_duration(learning.done)} of {coarse_duration(learning.wanted)} of normal pictures, {share}"


def missing_picture_reason(camera: CameraStatus | None) -> str:
    """Why there is no picture of it; "" when there should be one."""
    if camera is None:
        return "no camera"
    if camera.state is CameraState.LIVE:
        return ""
    return camera.reason or enum_span(STATE_SPANS, camera.state).text[2:]


def picture_title(camera: CameraStatus) -> str:
    """For the frame around its picture."""
    shape = f" · {camera.width}×{camera.height}" if camera.width else ""
    return truncate(f"{camera.name or camera.id}{shape}", 40)
