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
DETECTOR_NAMES = {"motion": "motion", "memory": "memory bank (PatchCore)", "onnx": "ONNX model"}
SPARKLINE_WIDTH = 15  # columns of the score sparkline in the list
STATE_WIDTH = 14  # fits the longest, `✗ disconnected`
COLUMNS = (
    Column("camera", minimum=12, sort=lambda camera: camera.name or camera.id),
    Column("state", STATE_WIDTH, sort=lambda camera: state(camera).text[2:]),
    Column("fps in/dec", 10, right=True, sort=lambda camera: camera.fps if camera.state is CameraState.LIVE else None),
    Column("age", 7, right=True, rank=4, sort=lambda camera: camera.last_frame_age),
    Column("drops", 6, right=True, rank=6, sort=lambda camera: camera.dropped),
    Column("lat p50/p99", 11, right=True, rank=5, sort=lambda camera: camera.latency),
    Column("score/lim", 9, right=True, rank=1, sort=lambda camera: camera.score),
    Column("", SPARKLINE_WIDTH, rank=3),
    Column("detector", 11, rank=7, sort=lambda camera: detector_name(camera.model)),
    Column("VRAM", 8, right=True, rank=8, sort=lambda camera: camera.vram or None),
    Column("reason", rank=2, minimum=14, weight=4, sort=lambda camera: _problem_text(camera) or None),
)
LONG_RETRY_SECONDS = 10.0  # seconds until the next try from which Restart is offered
STALE_FRAME_SECONDS = 2.0  # seconds, or twice the usual frame distance; an older newest frame is marked as stale
EXACT_SECONDS = 0.02  # seconds up to which every millisecond is shown; larger values would change all the time
CLOCK_RATE_TOLERANCE = 0.05  # network delays alone explain a smaller deviation
LABEL_WIDTH = 11
GRAPH_HEIGHT = 6  # rows of the score graph
NARROW_WIDTH = 50  # columns; wider panels get the whole graph


def detector_name(word: str) -> str:
    """What people call a detector; an unknown word stays as it is."""
    return DETECTOR_NAMES.get(word, word)


def short_seconds(value: float | None) -> str:
    """`120 ms`, `2.4 s`, or a coarse duration from a minute on; "" for None."""
    if value is None:
        return ""
    if value < 1:
        return f"{round(value, 2 if value > EXACT_SECONDS else 3) * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 60 else coarse_duration(value)


def frame_age(camera: CameraStatus) -> Span:
    """The age of the newest frame, marked when it is too old."""
    usual_distance = 1 / camera.fps if camera.fps else 0.0
    is_stale = camera.last_frame_age is not None and camera.last_frame_age > max(
        STALE_FRAME_SECONDS, 2 * usual_distance
    )
    return Span(short_seconds(camera.last_frame_age), "stale" if is_stale else "")


def state(camera: CameraStatus) -> Span:
    """What matters most now: no connection, a problem with the camera itself, an anomaly, learning, or its state."""
    if camera.state is not CameraState.LIVE:
        return enum_span(STATE_SPANS, camera.state)
    if camera.alerts:
        return Span(f"! {camera.alerts[0].kind.word}", "error")
    if camera.anomaly:
        return Span("▲ anomaly", "warn")
    if camera.learning is not None and not camera.learning.error:
        return Span(f"◐ learning {_learning_share(camera):.0%}", "accent")
    return enum_span(STATE_SPANS, camera.state) if camera.scheduled else Span("○ off schedule", "dim")


def _learning_share(camera: CameraStatus) -> float:
    learning = camera.learning
    return min(learning.done / learning.wanted, 1.0) if learning and learning.wanted else 0.0


def problems(camera: CameraStatus) -> list[str]:
    """Everything about the camera that needs a person, one sentence each."""
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
    at_once = ", or press r to restart now" if wait > LONG_RETRY_SECONDS else ""
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
        detector_name(camera.model).partition(" (")[0],
        size(camera.vram) if camera.vram else "",
        Span(_problem_text(camera), "dim"),
    )


def _latency_text(camera: CameraStatus) -> str:
    """Median and 99th percentile, with one unit."""
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
    """For the Overview: cameras with problems first."""
    if status is None:
        return []
    if not status.cameras:
        return [line(Span("the service has no cameras", "dim"))]
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
    """All facts of one camera, its problems first."""
    state_span = state(camera)
    state_word = enum_span(STATE_SPANS, camera.state)
    words = [state_span] if state_span == state_word else [state_word, Span("  "), state_span]
    decode = f", decoded in {camera.decode_ms:.1f} ms" if camera.decode_ms is not None else ""
    video = f"{camera.width}×{camera.height} {camera.codec}{decode}" if camera.width else "no frame yet"
    p99 = f", p99 {short_seconds(camera.latency_p99)}" if camera.latency_p99 is not None else ""
    latency = f"{short_seconds(camera.latency)} from frame to decision{p99}" if camera.latency is not None else ""
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
        ("video", video),
        ("frames", f"{camera.fps:.1f} per second in, {camera.processed_fps:.1f} decided"),
        ("last frame", frame_age(camera)),
        ("clock", _clock_text(camera)),
        ("latency", latency),
        ("counts", ", ".join(word for word in counts if word)),
        ("detector", f"{detector_name(camera.model)}{f', {size(camera.vram)}' if camera.vram else ''}"),
        ("learning", _learning_text(camera)),
        ("suspended", f"no notifications until {local_time(camera.suspended_until)}" if camera.suspended_until else ""),
    ]
    out: list[Line] = []
    for problem in problems(camera):
        out += wrap(problem, width, "error")
    if camera.score is not None:
        above = camera.score >= camera.threshold
        score = Span(f"{camera.score:.2f}", "error" if above else "")
        score_line = line(Span("score ", "dim"), score, Span(f", alarm from {camera.threshold:.2f}", "dim"))
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
    """A warning about a camera clock that runs wrong, "" when it is right."""
    rate = camera.clock_rate
    if rate is None or abs(rate - 1) < CLOCK_RATE_TOLERANCE:
        return ""
    return f"timestamps run at {rate:.2f}× real time; arrival times are used instead"


def _learning_text(camera: CameraStatus) -> str:
    learning = camera.learning
    if learning is None or learning.error:
        return ""
    share = f"{_learning_share(camera):.0%}"
    return f"{coarse_duration(learning.done)} of {coarse_duration(learning.wanted)} of normal footage, {share}"


def missing_picture_reason(camera: CameraStatus | None) -> str:
    """Why there is no picture, "" when there should be one."""
    if camera is None:
        return "no camera"
    if camera.state is CameraState.LIVE:
        return ""
    return camera.reason or enum_span(STATE_SPANS, camera.state).text[2:]


def picture_title(camera: CameraStatus) -> str:
    """The title of the picture's frame."""
    shape = f" · {camera.width}×{camera.height}" if camera.width else ""
    return truncate(f"{camera.name or camera.id}{shape}", 40)
