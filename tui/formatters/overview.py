"""The Overview's panels: recent operations, and alerts from all sources."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len

from core.api_schema import CameraState, Job, JobState, Products, ServiceStatus
from core.containers.model import Container, ContainerHealth, ContainerState
from core.errors import XaivaError
from core.findings import has_errors
from core.operations.model import LAST_OUTPUT, Operation, OperationState
from core.service_client import Forbidden, NoService, ServiceAddress
from core.telemetry.disks import DiskState
from core.telemetry.gpus import GpuState
from tui.formatters import products as product_format
from tui.formatters.cells import Column, Line, Span, enum_span, line, table, wrap
from tui.formatters.containers import sort_containers
from tui.formatters.jobs import unix
from tui.formatters.machine import HOT_CELSIUS, gpu_name
from tui.formatters.numbers import coarse_duration, local_time, size
from tui.formatters.operations import STATE_SPANS
from tui.inspection_sources import NoInspection
from tui.sources import Containers, LiveSample, PresetView
from tui.store import Reading

RECENT_SECONDS = 24 * 3600  # seconds that a failed operation stays an alert
LOW_DISK_SHARE = 0.05  # free share of a disk below which it is an alert
WIDE_ROW = 46  # columns from which a row has room for a name and since when it is unknown
CONTAINER_HOSTNAME_LENGTH = (
    12  # a service in a container reports the first characters of the container's id as its host
)
ALL_SUBJECTS = ""  # of a job that works on all of its kind, such as all memory banks
QUIET_ERRORS = (NoService, NoInspection, Forbidden)  # of a source that has never answered; nobody needs to act
STUCK_MESSAGE_SECONDS = 60  # seconds a message may wait before it counts as stuck


def operation_lines(operations: Sequence[Operation] | None, width: int) -> list[Line]:
    """Running operations, then those that ended last."""
    if operations is None:
        return []
    if not operations:
        return [line(Span("no operations yet: lock, sync or build a preset (2)", "dim"))]
    columns = (Column("", 4, right=True), Column("", minimum=16), Column("", 11), Column("", 9, right=True, rank=1))
    live_first = sorted(operations, key=lambda operation: (not operation.state.live, -operation.id))
    rows = [
        (
            Span(str(operation.id), "dim"),
            operation.title(),
            enum_span(STATE_SPANS, operation.state),
            Span(_time_text(operation), "dim"),
        )
        for operation in live_first
    ]
    return table(rows, columns, width, titles=False)


def _time_text(operation: Operation) -> str:
    return coarse_duration(operation.seconds) if operation.state.live else local_time(operation.ended)[-8:]


def alert_lines(
    gpus: LiveSample | None,
    host: LiveSample | None,
    containers: Containers | None,
    service: ServiceStatus | None,
    operations: Sequence[Operation] | None,
    presets: Sequence[PresetView] | None,
    width: int,
    *,
    products: Products | None = None,
    jobs: Sequence[Job] | None = None,
    failed_sources: Sequence[tuple[str, str]] = (),
    now: float = 0.0,
) -> list[Line]:
    """Everything that needs a person: first the sources that failed, then errors, then warnings."""
    alerts = [
        *_gpu_alerts(gpus),
        *_disk_alerts(host),
        *_container_alerts(containers),
        *_camera_alerts(service),
        *_service_alerts(service),
        *_operation_alerts(operations or (), now or time.time()),
        *_job_alerts(jobs or (), now or time.time()),
        *product_format.alerts(products),
        *_preset_alerts(presets or ()),
    ]
    if not alerts and not failed_sources:
        sources = {
            "GPUs": gpus,
            "host": host,
            "containers": containers,
            "cameras": service,
            "operations": operations,
            "presets": presets,
        }
        missing = ", ".join(name for name, value in sources.items() if value is None)
        if missing:
            return wrap(f"no alerts, but no data from: {missing}", width)
        return [line(Span("✓ ", "ok"), "no alerts")]
    out: list[Line] = []
    for role, text in [*failed_sources, *sorted(alerts, key=lambda alert: alert[0] != "error")]:
        first, *rest = wrap(text, width - 2)
        out.append((Span("✗ " if role == "error" else "! ", role), *first))
        out += [(Span("  "), *rest_line) for rest_line in rest]
    return out


def source_failures(readings: Iterable[Reading[Any]]) -> list[tuple[str, str]]:
    """The sources that do not answer, with the reason; first those that answered before.

    A service that was never there and that nobody configured is no failure: most sites have none yet. Nor is one that
    is too old for products and jobs, or shows them only to others.
    """
    failures: list[tuple[str, str]] = []
    for reading in readings:
        if reading.is_stale and reading.just_asked and reading.error is None:
            continue
        if reading.is_stale:
            failures.append(
                ("error", f"{reading.problem.summary}; last answer {coarse_duration(reading.age or 0)} ago")
            )
        elif reading.error is not None and not isinstance(reading.error, QUIET_ERRORS):
            failures.append(("warn", reading.problem.summary))
    return sorted(dict.fromkeys(failures), key=lambda failure: failure[0] != "error")


def stopped_container_error(
    service: Reading[ServiceStatus], containers: Reading[Containers], address: ServiceAddress | None
) -> XaivaError | None:
    """An error when the service's container no longer runs, which makes the last answer outdated; else None."""
    if service.value is None or containers.value is None:
        return None
    host, name = service.value.host, address.container if address else ""
    is_newer = containers.age is not None and service.age is not None and containers.age < service.age
    for container in containers.value.containers:
        is_inside = len(host) == CONTAINER_HOSTNAME_LENGTH and container.id.startswith(host)
        if (is_inside or (is_newer and container.name == name)) and container.state is not ContainerState.RUNNING:
            return XaivaError(f"Container {container.name}", f"the container is {container.state.word}")
    return None


