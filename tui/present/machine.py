"""GPUs and host as lines."""

from __future__ import annotations

from core.telemetry.disks import Disk, DiskState
from core.telemetry.gpus import Gpu, GpuSample, GpuState
from core.telemetry.host import HostSample
from tui.present.cells import Line, Span, cut, fit, line, wrap
from tui.present.figures import bar, coarse, load_role, percent, rate, size
from tui.sources import SPARK_STEP, Live
from tui.widgets.sparkline import sparkline

LABEL = 8  # columns of the name of a figure
NAME = 10  # of the name of a part of the host
HOT_CELSIUS = 85
BAR, NARROW_BAR = 14, 6
ROOMY = 56  # columns from which a panel has room for everything


def _bar_width(width: int) -> int:
    return BAR if width >= ROOMY else NARROW_BAR


def _of(used: float, total: float, width: int) -> str:
    """`19.0 GiB of 24.0 GiB`, or `19.0/24.0 GiB` where there is little room."""
    if width >= ROOMY:
        return f"{size(used)} of {size(total)}"
    number, _, unit = size(used).partition(" ")
    whole, _, whole_unit = size(total).partition(" ")
    return f"{number}/{whole} {unit}" if unit == whole_unit else f"{size(used)}/{size(total)}"


def gpus(live: Live | None, width: int) -> list[Line]:
    """Two lines a GPU: what it is and how warm; how busy and how full."""
    if live is None:
        return []
    sample: GpuSample = live.sample
    if sample.state is not GpuState.OK and not sample.gpus:
        words = {GpuState.HUNG: "the driver does not answer"}.get(sample.state, "no GPU to see")
        return [line(Span(words, "dim")), *wrap(sample.detail, width, "dim")]
    if sample.state is GpuState.HUNG:
        lines = wrap(f"! {sample.detail}", width, "error")
        return lines + [name for gpu in sample.gpus for name in wrap(_unknown(gpu, sample.age), width, "stale")]
    out: list[Line] = []
    for gpu in sample.gpus:
        out += _gpu(gpu, live.history.get(f"gpu{gpu.index}", []), width)
    if sample.state is not GpuState.OK:
        out += wrap(f"! {sample.detail or sample.state.value}", width, "error")
    return out


def gpu_name(gpu: Gpu) -> str:
    """`0 RTX 4090`."""
    return f"{gpu.index} {gpu.name.removeprefix('NVIDIA ').removeprefix('GeForce ')}"


def _unknown(gpu: Gpu, age: float) -> str:
    return f"{gpu_name(gpu)}  ? unknown, last heard {coarse(age)} ago"


def _gpu(gpu: Gpu, history: list[float | None], width: int) -> list[Line]:
    name = gpu_name(gpu)
    if gpu.state is not GpuState.OK:
        return [line(Span(name, "title"), Span(f"  {gpu.state.value}", "error"))]
    facts: list[Span] = []
    if gpu.temperature is not None:
        facts.append(Span(f"{gpu.temperature:.0f} °C", "error" if gpu.temperature >= HOT_CELSIUS else ""))
    if gpu.power is not None:
        facts.append(Span(f"{gpu.power:.0f} W"))
    if gpu.clock_graphics is not None and width >= ROOMY:
        facts.append(Span(f"{gpu.clock_graphics} MHz", "dim"))
    facts += [Span(f"! {word}", "warn") for word in gpu.throttle or []]
    if gpu.ecc_uncorrected:
        facts.append(Span(f"✗ {gpu.ecc_uncorrected} ECC errors", "error"))
    right = [part for fact in facts for part in (Span("  "), fact)]
    room = width - sum(len(span.text) for span in right)
    head: Line = (*fit(Span(cut(name, room), "title"), room), *right)
    share = (gpu.utilisation or 0) / 100
    used = _of(gpu.memory_used or 0, gpu.memory_total or 0, width)
    wide = _bar_width(width)
    rows = [head]
    spark = max(width - LABEL - wide - 8, 0)
    rows.append(
        (
            *fit(Span("  load", "dim"), LABEL),
            *bar(share, wide, load_role(0)),
            Span(f" {percent(share)} "),
            Span(sparkline(history, min(spark, 60), 100, step=SPARK_STEP), "bar"),
        )
    )
    full = (gpu.memory_used or 0) / gpu.memory_total if gpu.memory_total else 0
    rows.append((*fit(Span("  VRAM", "dim"), LABEL), *bar(full, wide), Span(f" {percent(full)}  {used}")))
    mine = [process for process in gpu.processes if process.ours or process.container or process.name]
    if mine and width >= ROOMY:
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
    wide = _bar_width(width)
    spark = min(max(width - NAME - wide - 8, 0), 60)
    history = sparkline(live.history.get("cpu", []), spark, 100, step=SPARK_STEP)
    out: list[Line] = [
        (*fit(Span("CPU", "dim"), NAME), *bar(cpu, wide), Span(f" {percent(cpu)} "), Span(history, "bar")),
        (
            *fit(Span("memory", "dim"), NAME),
            *bar(memory, wide),
            Span(f" {percent(memory)}  {_of(sample.memory_used, sample.memory_total, width)}"),
        ),
    ]
    if sample.swap_total and sample.swap_used > sample.swap_total / 20:
        swap = sample.swap_used / sample.swap_total
        out.append((*fit(Span("swap", "dim"), NAME), *bar(swap, wide), Span(f" {percent(swap)}")))
    out += [_disk(disk, width) for disk in _disks(sample)]
    if sample.received_rate is not None and sample.sent_rate is not None:
        words = f"↓ {rate(sample.received_rate)}  ↑ {rate(sample.sent_rate)}"
        out.append((*fit(Span("network", "dim"), NAME), Span(words)))
    warm = max(sample.temperatures, key=lambda one: one.celsius, default=None)
    heat = f" · {warm.name} {warm.celsius:.0f} °C" if warm else ""
    words = f"{sample.load[0]:.1f} on {sample.cores} cores · up {coarse(sample.uptime)}{heat}"
    out.append((*fit(Span("load", "dim"), NAME), Span(cut(words, width - NAME), "dim")))
    return out


def _disks(sample: HostSample) -> list[Disk]:
    """Watched folders first, then mounts of other devices than theirs."""
    watched = [disk for disk in sample.disks if disk.label]
    seen = {(disk.total, disk.free) for disk in watched}
    return watched + [disk for disk in sample.disks if not disk.label and (disk.total, disk.free) not in seen]


def _disk(disk: Disk, width: int) -> Line:
    name = fit(Span(cut(disk.label or disk.path, NAME - 1), "dim"), NAME)
    if disk.state is not DiskState.OK:
        return (*name, Span(f"{disk.state.value} {disk.detail}", "error"))
    full = 1 - disk.free / disk.total if disk.total else 0
    return (*name, *bar(full, _bar_width(width)), Span(f" {percent(full)}  {size(disk.free)} free"))
