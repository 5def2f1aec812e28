"""Processes as rows and lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.containers.processes import ListedProcess
from core.errors import XaivaError
from core.telemetry.gpus import GpuSample, GpuState
from core.telemetry.history import Trend
from tui.formatters.cells import Cell, Column, Line, Span, fit, labelled_lines, line, wrap
from tui.formatters.machine import gpu_name, gpu_problem_lines
from tui.formatters.numbers import coarse_duration, duration, size
from tui.formatters.trends import Graph, graph_lines
from tui.sources import SPARK_STEP, LiveSample

COLUMNS = (
    Column("GPU", 3, right=True, sort=lambda process: process.gpu),
    Column("PID", 7, right=True, sort=lambda process: process.pid),
    Column("owner", 9, rank=2, sort=lambda process: process.owner or None),
    Column("container", minimum=12, rank=1, sort=lambda process: process.container or None),
    Column("VRAM", 9, right=True, sort=lambda process: process.vram),
    Column("GPU %", 5, right=True, rank=5, sort=lambda process: process.gpu_percent),
    Column("CPU %", 6, right=True, sort=lambda process: process.cpu_percent),
    Column("memory", 9, right=True, rank=4, sort=lambda process: process.memory),
    Column("runs", 7, right=True, rank=6, sort=lambda process: process.run_seconds),
    Column("command", minimum=12, weight=4, rank=3, sort=lambda process: process.command or None),
)
LABEL_WIDTH = 11
GPU_LABEL_WIDTH = 7
UNKNOWN = Span("?", "dim")
ELSEWHERE = (
    "It is a process of the engine's host, or outside of this console's pid namespace: it can be ended only there."
)


def row(process: ListedProcess) -> tuple[Cell, ...]:
    """One process in the list. What only GPUs have is empty for a process that uses none."""
    on_gpu = process.gpu is not None
    return (
        str(process.gpu) if on_gpu else "",
        str(process.pid),
        process.owner or UNKNOWN,
        Span(process.container, "accent" if process.ours else ""),
        _vram(process),
        _percent(process.gpu_percent) if on_gpu else "",
        _percent(process.cpu_percent),
        UNKNOWN if process.memory is None else size(process.memory),
        UNKNOWN if process.run_seconds is None else coarse_duration(process.run_seconds),
        process.command,
    )


def _vram(process: ListedProcess) -> Cell:
    if process.gpu is None:
        return ""
    return UNKNOWN if process.vram is None else size(process.vram)


def _percent(value: float | None) -> Cell:
    return UNKNOWN if value is None else f"{value:.0f}"


def detail(process: ListedProcess, trends: Mapping[str, Trend], width: int) -> list[Line]:
    """Everything about one process, with what it used in the last minutes."""
    container = f"{process.container}, launched by xaiva" if process.ours else process.container
    facts: list[tuple[str, Cell]] = [
        ("command", process.command or "unknown"),
        ("owner", process.owner or "unknown"),
        ("container", container or Span("none", "dim")),
        ("GPU", Span("none", "dim") if process.gpu is None else str(process.gpu)),
        ("runs for", duration(process.run_seconds) if process.run_seconds is not None else "unknown"),
        ("memory", size(process.memory) if process.memory is not None else "unknown"),
    ]
    if process.gpu is not None and process.gpu_percent is None:
        facts.append(("GPU load", "unknown: the driver does not report it by process"))
    out = [one for name, value in facts for one in labelled_lines(name, value, LABEL_WIDTH, width)]
    graphs = [
        Graph("CPU", trends.get("cpu"), lambda value: f"{value:.0f} %"),
        Graph("VRAM", trends.get("vram"), size),
        Graph("GPU load", trends.get("gpu"), lambda value: f"{value:.0f} %", top=100),
    ]
    if drawn := graph_lines(graphs, LABEL_WIDTH, width):
        out += [line(), *drawn]
    if not process.can_be_ended:
        out += [line(), *wrap(ELSEWHERE, width, "warn")]
    return out


def gpu_lines(
    live: LiveSample | None, engine_error: XaivaError | None, problems: Sequence[str], width: int
) -> list[Line]:
    """Each GPU's load and memory over time, then what is not known about containers."""
    out = [] if live is None else _gpu_lines(live, width)
    if engine_error is not None:
        out += wrap(f"! processes of containers are unknown: {engine_error.summary}", width, "warn")
        out += wrap(f"→ {engine_error.remedy}", width, "accent", indent="  ") if engine_error.remedy else []
    return out + [words for problem in problems for words in wrap(f"! {problem}", width, "warn")]


def _gpu_lines(live: LiveSample, width: int) -> list[Line]:
    sample: GpuSample = live.sample
    if problem := gpu_problem_lines(sample, width):
        return problem
    out: list[Line] = []
    for gpu in sample.gpus:
        out.append((*fit(Span(gpu_name(gpu), "title"), width),))
        load = Trend(live.history.get(f"gpu{gpu.index}", []), 0, SPARK_STEP)
        memory = Trend(live.history.get(f"vram{gpu.index}", []), 0, SPARK_STEP)
        graphs = [
            Graph("  load", load, lambda value: f"{value:.0f} %", top=100),
            Graph("  VRAM", memory, size, top=gpu.memory_total),
        ]
        out += graph_lines(graphs, GPU_LABEL_WIDTH, width)
        if gpu.state is not GpuState.OK:
            out.append(line(Span(f"  {gpu.state.value}", "error")))
        elif gpu.utilisation is None:
            out.append(line(Span("  load unknown", "dim")))
    return out