def item_names(panel: str, value: Any) -> list[str]:
    """The names that a panel lists, which is all that stays known when its source does not answer."""
    if panel == "containers":
        return [container.name for container in sort_containers(value)]
    if panel == "cameras":
        return [camera.name or camera.id for camera in value.cameras]
    if panel == "gpus":
        return [gpu_name(gpu) for gpu in value.sample.gpus]
    if panel == "operations":
        return [f"{operation.id} {operation.title()}" for operation in value if operation.state.live]
    return []


def unknown_lines(reading: Reading[Any], names: Sequence[str], width: int) -> list[Line]:
    """The lines of a panel whose source does not answer: the reason, then its rows without a state."""
    words = Span(f"? {reading.unknown_text}", "stale")
    error = reading.problem
    out = [*wrap(error.what, width, "warn"), *(wrap(error.why, width, "dim") if error.why else [])]
    if not names or width < WIDE_ROW:
        out, words = [line(words), *out], Span("? unknown", "stale")
    columns = (Column("", minimum=14), Column("", cell_len(words.text)))
    return [*out, *table([(name, words) for name in names], columns, width, titles=False)]


def _gpu_alerts(live: LiveSample | None) -> Iterator[tuple[str, str]]:
    if live is None:
        return
    sample = live.sample
    if sample.state in (GpuState.HUNG, GpuState.LOST):
        yield "error", f"GPU: {sample.detail or sample.state.value}"
    if sample.state is GpuState.HUNG:
        return  # its numbers are outdated
    for gpu in sample.gpus:
        if gpu.temperature is not None and gpu.temperature >= HOT_CELSIUS:
            yield "error", f"GPU {gpu.index} is at {gpu.temperature:.0f} °C"
        if gpu.throttle:
            yield "warn", f"GPU {gpu.index} is throttled: {', '.join(gpu.throttle)}"
        if gpu.ecc_uncorrected:
            yield "error", f"GPU {gpu.index} has {gpu.ecc_uncorrected} uncorrected memory errors"


def _disk_alerts(live: LiveSample | None) -> Iterator[tuple[str, str]]:
    for disk in live.sample.disks if live else ():
        if disk.state is not DiskState.OK:
            yield "error", f"disk {disk.label or disk.path}: {disk.state.value} {disk.detail}"
        elif disk.total and disk.free < disk.total * LOW_DISK_SHARE:
            yield "warn", f"disk {disk.label or disk.path} is almost full: {size(disk.free)} free"


def _container_alerts(listing: Containers | None) -> Iterator[tuple[str, str]]:
    for container in listing.containers if listing else ():
        if not container.managed:
            continue
        if container.oom_killed:
            yield "error", f"{container.name} ran out of memory"
        elif container.unreadable or not container.state.is_known or not container.health.is_known:
            yield "warn", f"{container.name}: {_unknown_container_text(container)}"
        elif container.health is ContainerHealth.UNHEALTHY:
            health_lines = container.health_output.splitlines()
            yield "error", f"{container.name} is unhealthy{': ' + health_lines[0] if health_lines else ''}"
        elif container.exit_code and not container.running:
            yield "error", f"{container.name} exited with code {container.exit_code}"


def _unknown_container_text(container: Container) -> str:
    """What the engine reports that this version of xaiva does not know."""
    if container.unreadable:
        return f"the engine's description of it cannot be read: {container.unreadable}"
    if not container.state.is_known:
        return f"its state is {container.state.word}, which this version of xaiva does not know"
    return f"its health is {container.health.word}, which this version of xaiva does not know"


