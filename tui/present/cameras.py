"""Cameras of the inference service as rows and lines."""

from __future__ import annotations

from core.inference.schemas import CameraState, CameraStatus, ServiceStatus
from core.natural_order import natural_key
from tui.present.cells import Cell, Column, Line, Span, cut, fit, labelled, line, table, word, wrap
from tui.present.charts import score_graph, score_spark
from tui.present.figures import clock, coarse, size

STATES: dict[CameraState, Span] = {
    CameraState.CONNECTING: Span("◌ connecting", "accent"),
    CameraState.LIVE: Span("● live", "ok"),
    CameraState.DISCONNECTED: Span("✗ disconnected", "error"),
    CameraState.STOPPED: Span("■ stopped", "dim"),
    CameraState.FAILED: Span("✗ failed", "error"),
}
SPARK = 15  # columns of the score in the list
STATE_WIDTH = 14  # of the longest, `✗ disconnected`
COLUMNS = (
    Column("camera", minimum=12),
    Column("state", STATE_WIDTH),
    Column("in/decided", 10, right=True),
    Column("age", 7, right=True, rank=4),
    Column("drops", 6, right=True, rank=6),
    Column("p50/p99", 11, right=True, rank=5),
    Column("score/at", 9, right=True, rank=1),
    Column("", SPARK, rank=3),
    Column("model", 10, rank=7),
    Column("memory", 8, right=True, rank=8),
    Column("why", rank=2, minimum=14, weight=4),
)
LONG_WAIT = 10.0  # seconds until the next try, from which on a person may not want to wait
LATE_FRAME = 2.0  # seconds, or twice the usual distance of two frames; an older one of a live camera is not live
EXACT = 0.02  # seconds up to which every millisecond is told; more would change without end
WRONG_CLOCK = 0.05  # less is what a network's delays make of a clock that is right
LABEL = 11
GRAPH = 6  # rows of the score's graph
NARROW = 50  # columns from which on there is room for all of them


def seconds(value: float | None) -> str:
    """`120 ms`, `2.4 s`, coarse when long."""
    if value is None:
        return ""
    if value < 1:
        return f"{round(value, 2 if value > EXACT else 3) * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 60 else coarse(value)


def frame_age(camera: CameraStatus) -> Span:
    """The newest frame's age."""
    usual = 1 / camera.fps if camera.fps else 0.0
    late = camera.last_frame_age is not None and camera.last_frame_age > max(LATE_FRAME, 2 * usual)
    return Span(seconds(camera.last_frame_age), "stale" if late else "")


def state(camera: CameraStatus) -> Span:
    """What matters most about it now: an anomaly, something wrong with the camera itself, learning, or its state."""
    if camera.state is not CameraState.LIVE:
        return word(STATES, camera.state)
    if camera.alerts:
        return Span(f"! {camera.alerts[0].kind.word}", "error")
    if camera.anomaly:
        return Span("▲ anomaly", "warn")
    if camera.learning is not None and not camera.learning.error:
        return Span(f"◐ learns {_learned(camera):.0%}", "accent")
    return word(STATES, camera.state) if camera.scheduled else Span("○ off schedule", "dim")


def _learned(camera: CameraStatus) -> float:
    learning = camera.learning
    return min(learning.done / learning.wanted, 1.0) if learning and learning.wanted else 0.0


def troubles(camera: CameraStatus) -> list[str]:
    """Everything about it that needs a person, as sentences."""
    out = [f"{camera.reason}{_again(camera)}"] if camera.reason else []
    out += [f"{alert.kind.word}: {alert.reason}" for alert in camera.alerts]
    if camera.error:
        out.append(camera.error)
    if camera.learning is not None and camera.learning.error:
        out.append(f"learning failed: {camera.learning.error}")
    if camera.unreadable:
        out.append(f"the service's answer cannot be read: {camera.unreadable}")
    return out


def _again(camera: CameraStatus) -> str:
    if camera.retry_in is None:
        return ""
    seconds = camera.retry_in
    at_once = ", at once with Restart" if seconds > LONG_WAIT else ""
    return f"; next try in {f'{seconds:.0f} s' if seconds < 60 else coarse(seconds)}{at_once}"


def row(camera: CameraStatus) -> tuple[Cell, ...]:
    """One camera in a list."""
    live = camera.state is CameraState.LIVE
    return (
        camera.name or camera.id or "?",
        state(camera),
        f"{camera.fps:.1f}/{camera.processed_fps:.1f}" if live else "",
        frame_age(camera),
        Span(str(camera.dropped) if camera.dropped else "", "warn"),
        _latency(camera),
        _score(camera),
        score_spark(camera.scores, camera.threshold, SPARK, 4) if camera.scores else "",
        camera.model,
        size(camera.vram) if camera.vram else "",
        Span(_why(camera), "dim"),
    )


