"""Stacks and their services as the rows of a list."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from core.containers.model import Container, ContainerHealth, ContainerStats, format_ports
from core.findings import Finding
from core.operations.model import Operation
from core.stacks.model import Service, Stack
from core.stacks.plan import PlanStep, StepKind
from tui.formatters import containers as container_format
from tui.formatters.cells import Cell, Column, Span
from tui.formatters.numbers import size
from tui.sources import Containers
from tui.stack_source import StackView

UNKNOWN = Span("? unknown", "stale")
NO_CONTAINER = Span("○ no container", "dim")
_HEALTH = re.compile(r" \((?:health: )?(?:healthy|unhealthy|starting)\)$")  # at the end of the engine's sentence


@dataclass(frozen=True)
class StackItem:
    """One row: a stack as a whole, or one of its services."""

    view: StackView
    service: Service | None = None
    containers: tuple[Container, ...] | None = None
    """None: not known."""
    stats: tuple[ContainerStats, ...] = ()
    """Of those that run."""
    is_outdated: bool = False
    """Whether an operation has worked on the stack since its plan was made."""

    @property
    def name(self) -> str:
        """The name of the stack."""
        return self.view.entry.name

    @property
    def key(self) -> str:
        return f"{self.name}/{self.service.name}" if self.service else self.name

    @property
    def container(self) -> Container | None:
        """The container of a service; one that does not run comes before those that do."""
        containers = self.containers if self.service and self.containers else ()
        return min(containers, key=lambda container: container.running, default=None)

    @property
    def steps(self) -> list[PlanStep]:
        """What `up` would do with a service and the image of its preset, or all of it for a stack."""
        steps = self.view.plan.steps if self.view.plan else []
        service = self.service
        if service is None:
            return steps
        return [step for step in steps if step.subject == (service.preset if step.is_preset else service.name)]

    @property
    def errors(self) -> list[Finding]:
        """What would stop `up`."""
        errors = self.view.plan.errors() if self.view.plan else []
        return [finding for finding in errors if self.service is None or concerns(finding, self.service)]


COLUMNS = (
    Column("stack", minimum=8, sort=lambda item: item.name),
    Column("service", minimum=14, weight=2, sort=lambda item: item.service.name if item.service else None),
    Column("state", 15, sort=lambda item: state(item).text[2:]),
    Column("since", 20, rank=2, sort=lambda item: since(item) or None),
    Column("CPU", 6, right=True, rank=4, sort=lambda item: _total(stats.cpu_percent for stats in item.stats)),
    Column("memory", 9, right=True, rank=3, sort=lambda item: _total(stats.memory for stats in item.stats)),
    Column("ports", minimum=13, rank=6, sort=lambda item: ports(item) or None),
    Column("image from", minimum=14, weight=3, rank=5, sort=lambda item: origin(item) or None),
    Column("what would change", minimum=26, weight=12, rank=1, sort=lambda item: change(item).text or None),
)


def items(views: Iterable[StackView], listing: Containers | None, outdated: Collection[str] = ()) -> list[StackItem]:
    """Each stack, followed by its services in the order in which they start; `outdated` are those with an old plan."""
    out: list[StackItem] = []
    for view in views:
        stack = view.entry.stack
        services: list[StackItem] = []
        is_outdated = view.entry.name in outdated
        for service in stack.services.values() if stack else ():
            containers = None if listing is None else tuple(_containers(stack, service, listing))
            stats = [listing.stats.get(container.id) for container in containers or ()] if listing else []
            services.append(StackItem(view, service, containers, tuple(one for one in stats if one), is_outdated))
        containers = None if listing is None else tuple(one for item in services for one in item.containers or ())
        all_stats = tuple(one for item in services for one in item.stats)
        out += [StackItem(view, None, containers, all_stats, is_outdated), *services]
    return out


def _containers(stack: Stack | None, service: Service, listing: Containers) -> Iterable[Container]:
    for container in listing.containers:
        if stack and (container.project, container.service) == (stack.project, service.name):
            yield container


def row(item: StackItem, live: Operation | None) -> tuple[Cell, ...]:
    """One row of the list; `live` is the operation that works on the stack now."""
    error = item.view.entry.error
    if error is not None:
        return Span(item.name, "title"), "", Span(f"✗ {error.summary}", "error")
    return (
        Span(item.name, "dim" if item.service else "title"),
        item.service.name if item.service else "",
        state(item),
        Span(since(item), "dim"),
        "" if (cpu := _total(stats.cpu_percent for stats in item.stats)) is None else f"{cpu:.0f} %",
        "" if (memory := _total(stats.memory for stats in item.stats)) is None else size(memory),
        Span(ports(item), "dim"),
        Span(origin(item), "dim"),
        Span(f"▶ {operation_words(live)}", "accent") if live and item.service is None else change(item),
    )


def operation_words(operation: Operation) -> str:
    """`operation 12: up` of a stack, with the services it was asked for."""
    services = operation.options.get("services")
    names = f" {', '.join(map(str, services))}" if isinstance(services, list) and services else ""
    return f"operation {operation.id}: {operation.options.get('action', 'up')}{names}"


def state(item: StackItem) -> Span:
    """State and health of a service; of a stack, how many of its services run."""
    if item.containers is None:
        return UNKNOWN
    if item.service is None:
        return _stack_state(item.view.entry.stack, item.containers)
    container = item.container
    return NO_CONTAINER if container is None else container_state(container)


def container_state(container: Container) -> Span:
    """The container's state; a health check that passes is named."""
    span = container_format.state(container)
    is_healthy = container.running and container.health is ContainerHealth.HEALTHY
    return Span("▶ healthy", span.role) if is_healthy and span.role == "ok" else span


