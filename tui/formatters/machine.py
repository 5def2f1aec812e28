"""GPUs and host as lines."""

from __future__ import annotations

from core.telemetry.disks import Disk, DiskState
from core.telemetry.gpus import Gpu, GpuSample, GpuState
from core.telemetry.host import HostSample
from tui.formatters.cells import Line, Span, fit, line, truncate, wrap
from tui.formatters.numbers import bar, coarse_duration, load_role, percent, rate, size
from tui.sources import SPARK_STEP, LiveSample
from tui.widgets.sparkline import sparkline

GPU_LABEL_WIDTH = 8  # columns of a GPU's labels
HOST_LABEL_WIDTH = 10  # columns of the host's labels
HOT_CELSIUS = 85
BAR_WIDTH, NARROW_BAR_WIDTH = 14, 6
WIDE_PANEL = 56  # columns from which a panel has room for everything


def _bar_width(width: int) -> int:
    return BAR_WIDTH if width >= WIDE_PANEL else NARROW_BAR_WIDTH


def _used_of_total(used: float, total: float, width: int) -> str:
    """`19.0 GiB of 24.0 GiB`, in a narrow panel `19.0/24.0 GiB`."""
    if width >= WIDE_PANEL:
        return f"{size(used)} of {size(total)}"
    used_number, _, used_unit = size(used).partition(" ")
    total_number, _, total_unit = size(total).partition(" ")
    return f"{used_number}/{total_number} {used_unit}" if used_unit == total_unit else f"{size(used)}/{size(total)}"


def gpu_lines(live: LiveSample | None, width: int) -> list[Line]:
    """Each GPU with temperature, power, load and memory."""
    if live is None:
        return []
    sample: GpuSample = live.sample
    if problem := gpu_problem_lines(sample, width):
        return problem
    out: list[Line] = []
    for gpu in sample.gpus:
        out += _gpu_lines(gpu, live.history.get(f"gpu{gpu.index}", []), width)
    if sample.state is not GpuState.OK:
        out += wrap(f"! {sample.detail or sample.state.value}", width, "error")
    return out


def gpu_problem_lines(sample: GpuSample, width: int) -> list[Line]:
    """Why there are no figures of GPUs, with the GPUs whose values are outdated; empty when there are some."""
    if sample.state is not GpuState.OK and not sample.gpus:
        words = {GpuState.HUNG: "the driver does not answer"}.get(sample.state, "no GPU found")
        return [line(Span(words, "dim")), *wrap(sample.detail, width, "dim")]
    if sample.state is GpuState.HUNG:
        lines = wrap(f"! {sample.detail}", width, "error")
        return lines + [name for gpu in sample.gpus for name in wrap(_unknown_text(gpu, sample.age), width, "stale")]
    return []


def gpu_name(gpu: Gpu) -> str:
    """The GPU's index and short name: `0 RTX 4090`."""
    return f"{gpu.index} {gpu.name.removeprefix('NVIDIA ').removeprefix('GeForce ')}"


def _unknown_text(gpu: Gpu, age: float) -> str:
    return f"{gpu_name(gpu)}  ? unknown, last answer {coarse_duration(age)} ago"


