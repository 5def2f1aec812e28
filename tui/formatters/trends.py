"""Histories of figures as small graphs, one line each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.telemetry.history import Trend
from tui.formatters.cells import Line, Span, fit, line, truncate
from tui.formatters.numbers import coarse_duration
from tui.widgets.sparkline import sparkline

GRAPH_WIDTH = 60  # columns at most; a wider graph costs more bytes than it tells
MINIMUM_GRAPH_WIDTH = 8
RANGE_WIDTH = 18  # columns of the smallest and the largest value


@dataclass(frozen=True)
class Graph:
    """A figure with its name, its history, and how a value is written."""

    name: str
    trend: Trend | None
    text: Callable[[float], str]
    top: float | None = None
    """The value of a full bar; None: the largest one."""


def graph_lines(graphs: Sequence[Graph], label_width: int, width: int) -> list[Line]:
    """Each figure as a line with its smallest and largest value, then the time that the graphs span if it is known.

    Figures without any value are left out.
    """
    shown = [(graph, graph.trend) for graph in graphs if graph.trend and any(v is not None for v in graph.trend.values)]
    if not shown:
        return []
    graph_width = min(max(width - label_width - RANGE_WIDTH - 2, MINIMUM_GRAPH_WIDTH), GRAPH_WIDTH)
    out = [(*fit(Span(graph.name, "dim"), label_width), *_graph(graph, trend, graph_width)) for graph, trend in shown]
    if seconds := max(trend.seconds for _, trend in shown):
        words = truncate(f"the last {coarse_duration(seconds)}, smallest – largest", max(width - label_width, 1))
        out.append(line(Span(" " * label_width), Span(words, "dim")))
    return out


def _graph(graph: Graph, trend: Trend, width: int) -> Line:
    values = [value for value in trend.values if value is not None]
    low, high = graph.text(min(values)), graph.text(max(values))
    number, _, unit = low.partition(" ")
    low = number if high.partition(" ")[2] == unit and low != high else low
    words = low if low == high else f"{low} – {high}"
    return Span(sparkline(trend.values, width, graph.top, step=trend.step), "bar"), Span(f"  {words}")
