"""Cameras of the inference service as rows and lines."""

from __future__ import annotations

from core.inference.schemas import CameraState, CameraStatus, ServiceStatus
from tui.present.cells import Cell, Column, Line, Span, fit, line, table, wrap
from tui.present.figures import clock, coarse, size
from tui.widgets.sparkline import sparkline

STATES: dict[CameraState, Span] = {
    CameraState.CONNECTING: Span("◌ connecting", "accent"),
    CameraState.LIVE: Span("● live", "ok"),
    CameraState.DISCONNECTED: Span("✗ lost", "error"),
    CameraState.STOPPED: Span("■ stopped", "dim"),
}
COLUMNS = (
    Column("camera", minimum=14),
    Column("state", 12),
    Column("fps", 5, right=True),
    Column("age", 7, right=True, rank=1),
    Column("latency", 8, right=True, rank=2),
    Column("score", 5, right=True, rank=1),
)
LATE_FRAME = 2.0  # seconds; an older frame of a live camera is not live any more
LABEL = 12


def seconds(value: float | None) -> str:
    """`120 ms`, `2.4 s`, coarse when long."""
    if value is None:
        return ""
    if value < 1:
        return f"{round(value, 2) * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 60 else coarse(value)


def frame_age(camera: CameraStatus) -> Span:
    """The newest frame's age."""
    late = camera.last_frame_age is not None and camera.last_frame_age > LATE_FRAME
    return Span(seconds(camera.last_frame_age), "stale" if late else "")


def row(camera: CameraStatus) -> tuple[Cell, ...]:
    """One camera in a list."""
    return (
        camera.name or camera.id,
        STATES[camera.state],
        f"{camera.fps:.1f}" if camera.state is CameraState.LIVE else "",
        frame_age(camera),
        seconds(camera.latency),
        "" if camera.score is None else f"{camera.score:.2f}",
    )


def short(status: ServiceStatus | None, width: int) -> list[Line]:
    """For the Overview: those in trouble first."""
    if status is None:
        return []
    if not status.cameras:
        return [line(Span("the service runs and has no camera", "dim"))]
    columns = (Column("", minimum=10), Column("", 12), Column("", 5, right=True), Column("", 24, rank=1))
    rows: list[tuple[Cell, ...]] = []
    for camera in sorted(status.cameras, key=lambda one: (one.state is CameraState.LIVE, one.id)):
        name, state, fps, *_ = row(camera)
        last = Span(sparkline(camera.scores, 24, 1.0, step=5), "bar") if camera.scores else Span("")
        rows.append((name, state, fps, Span(camera.reason, "dim") if camera.reason else last))
    return table(rows, columns, width, titles=False)


def detail(camera: CameraStatus, width: int) -> list[Line]:
    """Everything about one camera."""
    picture = f"{camera.width}×{camera.height} {camera.codec}" if camera.width else "no frame yet"
    facts: list[tuple[str, Cell]] = [
        ("state", line(STATES[camera.state], Span(f"  since {clock(camera.since)}" if camera.since else "", "dim"))),
        ("source", camera.source),
        ("picture", picture),
        ("frames", f"{camera.fps:.1f} a second in, {camera.processed_fps:.1f} scored"),
        ("newest", frame_age(camera)),
        ("latency", seconds(camera.latency)),
        ("counted", f"{camera.frames} frames, {camera.dropped} skipped, {camera.reconnects} reconnects"),
    ]
    out: list[Line] = [
        (*fit(Span(name, "dim"), LABEL), *fit(value, max(width - LABEL, 1))) for name, value in facts if value
    ]
    if camera.reason:
        again = f"; next try in {camera.retry_in:.0f} s" if camera.retry_in is not None else ""
        out += [line(), *wrap(f"{camera.reason}{again}", width, "error")]
    if camera.score is not None:
        graph = sparkline(camera.scores, max(width - LABEL - 6, 8), 1.0)
        out += [line(), (*fit(Span("score", "dim"), LABEL), Span(f"{camera.score:.2f}  "), Span(graph, "accent"))]
    return out


def service(status: ServiceStatus, width: int) -> list[Line]:
    """One line about the service itself."""
    words = f"service {status.version} · up {coarse(status.uptime)} · {size(status.rss)} resident"
    return [fit(Span(words, "dim"), width)]