def _latency(camera: CameraStatus) -> str:
    """Median and 99th percentile, with one unit where that is enough."""
    if camera.latency is None:
        return ""
    if camera.latency_p99 is None:
        return seconds(camera.latency)
    if camera.latency_p99 < 1:
        return f"{camera.latency * 1000:.0f}/{camera.latency_p99 * 1000:.0f} ms"
    return f"{camera.latency:.1f}/{camera.latency_p99:.1f} s"


def _score(camera: CameraStatus) -> Cell:
    if camera.score is None:
        return Span(f"/{camera.threshold:.2f}", "dim")
    role = "error" if camera.score >= camera.threshold else ""
    return line(Span(f"{camera.score:.2f}", role), Span(f"/{camera.threshold:.2f}", "dim"))


def _why(camera: CameraStatus) -> str:
    found = troubles(camera)
    if camera.suspended_until:
        found.append(f"no notifications until {clock(camera.suspended_until)}")
    return "; ".join(found)


def short(status: ServiceStatus | None, width: int) -> list[Line]:
    """For the Overview: those in trouble first."""
    if status is None:
        return []
    if not status.cameras:
        return [line(Span("the service runs and has no camera", "dim"))]
    columns = (Column("", minimum=10), Column("", STATE_WIDTH), Column("", 5, right=True), Column("", 24, rank=1))
    rows: list[tuple[Cell, ...]] = []
    for camera in sorted(
        status.cameras, key=lambda one: (one.state is CameraState.LIVE, not one.alerts, natural_key(one.id))
    ):
        last: Cell = score_spark(camera.scores, camera.threshold, 24, 5) if camera.scores else ""
        if found := troubles(camera):
            last = Span(found[0], "dim")
        fps = f"{camera.fps:.1f}" if camera.state is CameraState.LIVE else ""
        rows.append((camera.name or camera.id or "?", state(camera), fps, last))
    return table(rows, columns, width, titles=False)


def detail(camera: CameraStatus, width: int) -> list[Line]:
    """Everything about one camera."""
    now = state(camera)
    plain = word(STATES, camera.state)
    words = [now] if now == plain else [plain, Span("  "), now]
    decode = f", {camera.decode_ms:.1f} ms to decode" if camera.decode_ms is not None else ""
    picture = f"{camera.width}×{camera.height} {camera.codec}{decode}" if camera.width else "no frame yet"
    p99 = f", p99 {seconds(camera.latency_p99)}" if camera.latency_p99 is not None else ""
    latency = f"{seconds(camera.latency)} from arrival to decision{p99}" if camera.latency is not None else ""
    counted = [
        f"{camera.frames} frames",
        f"{camera.dropped} dropped",
        f"{camera.damaged} damaged" if camera.damaged else "",
        f"{camera.reconnects} reconnects",
        f"{camera.restarts} restarts" if camera.restarts else "",
    ]
    facts: list[tuple[str, Cell]] = [
        ("state", line(*words)),
        ("since", clock(camera.since) if camera.since else ""),
        ("source", camera.source),
        ("picture", picture),
        ("frames", f"{camera.fps:.1f} a second in, {camera.processed_fps:.1f} decided"),
        ("newest", frame_age(camera)),
        ("clock", _clock(camera)),
        ("latency", latency),
        ("counted", ", ".join(word for word in counted if word)),
        ("model", f"{camera.model}{f', {size(camera.vram)}' if camera.vram else ''}" if camera.model else ""),
        ("learning", _learning(camera)),
        ("silent", f"no notifications until {clock(camera.suspended_until)}" if camera.suspended_until else ""),
    ]
    out: list[Line] = []
    for trouble in troubles(camera):
        out += wrap(trouble, width, "error")
    if camera.score is not None:
        above = camera.score >= camera.threshold
        score = Span(f"{camera.score:.2f}", "error" if above else "")
        told = line(Span("score ", "dim"), score, Span(f", an anomaly from {camera.threshold:.2f} on", "dim"))
        out.append(fit(told, width))
        out += [*score_graph(camera.scores, camera.threshold, width, GRAPH if width > NARROW else GRAPH // 2), line()]
    for name, value in facts:
        if value:
            out += labelled(name, value, LABEL, width)
    return out


def _clock(camera: CameraStatus) -> str:
    """A camera's clock that runs wrong; nothing about one that is right."""
    rate = camera.clock_rate
    if rate is None or abs(rate - 1) < WRONG_CLOCK:
        return ""
    return f"its time stamps run at {rate:.2f} of real time; arrival counts instead"


def _learning(camera: CameraStatus) -> str:
    learning = camera.learning
    if learning is None or learning.error:
        return ""
    return f"{coarse(learning.done)} of {coarse(learning.wanted)} of normal pictures, {_learned(camera):.0%}"


def no_picture(camera: CameraStatus | None) -> str:
    """Why there is no picture of it; "" when there should be one."""
    if camera is None:
        return "no camera"
    if camera.state is CameraState.LIVE:
        return ""
    return camera.reason or word(STATES, camera.state).text[2:]


def title(camera: CameraStatus) -> str:
    """For the frame around its picture."""
    shape = f" · {camera.width}×{camera.height}" if camera.width else ""
    return cut(f"{camera.name or camera.id}{shape}", 40)
