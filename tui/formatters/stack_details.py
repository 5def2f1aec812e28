"""The details of a stack or a service, and the plan of a stack, as lines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from core.containers.model import ContainerHealth, format_ports
from core.findings import Finding
from core.redaction import redact_document
from core.stacks.model import ALL_GPUS, Dependency, Service, Stack, VolumeUse
from core.stacks.plan import PlanStep, StackPlan, StepKind
from core.stacks.store import DEFAULT_CONDITION
from tui.formatters import findings as finding_format
from tui.formatters.cells import Cell, Line, Span, fit, labelled_lines, line, wrap
from tui.formatters.stacks import NO_CONTAINER, StackItem, concerns, container_state, origin, state

LABEL_WIDTH = 12
KIND_WIDTH = 10
_CONDITIONS = {  # what a service waits for, in words
    DEFAULT_CONDITION: "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "ended well",
}


def detail(item: StackItem, width: int) -> list[Line]:
    """Everything about the row except its log. Its stack can be read."""
    stack = item.view.entry.stack
    if stack is None:
        return []
    if item.service is None:
        return _stack_detail(item, stack, width)
    return _service_detail(item, item.service, stack, width)


def _stack_detail(item: StackItem, stack: Stack, width: int) -> list[Line]:
    facts: list[tuple[str, Cell]] = [
        ("state", state(item)),
        ("file", str(stack.file)),
        ("project", stack.project),
    ]
    out = _facts(facts, width)
    out += [line(), line(Span("What up would do", "title"))]
    if item.view.plan is None or item.is_outdated:
        return out + _no_plan_lines(item, width)
    return out + plan_lines(item.view.plan, width)


def _service_detail(item: StackItem, service: Service, stack: Stack, width: int) -> list[Line]:
    containers: list[tuple[str, Cell]] = [
        ("container", line(container_state(one), Span(f"  {one.name}"), Span(f"  {one.status}", "dim")))
        for one in item.containers or ()
    ]
    waiting = [other.name for other in stack.services.values() if service.name in other.depends_on]
    facts: list[tuple[str, Cell]] = [
        *(containers or [("container", state(item) if item.containers is None else NO_CONTAINER)]),
        ("image", service.image),
        ("from", Span(origin(item), "accent" if service.preset else "")),
        ("profiles", ", ".join(service.profiles)),
        ("waits for", ", ".join(_waits_for(name, one) for name, one in service.depends_on.items())),
        ("needed by", ", ".join(waiting)),
        ("ports", format_ports(service.ports)),
        *(("volume", _volume(volume)) for volume in service.volumes),
        ("GPUs", _gpus(service)),
    ]
    out = [*_facts(facts, width), line(), line(Span("What up would do", "title"))]
    if item.view.plan is None or item.is_outdated:
        out += _no_plan_lines(item, width)
    else:
        out += _planned_lines(item, item.view.plan, service, width)
    for container in item.containers or ():
        if container.health is ContainerHealth.UNHEALTHY and container.health_output:
            out += [line(), line(Span("last health check", "dim")), *wrap(container.health_output, width, "error")]
    return out + _environment(service, width)


def _planned_lines(item: StackItem, plan: StackPlan, service: Service, width: int) -> list[Line]:
    """The steps of one service, each with its command, and the findings about it."""
    out = [] if item.steps else wrap("nothing: it has a profile, so it starts only when it is named", width, "dim")
    for step in item.steps:
        out += [*_step_lines(step, width, with_subject=step.is_preset), *_command_lines(step, width)]
    found = [finding for finding in plan.findings if concerns(finding, service)]
    return [*out, line(), *finding_format.lines(found, width)] if found else out


def _facts(facts: list[tuple[str, Cell]], width: int) -> list[Line]:
    return [one for name, value in facts if value for one in labelled_lines(name, value, LABEL_WIDTH, width)]


def _waits_for(name: str, dependency: Dependency) -> str:
    condition = _CONDITIONS.get(dependency.condition, dependency.condition)
    return f"{name} ({condition}{'' if dependency.required else ', if it is there'})"


def _volume(volume: VolumeUse) -> str:
    source = f"{volume.source} → " if volume.source else ""
    kind = "" if volume.kind in ("volume", "bind") else f", {volume.kind}"
    return f"{source}{volume.target}{kind}{', read-only' if volume.read_only else ''}"


def _gpus(service: Service) -> str:
    gpus, vram = service.gpus, service.extension.vram_gib
    names = ", ".join(gpus.ids) or ("all" if gpus.count == ALL_GPUS else str(gpus.count or ""))
    return ", ".join(filter(None, (names, f"{vram:g} GiB of VRAM on each" if vram else "")))


def _environment(service: Service, width: int) -> list[Line]:
    """The variables that the file sets. Secrets are hidden."""
    variables: Mapping[str, Any] = redact_document(dict(service.resolved.get("environment") or {}))
    if not variables:
        return []
    out: list[Line] = [line(), line(Span("environment", "title"))]
    for name, value in variables.items():
        out += wrap(f"{name}={'' if value is None else value}", width, indent="  ")
    return out


# -- the plan ----------------------------------------------------------------------------------------------------------


def plan_lines(plan: StackPlan, width: int) -> list[Line]:
    """The steps in their order, each with its reason; then the findings."""
    out = [one for step in plan.steps for one in _step_lines(step, width, with_subject=True)]
    if not plan.changes and not plan.errors():
        out += [line(), line(Span("✓ ", "ok"), "nothing has to be done")]
    return [*out, line(), *finding_format.lines(plan.findings, width)] if plan.findings else out


def plan_preview(plan: StackPlan, width: int) -> list[Line]:
    """The plan before it is carried out; what would stop it comes first."""
    errors = plan.errors()
    if not errors:
        return plan_lines(plan, width)
    out = [*finding_format.lines(errors, width), line()]
    out += [*wrap("Nothing will be changed until this is solved. After that:", width, "warn"), line()]
    rest = [finding for finding in plan.findings if finding not in errors]
    return out + plan_lines(plan.model_copy(update={"findings": rest}), width)


def _step_lines(step: PlanStep, width: int, with_subject: bool) -> list[Line]:
    leaves = step.kind is StepKind.LEAVE
    role = "dim" if leaves else ""
    words = f"{step.subject}: {step.reason}" if with_subject else step.reason
    mark = fit(line(Span("≡ " if leaves else "○ ", role or "accent"), Span(step.kind.value, role)), KIND_WIDTH)
    rest = wrap(words, max(width - KIND_WIDTH, 1), role)
    return [(*(mark if not number else (Span(" " * KIND_WIDTH),)), *one) for number, one in enumerate(rest)]


def _command_lines(step: PlanStep, width: int) -> list[Line]:
    if not step.command:
        return []
    rest = wrap(f"$ {shlex.join(step.command)}", max(width - KIND_WIDTH, 1), "dim", indent="  ")
    return [(Span(" " * KIND_WIDTH), *one) for one in rest]


def _no_plan_lines(item: StackItem, width: int) -> list[Line]:
    """Why there is no plan, or none that still holds."""
    problem = item.view.problem
    if item.is_outdated or problem is None:
        return wrap("the plan is made again when the operation on this stack has ended", width, "dim")
    return finding_format.lines([Finding.error("plan", problem.what, problem.why, problem.remedy)], width)