def _gpu_lines(gpu: Gpu, history: list[float | None], width: int) -> list[Line]:
    name = gpu_name(gpu)
    if gpu.state is not GpuState.OK:
        return [line(Span(name, "title"), Span(f"  {gpu.state.value}", "error"))]
    facts: list[Span] = []
    if gpu.temperature is not None:
        facts.append(Span(f"{gpu.temperature:.0f} °C", "error" if gpu.temperature >= HOT_CELSIUS else ""))
    if gpu.power is not None:
        facts.append(Span(f"{gpu.power:.0f} W"))
    if gpu.clock_graphics is not None and width >= WIDE_PANEL:
        facts.append(Span(f"{gpu.clock_graphics} MHz", "dim"))
    facts += [Span(f"! {word}", "warn") for word in gpu.throttle or []]
    if gpu.ecc_uncorrected:
        facts.append(Span(f"✗ {gpu.ecc_uncorrected} ECC errors", "error"))
    right = [part for fact in facts for part in (Span("  "), fact)]
    room = width - sum(len(span.text) for span in right)
    head: Line = (*fit(Span(truncate(name, room), "title"), room), *right)
    share = (gpu.utilisation or 0) / 100
    memory_text = _used_of_total(gpu.memory_used or 0, gpu.memory_total or 0, width)
    bar_width = _bar_width(width)
    rows = [head]
    spark_width = max(width - GPU_LABEL_WIDTH - bar_width - 8, 0)
    rows.append(
        (
            *fit(Span("  load", "dim"), GPU_LABEL_WIDTH),
            *bar(share, bar_width, load_role(0)),
            Span(f" {percent(share)} "),
            Span(sparkline(history, min(spark_width, 60), 100, step=SPARK_STEP), "bar"),
        )
    )
    memory_share = (gpu.memory_used or 0) / gpu.memory_total if gpu.memory_total else 0
    rows.append(
        (
            *fit(Span("  VRAM", "dim"), GPU_LABEL_WIDTH),
            *bar(memory_share, bar_width),
            Span(f" {percent(memory_share)}  {memory_text}"),
        )
    )
    named_processes = [process for process in gpu.processes if process.ours or process.container or process.name]
    if named_processes and width >= WIDE_PANEL:
        words = ", ".join(
            f"{process.container or process.name or process.pid} {size(process.memory or 0)}"
            for process in named_processes[:4]
        )
        rows.append((*fit(Span("  by", "dim"), GPU_LABEL_WIDTH), Span(truncate(words, width - GPU_LABEL_WIDTH), "dim")))
    return rows


def host_lines(live: LiveSample | None, width: int) -> list[Line]:
    """CPU, memory, disks, network and load of the host."""
    if live is None:
        return []
    sample: HostSample = live.sample
    cpu = (sample.cpu_percent or 0) / 100
    memory = sample.memory_used / sample.memory_total if sample.memory_total else 0
    bar_width = _bar_width(width)
    spark_width = min(max(width - HOST_LABEL_WIDTH - bar_width - 8, 0), 60)
    history = sparkline(live.history.get("cpu", []), spark_width, 100, step=SPARK_STEP)
    out: list[Line] = [
        (
            *fit(Span("CPU", "dim"), HOST_LABEL_WIDTH),
            *bar(cpu, bar_width),
            Span(f" {percent(cpu)} "),
            Span(history, "bar"),
        ),
        (
            *fit(Span("memory", "dim"), HOST_LABEL_WIDTH),
            *bar(memory, bar_width),
            Span(f" {percent(memory)}  {_used_of_total(sample.memory_used, sample.memory_total, width)}"),
        ),
    ]
    if sample.swap_total and sample.swap_used > sample.swap_total / 20:
        swap = sample.swap_used / sample.swap_total
        out.append((*fit(Span("swap", "dim"), HOST_LABEL_WIDTH), *bar(swap, bar_width), Span(f" {percent(swap)}")))
    out += [_disk_line(disk, width) for disk in _distinct_disks(sample)]
    if sample.received_rate is not None and sample.sent_rate is not None:
        words = f"↓ {rate(sample.received_rate)}  ↑ {rate(sample.sent_rate)}"
        out.append((*fit(Span("network", "dim"), HOST_LABEL_WIDTH), Span(words)))
    hottest = max(sample.temperatures, key=lambda sensor: sensor.celsius, default=None)
    temperature_text = f" · {hottest.name} {hottest.celsius:.0f} °C" if hottest else ""
    words = f"{sample.load[0]:.1f} on {sample.cores} cores · up {coarse_duration(sample.uptime)}{temperature_text}"
    out.append((*fit(Span("load", "dim"), HOST_LABEL_WIDTH), Span(truncate(words, width - HOST_LABEL_WIDTH), "dim")))
    return out


def _distinct_disks(sample: HostSample) -> list[Disk]:
    """Watched folders first, then mounts on other devices."""
    watched = [disk for disk in sample.disks if disk.label]
    watched_sizes = {(disk.total, disk.free) for disk in watched}
    return watched + [disk for disk in sample.disks if not disk.label and (disk.total, disk.free) not in watched_sizes]


def _disk_line(disk: Disk, width: int) -> Line:
    name = fit(Span(truncate(disk.label or disk.path, HOST_LABEL_WIDTH - 1), "dim"), HOST_LABEL_WIDTH)
    if disk.state is not DiskState.OK:
        return (*name, Span(f"{disk.state.value} {disk.detail}", "error"))
    full = 1 - disk.free / disk.total if disk.total else 0
    return (*name, *bar(full, _bar_width(width)), Span(f" {percent(full)}  {size(disk.free)} free"))