def _camera_alerts(status: ServiceStatus | None) -> Iterator[tuple[str, str]]:
    for camera in status.cameras if status else ():
        name = camera.name or camera.id or "?"
        if camera.state is CameraState.DISCONNECTED:
            yield "error", f"camera {name}: {camera.reason or 'lost'}"
        elif camera.state is CameraState.FAILED:
            yield (
                "error",
                f"camera {name} has failed{f': {camera.reason}' if camera.reason else ''}; start it with s (6)",
            )
        elif not camera.state.is_known:
            yield "warn", f"camera {name}: its state is {camera.state.word}, which this version of xaiva does not know"
        if camera.unreadable:
            yield "warn", f"camera {name}: the service's answer cannot be read: {camera.unreadable}"
        for alert in camera.alerts:
            yield "error", f"camera {name} is {alert.kind.word}: {alert.reason}"
        if camera.error:
            yield "error", f"camera {name}: {camera.error}"


def _service_alerts(status: ServiceStatus | None) -> Iterator[tuple[str, str]]:
    """Problems of the inference service itself, and events that wait to be acknowledged."""
    if status is None:
        return
    if status.unreadable:
        yield "warn", f"the service's answer cannot be read: {status.unreadable}"
    if status.unacknowledged:
        events = "event is" if status.unacknowledged == 1 else "events are"
        yield "warn", f"{status.unacknowledged} {events} waiting (8)"
    logger, outbox, storage, analyser = status.logger, status.outbox, status.storage, status.analyser
    if logger.state != "ok":
        buffered = f"; {logger.waiting} events are buffered on disk" if logger.waiting else ""
        yield "error", f"events: the database is {logger.state or 'unknown'}: {logger.why}{buffered}"
    if outbox.waiting and outbox.oldest is not None and outbox.oldest > STUCK_MESSAGE_SECONDS:
        reason = f": {outbox.why}" if outbox.why else ""
        yield (
            "warn",
            f"{outbox.waiting} messages are not sent; the oldest has waited {coarse_duration(outbox.oldest)}{reason}",
        )
    if storage.state != "ok":
        yield "error", f"recordings: the disk is {storage.state or 'unknown'}: {storage.why}"
    if analyser.state == "broken":
        yield "warn", f"the analyser does not answer: {analyser.why}"
    elif analyser.state not in ("off", "ready", "busy"):
        yield "warn", f"the analyser's state is {analyser.state or 'unknown'}"
    for model in status.ledger.models if status.ledger else ():
        if model.state == "failed":
            yield "error", f"model {model.key}: {model.why}"


def _operation_alerts(operations: Sequence[Operation], now: float) -> Iterator[tuple[str, str]]:
    """Failures of the last day that no newer operation of the same kind and subject has followed."""
    newer_subjects: set[tuple[str, str]] = set()
    for operation in operations:
        subject = (operation.kind, operation.subject)
        if (
            operation.state in (OperationState.FAILED, OperationState.CRASHED)
            and subject not in newer_subjects
            and now - operation.ended < RECENT_SECONDS
        ):
            reason_lines = operation.failure.why.partition(LAST_OUTPUT)[0].splitlines() if operation.failure else []
            yield (
                "error",
                f"{operation.title()} {operation.state.value}: {reason_lines[0] if reason_lines else 'see its log'}",
            )
        newer_subjects.add(subject)


def _job_alerts(jobs: Sequence[Job], now: float) -> Iterator[tuple[str, str]]:
    """Failures of the last day that no newer job of the same kind has followed, for the same subject or for all."""
    newer: set[tuple[str, str]] = set()
    for job in sorted(jobs, key=lambda job: -job.id):
        is_failed = job.state in (JobState.FAILED, JobState.CRASHED) and now - unix(job.ended) < RECENT_SECONDS
        if is_failed and not newer & {(job.kind, job.subject), (job.kind, ALL_SUBJECTS)}:
            failure = job.failure
            reasons = (failure.why.partition(LAST_OUTPUT)[0] or failure.what).splitlines() if failure else []
            yield "error", f"{job.title} {job.state.word}: {reasons[0] if reasons else 'see its log'} (,j)"
        newer.add((job.kind, job.subject))


def _preset_alerts(views: Sequence[PresetView]) -> Iterator[tuple[str, str]]:
    for view in views:
        if view.entry.error is not None:
            yield "warn", f"preset {view.entry.name} has errors"
        elif view.lock is not None and has_errors(view.findings):
            yield "warn", f"preset {view.entry.name} will not work on {view.target or 'this machine'}"
