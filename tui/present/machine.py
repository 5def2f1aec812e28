"""GPUs and host as lines."""

from __future__ import annotations

from core.telemetry.disks import Disk, DiskState
from core.telemetry.gpus import Gpu, GpuSample, GpuState
from core.telemetry.host import HostSample
from tui.present.cells import Line, Span, cut, fit, line, wrap
from tui.present.figures import bar, coarse, load_role, percent, rate, size
from tui.sources import Live
from tui.widgets.sparkline import sparkline

LABEL = 8  # columns of a row's name
SPARK_STEP = 5  # seconds a bar of a sparkline stands for: it moves on every fifth second alone
HOT_CELSIUS = 85
BAR = 14


def gpus(live: Live | None, width: int) -> list[Line]:
    """Two lines a GPU: what it is and how warm; how busy and how full."""
    if live is None:
        return []
    sample: GpuSample = live.sample
    if sample.state is not GpuState.OK and not sample.gpus:
        words = {GpuState.HUNG: "the driver does not answer"}.get(sample.state, "no GPU to see")
        return [line(Span(words, "dim")), *wrap(sample.detail, width, "dim")]
    out: list[Line] = []
    for gpu in sample.gpus:
        out += _gpu(gpu, live.history.get(f"gpu{gpu.index}", []), width)
    if sample.state is not GpuState.OK:
        out += wrap(f"! {sample.detail or sample.state.value}", width, "error")
    return out


def _gpu(gpu: Gpu, history: list[float], width: int) -> list[Line]:
    name = f"{gpu.index} {gpu.name.removeprefix('NVIDIA ').removeprefix('GeForce ')}"
    if gpu.state is not GpuState.OK:
        return [line(Span(name, "title"), Span(f"  {gpu.state.value}", "error"))]
    facts: list[Span] = []
    if gpu.temperature is not None:
        facts.append(Span(f"{gpu.temperature:.0f} °C", "error" if gpu.temperature >= HOT_CELSIUS else ""))
    if gpu.power is not None:
        facts.append(Span(f"{gpu.power:.0f} W"))
    if gpu.clock_graphics is not None and width >= 60:
        facts.append(Span(f"{gpu.clock_graphics} MHz", "dim"))
    facts += [Span(f"! {word}", "warn") for word in gpu.throttle or []]
    if gpu.ecc_uncorrected:
        facts.append(Span(f"✗ {gpu.ecc_uncorrected} ECC errors", "error"))
    right = [part for fact in facts for part in (Span("  "), fact)]
    room = width - sum(len(span.text) for span in right)
    head: Line = (*fit(Span(cut(name, room), "title"), room), *right)
    share = (gpu.utilisation or 0) / 100
    used = f"{size(gpu.memory_used or 0)} of {size(gpu.memory_total or 0)}"
    rows = [head]
    spark = max(width - LABEL - BAR - 8, 0)
    rows.append(
        (
            *fit(Span("  load", "dim"), LABEL),
            *bar(share, BAR, load_role(0)),
            Span(f" {percent(share)} "),
            Span(sparkline(history, min(spark, 60), 100, step=SPARK_STEP), "bar"),
        )
    )
    full = (gpu.memory_used or 0) / gpu.memory_total if gpu.memory_total else 0
    rows.append((*fit(Span("  VRAM", "dim"), LABEL), *bar(full, BAR), Span(f" {percent(full)}  {used}")))
    mine = [process for process in gpu.processes if process.ours or process.container or process.name]
    if mine and width >= 60:
        words = ", ".join(f"{one.container or one.name or one.pid} {size(one.memory or 0)}" for one in mine[:4])
        rows.append((*fit(Span("  by", "dim"), LABEL), Span(cut(words, width - LABEL), "dim")))
    return rows


def host(live: Live | None, width: int) -> list[Line]:
    """CPU, memory, network, disks."""
    if live is None:
        return []
    sample: HostSample = live.sample
    cpu = (sample.cpu_percent or 0) / 100
    memory = sample.memory_used / sample.memory_total if sample.memory_total else 0
    spark = min(max(width - LABEL - BAR - 8, 0), 60)
    history = sparkline(live.history.get("cpu", []), spark, 100, step=SPARK_STEP)
    out: list[Line] = [
        (*fit(Span("CPU", "dim"), LABEL), *bar(cpu, BAR), Span(f" {percent(cpu)} "), Span(history, "bar")),
        (
            *fit(Span("memory", "dim"), LABEL),
            *bar(memory, BAR),
            Span(f" {percent(memory)}  {size(sample.memory_used)} of {size(sample.memory_total)}"),
        ),
    ]
    if sample.swap_total and sample.swap_used > sample.swap_total / 20:
        swap = sample.swap_used / sample.swap_total
        out.append((*fit(Span("swap", "dim"), LABEL), *bar(swap, BAR), Span(f" {percent(swap)}")))
    out += [_disk(disk) for disk in _disks(sample)]
    if sample.received_rate is not None and sample.sent_rate is not None:
        words = f"↓ {rate(sample.received_rate)}  ↑ {rate(sample.sent_rate)}"
        out.append((*fit(Span("network", "dim"), LABEL), Span(words)))
    warm = max(sample.temperatures, key=lambda one: one.celsius, default=None)
    heat = f" · {warm.name} {warm.celsius:.0f} °C" if warm else ""
    words = f"{sample.load[0]:.1f} on {sample.cores} cores · up {coarse(sample.uptime)}{heat}"
    out.append((*fit(Span("load", "dim"), LABEL), Span(words, "dim")))
    return out


def _disks(sample: HostSample) -> list[Disk]:
    """Watched folders first, then mounts of other devices than theirs."""
    watched = [disk for disk in sample.disks if disk.label]
    seen = {(disk.total, disk.free) for disk in watched}
    return watched + [disk for disk in sample.disks if not disk.label and (disk.total, disk.free) not in seen]


def _disk(disk: Disk) -> Line:
    name = fit(Span(disk.label or disk.path, "dim"), LABEL)
    if disk.state is not DiskState.OK:
        return (*name, Span("  "), Span(f"{disk.state.value} {disk.detail}", "error"))
    full = 1 - disk.free / disk.total if disk.total else 0
    return (
        *name,
        Span(" ") if name[-1].text[-1] != " " else Span(""),
        *bar(full, BAR),
        Span(f" {percent(full)}  {size(disk.free)} free"),
    )