def _stack_state(stack: Stack | None, containers: Sequence[Container]) -> Span:
    """Services of a profile count once they have a container: nothing else starts them."""
    services = stack.services.values() if stack else ()
    existing = {container.service for container in containers}
    running = {container.service for container in containers if container.running}
    total = sum(not service.profiles or service.name in existing for service in services)
    words = f"{len(running)} of {total} run"
    if any(container_format.state(container).role == "error" for container in containers):
        return Span(f"✗ {words}", "error")
    if running and len(running) == total:
        return Span(f"▶ {words}", "ok")
    return Span(f"! {words}", "warn") if running else Span(f"■ {words}", "dim")


def since(item: StackItem) -> str:
    """The engine's sentence about the container, without its health."""
    return "" if item.container is None else _HEALTH.sub("", item.container.status)


def ports(item: StackItem) -> str:
    """The published ports of a service in short."""
    return "" if item.service is None else format_ports(item.service.ports, addresses=False)


def origin(item: StackItem) -> str:
    """Where the image of a service comes from."""
    service, stack = item.service, item.view.entry.stack
    return "" if service is None or stack is None else stack.origin_text(service)


def change(item: StackItem) -> Span:
    """What `up` would do with it and why; empty for a service that is left alone."""
    view, service = item.view, item.service
    if item.is_outdated:
        return Span("…", "dim")
    if view.plan is None:
        return Span(f"? {view.problem.why or view.problem.what}" if view.problem else "", "stale")
    if item.errors:
        others = f" (and {len(item.errors) - 1} more)" if len(item.errors) > 1 else ""
        return Span(f"✗ {item.errors[0].why or item.errors[0].what}{others}", "error")
    steps = [step for step in item.steps if step.kind is not StepKind.LEAVE]
    if service is None:
        counts = Counter(step.kind.value for step in steps)
        words = ", ".join(f"{kind} {count}" for kind, count in counts.items())
        return Span(f"○ {words}", "title") if words else Span("✓ nothing", "ok")
    if steps:
        return Span(f"{steps[0].kind.value}: {steps[0].reason}", "accent")
    return Span(f"profile {', '.join(service.profiles)}" if service.profiles and not item.steps else "", "dim")


def concerns(finding: Finding, service: Service) -> bool:
    """Whether a finding of the plan is about this service."""
    build = service.build
    is_in_context = build is not None and f"{build.context}/" in f"{finding.what}/"
    return finding.what == f"Service {service.name}" or is_in_context


def _total(values: Iterable[float | None]) -> float | None:
    """The sum of what is known, None when nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
