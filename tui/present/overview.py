"""The Overview: operations in short, and alerts from everything that is known."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.cells import cell_len

from core.containers.model import Container, ContainerHealth
from core.containers.model import ContainerState as ContainerState
from core.errors import XaivaError
from core.findings import has_errors
from core.inference.schemas import CameraState, ServiceStatus
from core.operations.model import Operation, OperationState
from core.service_client import NoService, ServiceAddress
from core.telemetry.disks import DiskState
from core.telemetry.gpus import GpuState
from tui.present.cells import Column, Line, Span, line, table, word, wrap
from tui.present.containers import ordered
from tui.present.figures import clock, coarse, size
from tui.present.machine import gpu_name
from tui.present.operations import STATES
from tui.sources import Containers, Live, PresetView
from tui.store import Reading

RECENT = 24 * 3600  # seconds a failed operation stays an alert
NEARLY_FULL = 0.05  # of a disk left
HOT = 85  # °C
ROOMY = 46  # columns from which a row has room for a name and since when nothing is known of it
SHORT_ID = 12  # characters of a container's id: what a service says of the host it runs on
STUCK = 60  # seconds a message may wait before it counts as stuck


def operations(found: Sequence[Operation] | None, width: int) -> list[Line]:
    """What runs now, then what ended last."""
    if found is None:
        return []
    if not found:
        return [line(Span("no operation yet: lock, sync or build a preset (2)", "dim"))]
    columns = (Column("", 4, right=True), Column("", minimum=16), Column("", 11), Column("", 9, right=True, rank=1))
    ordered = sorted(found, key=lambda one: (not one.state.live, -one.id))
    rows = [
        (Span(str(one.id), "dim"), one.title(), word(STATES, one.state), Span(_when(one), "dim")) for one in ordered
    ]
    return table(rows, columns, width, titles=False)


def _when(operation: Operation) -> str:
    return coarse(operation.seconds) if operation.state.live else clock(operation.ended)[-8:]


def alerts(
    gpus: Live | None,
    host: Live | None,
    containers: Containers | None,
    service: ServiceStatus | None,
    operations: Sequence[Operation] | None,
    presets: Sequence[PresetView] | None,
    width: int,
    *,
    failed: Sequence[tuple[str, str]] = (),
) -> list[Line]:
    """Everything that needs a person: the sources that failed first, as nothing is known of what they told; then the
    worst."""
    found = [
        *_of_gpus(gpus),
        *_of_host(host),
        *_of_containers(containers),
        *_of_cameras(service),
        *_of_service(service),
        *_of_operations(operations or ()),
        *_of_presets(presets or ()),
    ]
    if not found and not failed:
        sources = {
            "GPUs": gpus,
            "host": host,
            "containers": containers,
            "cameras": service,
            "operations": operations,
            "presets": presets,
        }
        silent = ", ".join(name for name, said in sources.items() if said is None)
        if silent:
            return wrap(f"nothing needs you, but nothing is heard of: {silent}", width)
        return [line(Span("✓ ", "ok"), "nothing needs you")]
    out: list[Line] = []
    for role, text in [*failed, *sorted(found, key=lambda one: one[0] != "error")]:
        first, *rest = wrap(text, width - 2)
        out.append((Span("✗ " if role == "error" else "! ", role), *first))
        out += [(Span("  "), *more) for more in rest]
    return out


def failures(readings: Iterable[Reading[Any]]) -> list[tuple[str, str]]:
    """The sources that do not answer, with the reason, those first that did before. Most sites have no service yet:
    one that nobody named, and that was never there, is no failure."""
    found: list[tuple[str, str]] = []
    for reading in readings:
        if reading.lost and reading.just_asked and reading.error is None:
            continue
        if reading.lost:
            found.append(("error", f"{reading.trouble.summary}; last heard {coarse(reading.age or 0)} ago"))
        elif reading.error is not None and not isinstance(reading.error, NoService):
            found.append(("warn", reading.trouble.summary))
    return sorted(dict.fromkeys(found), key=lambda one: one[0] != "error")


def ended(
    service: Reading[ServiceStatus], containers: Reading[Containers], address: ServiceAddress | None
) -> XaivaError | None:
    """Why the service cannot answer any more: the container that it is in does not run. None when it may."""
    if service.value is None or containers.value is None:
        return None
    host, name = service.value.host, address.container if address else ""
    newer = containers.age is not None and service.age is not None and containers.age < service.age
    for container in containers.value.containers:
        inside = len(host) == SHORT_ID and container.id.startswith(host)
        if (inside or (newer and container.name == name)) and container.state is not ContainerState.RUNNING:
            return XaivaError(f"Container {container.name}", f"it is {container.state.word}")
    return None


def names(panel: str, value: Any) -> list[str]:
    """What a panel lists, by name: all that holds when its source does not answer."""
    if panel == "containers":
        return [container.name for container in ordered(value)]
    if panel == "cameras":
        return [camera.name or camera.id for camera in value.cameras]
    if panel == "gpus":
        return [gpu_name(gpu) for gpu in value.sample.gpus]
    if panel == "operations":
        return [f"{operation.id} {operation.title()}" for operation in value if operation.state.live]
    return []


def unknown(reading: Reading[Any], names: Sequence[str], width: int) -> list[Line]:
    """A panel whose source does not answer: why, then its rows without a state."""
    words = Span(f"? {reading.unknown}", "stale")
    error = reading.trouble
    why = [*wrap(error.what, width, "warn"), *(wrap(error.why, width, "dim") if error.why else [])]
    if not names or width < ROOMY:
        why, words = [line(words), *why], Span("? unknown", "stale")
    columns = (Column("", minimum=14), Column("", cell_len(words.text)))
    return [*why, *table([(name, words) for name in names], columns, width, titles=False)]


def _of_gpus(live: Live | None) -> Iterator[tuple[str, str]]:
    if live is None:
        return
    sample = live.sample
    if sample.state in (GpuState.HUNG, GpuState.LOST):
        yield "error", f"GPU: {sample.detail or sample.state.value}"
    if sample.state is GpuState.HUNG:
        return  # its figures are those of before
    for gpu in sample.gpus:
        if gpu.temperature is not None and gpu.temperature >= HOT:
            yield "error", f"GPU {gpu.index} is at {gpu.temperature:.0f} °C"
        if gpu.throttle:
            yield "warn", f"GPU {gpu.index} is slowed down: {', '.join(gpu.throttle)}"
        if gpu.ecc_uncorrected:
            yield "error", f"GPU {gpu.index}: {gpu.ecc_uncorrected} memory errors could not be corrected"


def _of_host(live: Live | None) -> Iterator[tuple[str, str]]:
    for disk in live.sample.disks if live else ():
        if disk.state is not DiskState.OK:
            yield "error", f"disk {disk.label or disk.path}: {disk.state.value} {disk.detail}"
        elif disk.total and disk.free < disk.total * NEARLY_FULL:
            yield "warn", f"disk {disk.label or disk.path}: {size(disk.free)} free"


def _of_containers(found: Containers | None) -> Iterator[tuple[str, str]]:
    for one in found.containers if found else ():
        if not one.managed:
            continue
        if one.oom_killed:
            yield "error", f"{one.name} ran out of memory"
        elif one.unreadable or not one.state.is_known or not one.health.is_known:
            yield "warn", f"{one.name}: {_unknown_container(one)}"
        elif one.health is ContainerHealth.UNHEALTHY:
            said = one.health_output.splitlines()
            yield "error", f"{one.name} is unhealthy{': ' + said[0] if said else ''}"
        elif one.exit_code and not one.running:
            yield "error", f"{one.name} ended with code {one.exit_code}"


def _unknown_container(container: Container) -> str:
    """What the engine says of it that is not known here: it may be anything."""
    if container.unreadable:
        return f"what the engine says of it cannot be read: {container.unreadable}"
    if not container.state.is_known:
        return f"its state is {container.state.word}, which this xaiva does not know"
    return f"its health is {container.health.word}, which this xaiva does not know"


def _of_cameras(status: ServiceStatus | None) -> Iterator[tuple[str, str]]:
    for camera in status.cameras if status else ():
        name = camera.name or camera.id or "?"
        if camera.state is CameraState.DISCONNECTED:
            yield "error", f"camera {name}: {camera.reason or 'lost'}"
        elif camera.state is CameraState.FAILED:
            yield "error", f"camera {name} has failed{f': {camera.reason}' if camera.reason else ''}; s starts it (6)"
        elif not camera.state.is_known:
            yield "warn", f"camera {name}: its state is {camera.state.word}, which this xaiva does not know"
        if camera.unreadable:
            yield "warn", f"camera {name}: the service's answer cannot be read: {camera.unreadable}"
        for alert in camera.alerts:
            yield "error", f"camera {name} is {alert.kind.word}: {alert.reason}"
        if camera.error:
            yield "error", f"camera {name}: {camera.error}"


def _of_service(status: ServiceStatus | None) -> Iterator[tuple[str, str]]:
    """What the inference service itself ails from, and what waits there for somebody."""
    if status is None:
        return
    if status.unreadable:
        yield "warn", f"the service's answer cannot be read: {status.unreadable}"
    if status.unacknowledged:
        events = "event waits" if status.unacknowledged == 1 else "events wait"
        yield "warn", f"{status.unacknowledged} {events} for somebody (8)"
    logger, outbox, storage, analyser = status.logger, status.outbox, status.storage, status.analyser
    if logger.state != "ok":
        held = f"; {logger.waiting} events are kept on disk" if logger.waiting else ""
        yield "error", f"events: the database is {logger.state or 'unknown'}: {logger.why}{held}"
    if outbox.waiting and outbox.oldest is not None and outbox.oldest > STUCK:
        why = f": {outbox.why}" if outbox.why else ""
        yield "warn", f"{outbox.waiting} messages are not sent, the oldest for {coarse(outbox.oldest)}{why}"
    if storage.state != "ok":
        yield "error", f"recordings: the disk is {storage.state or 'unknown'}: {storage.why}"
    if analyser.state == "broken":
        yield "warn", f"the analyser does not answer: {analyser.why}"
    elif analyser.state not in ("off", "ready", "busy"):
        yield "warn", f"the analyser's state is {analyser.state or 'unknown'}"
    for model in status.ledger.models if status.ledger else ():
        if model.state == "failed":
            yield "error", f"model {model.key}: {model.why}"


def _of_operations(found: Sequence[Operation]) -> Iterator[tuple[str, str]]:
    """Failures of the last day that nothing newer of the same kind has made good."""
    later: set[tuple[str, str]] = set()
    for one in found:
        title = (one.kind, one.subject)
        if (
            one.state in (OperationState.FAILED, OperationState.CRASHED)
            and title not in later
            and time.time() - one.ended < RECENT
        ):
            why = one.failure.why.splitlines() if one.failure else []
            yield "error", f"{one.title()} {one.state.value}: {why[0] if why else 'see its log'}"
        later.add(title)


def _of_presets(found: Sequence[PresetView]) -> Iterator[tuple[str, str]]:
    for view in found:
        if view.entry.error is not None:
            yield "warn", f"preset {view.entry.name} cannot be used"
        elif view.lock is not None and has_errors(view.findings):
            yield "warn", f"preset {view.entry.name} will not work on {view.target or 'this machine'}"
