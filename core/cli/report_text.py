"""A site report as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from core.cli import output

if TYPE_CHECKING:
    from core.site_report.model import (
        AcceptedFacts,
        BlobFacts,
        CrashFacts,
        DiskFacts,
        EngineFacts,
        EventsFacts,
        GpusFacts,
        HostFacts,
        ImageFacts,
        OperationFacts,
        PresetFacts,
        Section,
        ServiceFacts,
        SiteReport,
    )

ItemT = TypeVar("ItemT")
ValueT = TypeVar("ValueT")
_SUCCESS = "done"


def print_report(report: SiteReport) -> None:
    """Print every section; one that is unknown with the reason."""
    output.print_line(f"site {report.site} on {report.host_name}, {report.created:%Y-%m-%d %H:%M:%S} UTC")
    output.print_line(f"written by xaiva {report.xaiva or 'unknown'}")
    _print_section("machine", report.host, _print_host)
    _print_section("GPUs", report.gpus, _print_gpus)
    _print_section("engine", report.engine, _print_engine)
    _print_section("disks", report.disks, _table(("PATH", "FOR", "FILE SYSTEM", "STATE", "SIZE", "FREE"), _disk_row))
    _print_section(
        "presets", report.presets, _table(("NAME", "IMAGE", "LOCK", "FILES", "VERIFIED", "PROBLEM"), _preset_row)
    )
    _print_section("artifacts", report.blobs, _print_blobs)
    _print_section("images", report.images, _table(("TAG", "LOCK", "PLATFORM", "LAYERS", "SIZE"), _image_row))
    _print_section("service", report.service, _print_service)
    _print_section("events", report.events, _print_events)
    _print_section("operations", report.operations, _print_operations)
    _print_section("unexpected errors", report.crashes, _print_crashes)
    _print_section("shipments", report.shipments, _table(("SHIPMENT", "CREATED", "ACCEPTED"), _shipment_row))


def _print_section(title: str, section: Section[ValueT], print_value: Callable[[ValueT], None]) -> None:
    click.echo(f"\n{title}")
    if section.value is None:
        output.print_line(f"unknown: {section.unknown}")
    else:
        print_value(section.value)


def _table(head: Sequence[str], row: Callable[[ItemT], Sequence[object]]) -> Callable[[Sequence[ItemT]], None]:
    """A function that prints items as a table."""

    def print_rows(items: Sequence[ItemT]) -> None:
        if items:
            output.print_table(head, map(row, items))
        else:
            click.echo("none")

    return print_rows


def _print_host(host: HostFacts) -> None:
    memory = "unknown" if host.memory is None else output.size(host.memory)
    output.print_line(f"{host.os or 'unknown system'}, kernel {host.kernel}, {host.architecture}")
    output.print_line(f"{host.cpu or 'unknown processor'}, {host.cores or 'unknown'} cores, {memory} of memory")


def _print_gpus(gpus: GpusFacts) -> None:
    if not gpus.gpus:
        output.print_line(f"none: {gpus.detail or 'the driver finds no GPU'}")
        return
    output.print_line(f"driver {gpus.driver or 'unknown'}, up to CUDA {gpus.cuda or 'unknown'}")
    output.print_table(
        ("NAME", "STATE", "COMPUTE", "MEMORY"),
        ((gpu.name, gpu.state, gpu.compute_capability or "unknown", _size(gpu.memory)) for gpu in gpus.gpus),
    )


def _print_engine(engine: EngineFacts) -> None:
    oldest = f", from {engine.minimum_api}" if engine.minimum_api else ""
    output.print_line(f"{engine.title}, {engine.place}, API {engine.api or 'unknown'}{oldest}")
    output.print_line(f"{engine.image_store.word} image store on {engine.storage_driver or 'unknown'}")
    output.print_line(f"GPUs for containers: {engine.gpu_access or 'unknown'}; runtimes: {', '.join(engine.runtimes)}")


def _disk_row(disk: DiskFacts) -> Sequence[object]:
    return disk.path, disk.label, disk.file_system, disk.state, _size(disk.total), _size(disk.free)


def _preset_row(preset: PresetFacts) -> Sequence[object]:
    lock = {None: "none", True: "current", False: "outdated"}[preset.lock_is_current]
    return preset.name, preset.image.word, lock, preset.files, preset.verified, preset.problem or "-"


def _image_row(image: ImageFacts) -> Sequence[object]:
    tag = ", ".join(image.tags) or image.id
    return tag, image.lock_sha256[:12] or "-", image.platform, len(image.layers), _size(image.size)


def _shipment_row(shipment: AcceptedFacts) -> Sequence[object]:
    return shipment.shipment, shipment.created, shipment.accepted


def _print_blobs(blobs: BlobFacts) -> None:
    click.echo(f"{len(blobs.verified)} files verified; {len(blobs.by_size)} have the right size and were not verified")


def _print_service(service: ServiceFacts) -> None:
    output.print_line(f"version {service.version}, up for {output.seconds(service.uptime)}")
    output.print_line(
        f"events: {service.logger or 'unknown'}; analyser: {service.analyser or 'unknown'}; "
        f"recordings: {service.storage or 'unknown'}; {service.unacknowledged} events not acknowledged"
    )
    output.print_table(
        ("CAMERA", "NAME", "KIND", "STATE", "PICTURE", "FPS", "ALERTS"),
        (
            (
                camera.id,
                camera.name,
                camera.kind,
                f"{camera.state} {camera.cause}".strip() or "unknown",
                f"{camera.width}x{camera.height} {camera.codec}".strip() if camera.width else "-",
                f"{camera.fps:.1f}",
                ", ".join(camera.alerts) or "-",
            )
            for camera in service.cameras
        ),
    )


def _print_events(events: EventsFacts) -> None:
    totals = Counter[str]()
    for day in events.days:
        totals[day.date] += day.events
    text = ", ".join(f"{date}: {count}" for date, count in sorted(totals.items()))
    output.print_line(f"per day: {text or 'none'} (time zone {events.zone or 'unknown'})")
    for event in events.newest[:1]:
        output.print_line(f"newest: {event.type} at {event.camera}, {event.started:%Y-%m-%d %H:%M:%S} UTC")


def _print_operations(operations: Sequence[OperationFacts]) -> None:
    states = Counter(operation.state or "unknown" for operation in operations)
    output.print_line(", ".join(f"{count} {state}" for state, count in states.items()) or "none")
    for line in _failures(operations):
        output.print_line(line)


def _failures(operations: Sequence[OperationFacts]) -> Iterator[str]:
    for operation in operations:
        if operation.what and operation.state != _SUCCESS:
            reason = f"{operation.what}: {operation.why}" if operation.why else operation.what
            yield f"{operation.id} {operation.kind} {operation.subject}, {operation.state}: {' '.join(reason.split())}"


def _print_crashes(crashes: CrashFacts) -> None:
    output.print_line(f"{crashes.count}, the newest on {crashes.newest}" if crashes.count else "none")


def _size(number: int | None) -> str:
    return "unknown" if number is None else output.size(number)
