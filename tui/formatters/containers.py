"""Containers as rows and lines."""

from __future__ import annotations

from collections.abc import Mapping

from core.containers.model import Container, ContainerHealth, ContainerState, ContainerStats, format_ports
from core.findings import Finding
from core.natural_order import natural_key
from core.telemetry.history import Trend
from tui.formatters import findings as finding_format
from tui.formatters.cells import Cell, Column, Line, Span, enum_span, fit, line, table, wrap
from tui.formatters.numbers import local_time, rate, size
from tui.formatters.trends import Graph, graph_lines
from tui.sources import Containers

LABEL_WIDTH = 11
STATE_SPANS: dict[ContainerState, Span] = {
    ContainerState.RUNNING: Span("▶ running", "ok"),
    ContainerState.PAUSED: Span("‖ paused", "warn"),
    ContainerState.RESTARTING: Span("↻ restarting", "warn"),
    ContainerState.CREATED: Span("○ created", "dim"),
    ContainerState.REMOVING: Span("○ removing", "dim"),
    ContainerState.EXITED: Span("■ exited", "dim"),
    ContainerState.STOPPED: Span("■ stopped", "dim"),
    ContainerState.DEAD: Span("✗ dead", "error"),
}
COLUMNS = (  # sorted by a container and its stats
    Column("name", minimum=18, weight=2, sort=lambda item: item[0].name),
    Column("state", 15, sort=lambda item: state(item[0]).text[2:]),
    Column("CPU", 7, right=True, rank=1, sort=lambda item: item[1].cpu_percent if item[1] else None),
    Column("memory", 9, right=True, rank=2, sort=lambda item: item[1].memory if item[1] else None),
    Column("preset", minimum=12, rank=4, sort=lambda item: item[0].preset or None),
    Column("ports", minimum=10, rank=3, sort=lambda item: published_ports(item[0]) or None),
)


def state(container: Container) -> Span:
    """The container's state; problems come first."""
    if container.unreadable:
        return Span(f"? {container.state.word}")
    if container.oom_killed:
        return Span(f"✗ {container.condition}", "error")
    if container.running and container.health is ContainerHealth.UNHEALTHY:
        return Span("✗ unhealthy", "error")
    if container.running and container.health is ContainerHealth.STARTING:
        return Span("▷ starting", "accent")
    if container.state in (ContainerState.EXITED, ContainerState.STOPPED) and container.exit_code:
        return Span(f"✗ {container.state.value} {container.exit_code}", "error" if container.managed else "warn")
    if container.running and not container.health.is_known:
        return Span(f"? {container.health.word}")
    return enum_span(STATE_SPANS, container.state)


def published_ports(container: Container) -> str:
    """The published ports in short: `8600→8600/tcp`."""
    return format_ports(container.ports, addresses=False)


def cpu_percent(stats: ContainerStats | None) -> str:
    """CPU use in percent of one core, "" when unknown."""
    return "" if stats is None or stats.cpu_percent is None else f"{stats.cpu_percent:.0f} %"


def row(container: Container, stats: ContainerStats | None) -> tuple[Cell, ...]:
    """One container in a list."""
    return (
        Span(container.name, "title" if container.managed else ""),
        state(container),
        cpu_percent(stats),
        size(stats.memory) if stats else "",
        Span(container.preset, "accent"),
        Span(published_ports(container), "dim"),
    )


def sort_containers(listing: Containers) -> list[Container]:
    """xaiva's containers first, running ones before stopped ones."""
    return sorted(
        listing.containers,
        key=lambda container: (not container.managed, not container.running, natural_key(container.name)),
    )


def summary(listing: Containers | None, width: int) -> list[Line]:
    """For the Overview: xaiva's containers first."""
    if listing is None:
        return []
    if not listing.containers:
        return [line(Span("no containers", "dim"))]
    columns = (
        Column("", minimum=14),
        Column("", 15),
        Column("", 7, right=True, rank=1),
        Column("", 9, right=True, rank=2),
    )
    rows = [row(container, listing.stats.get(container.id))[:4] for container in sort_containers(listing)]
    return table(rows, columns, width, titles=False)


def detail(
    container: Container,
    stats: ContainerStats | None,
    findings: list[Finding] | None,
    trends: Mapping[str, Trend],
    width: int,
) -> list[Line]:
    """Everything about one container except its log."""
    facts: list[tuple[str, Cell]] = [
        ("state", line(state(container), Span(f"  {container.status}", "dim"))),
        ("preset", Span(container.preset, "accent") if container.managed else Span("not launched by xaiva", "dim")),
        ("image", container.image),
        ("id", container.id[:12]),
        ("unreadable", Span(container.unreadable, "warn") if container.unreadable else ""),
        ("created", local_time(container.created) if container.created else ""),
        ("ports", format_ports(container.ports)),
    ]
    if stats is not None:
        limit = f" of {size(stats.memory_limit)}" if stats.memory_limit else ""
        facts += [("CPU", cpu_percent(stats) or "measuring"), ("memory", size(stats.memory) + limit)]
        if stats.network_received_rate is not None and stats.network_sent_rate is not None:
            words = f"↓ {rate(stats.network_received_rate)}  ↑ {rate(stats.network_sent_rate)}"
            facts.append(("network", words))
        facts.append(("processes", str(stats.pids)))
    out: list[Line] = [
        (*fit(Span(name, "dim"), LABEL_WIDTH), *fit(value, max(width - LABEL_WIDTH, 1)))
        for name, value in facts
        if value
    ]
    if container.health is ContainerHealth.UNHEALTHY and container.health_output:
        out += [line(), line(Span("last health check", "dim")), *wrap(container.health_output, width, "error")]
    if findings:
        out += [line(), *finding_format.lines(findings, width)]
    if drawn := graph_lines(_graphs(trends), LABEL_WIDTH, width):
        out += [line(), *drawn]
    return out


def _graphs(trends: Mapping[str, Trend]) -> list[Graph]:
    rates = {"received": "net in", "sent": "net out", "read": "disk read", "written": "disk write"}
    return [
        Graph("CPU", trends.get("cpu"), lambda value: f"{value:.0f} %"),
        Graph("memory", trends.get("memory"), size),
        *(Graph(title, trends.get(name), rate) for name, title in rates.items()),
    ]
