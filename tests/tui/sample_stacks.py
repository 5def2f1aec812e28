"""The sample's stacks: one that runs and has an unhealthy service, one that was never up, and a broken one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from core.containers.model import ContainerPort
from core.errors import InputError
from core.findings import Finding
from core.site import Site
from core.stacks.model import (
    ALL_GPUS,
    BuildSection,
    Dependency,
    GpuRequest,
    ImageOrigin,
    Service,
    ServiceExtension,
    Stack,
    VolumeUse,
)
from core.stacks.plan import PlanStep, StackPlan, StepKind
from core.stacks.store import StackEntry
from tui.formatters.stack_details import plan_preview
from tui.stack_source import StackView
from tui.widgets.panel import Formatter

FOLDER = Path("/srv/site/stacks")
HEALTHY = Dependency("service_healthy")


def _port(host: int, inside: int) -> tuple[ContainerPort, ...]:
    return (ContainerPort(container_port=inside, host_port=host),)


def _step(stack: str, kind: StepKind, subject: str, reason: str, is_preset: bool = False) -> PlanStep:
    compose = ["docker", "compose", "--file", str(FOLDER / stack / "compose.yaml"), "up", "--detach", subject]
    commands = {StepKind.LEAVE: [], StepKind.BUILD: ["xaiva", "stack", "build", stack, subject]}
    command = ["xaiva", kind.value, subject] if is_preset else commands.get(kind, compose)
    return PlanStep(kind=kind, subject=subject, reason=reason, command=command, is_preset=is_preset)


def hall() -> StackView:
    """The containers of the sample's machine. The configuration of one changed."""
    postgres = Service(
        "postgres",
        "postgres:16",
        ImageOrigin.READY,
        volumes=(VolumeUse("volume", "pgdata", "/var/lib/postgresql/data"),),
    )
    dubbing = Service(
        "dubbing",
        "xaiva/dubbing-cuda13.0:latest",
        ImageOrigin.PRESET,
        ServiceExtension(preset="dubbing-cuda13.0", vram_gib=18),
        depends_on={"postgres": Dependency("service_started", required=False)},
        ports=_port(8601, 8600),
        gpus=GpuRequest(ALL_GPUS),
    )
    inference = Service(
        "inference",
        "xaiva/cpu-debian12:latest",
        ImageOrigin.PRESET,
        ServiceExtension(preset="cpu-debian12"),
        depends_on={"postgres": HEALTHY, "dubbing": Dependency("service_completed_successfully")},
        ports=_port(8600, 8600),
        resolved={"environment": {"XAIVA_LOG": "info", "DB_PASSWORD": "correct-horse", "EMPTY": None}},
    )
    tools = Service("tools", "postgres:16", ImageOrigin.READY, profiles=("debug",))
    services = {one.name: one for one in (postgres, dubbing, inference, tools)}
    leave = "it runs as the file says"
    steps = [
        _step("hall", StepKind.LEAVE, "postgres", leave),
        _step("hall", StepKind.LEAVE, "dubbing", leave),
        _step("hall", StepKind.REPLACE, "inference", "its configuration changed"),
    ]
    leftover = Finding.note(
        "leftover",
        "hall-mail-1 belongs to service mail, which the file no longer has",
        "it is left alone",
        "remove it: docker rm --force hall-mail-1",
    )
    stack = Stack("hall", FOLDER / "hall", "hall", services)
    plan = StackPlan(stack="hall", steps=steps, findings=[leftover])
    return StackView(StackEntry("hall", stack.folder, stack), plan)


def recruit() -> StackView:
    """A stack that was never up. Something else has one of its ports."""
    folder = FOLDER / "recruit"

    def built(name: str, port: int, **more: Any) -> Service:
        build = BuildSection(folder / name, folder / name / "Dockerfile")
        return Service(
            name, f"recruit-{name}", ImageOrigin.BUILD, build=build, ports=_port(port, 8000), depends_on=more
        )

    redis = Service(
        "redis", "xaiva/redis-debian12:latest", ImageOrigin.PRESET, ServiceExtension(preset="redis-debian12")
    )
    agent = built("agent", 8001, redis=HEALTHY)
    backend = built("backend", 8000, redis=HEALTHY)
    frontend = built("frontend", 8080, agent=HEALTHY, backend=HEALTHY)
    stack = Stack("recruit", folder, "recruit", {one.name: one for one in (redis, agent, backend, frontend)})
    empty = "it has no container"
    steps = [
        _step("recruit", StepKind.BUILD, "redis-debian12", "the artifacts are newer than the image", is_preset=True),
        _step("recruit", StepKind.CREATE, "redis", empty),
        _step("recruit", StepKind.BUILD, "agent", "agent/requirements.txt changed, agent/main.py changed"),
        _step("recruit", StepKind.CREATE, "agent", empty),
        _step("recruit", StepKind.CREATE, "backend", empty),
        _step("recruit", StepKind.CREATE, "frontend", empty),
    ]
    taken = Finding.error(
        "port-taken", "Service backend", "port 8000/tcp is used by nginx", "stop that, or change the port in the file"
    )
    plan = StackPlan(stack="recruit", steps=steps, findings=[taken])
    return StackView(StackEntry("recruit", folder, stack), plan)


def stacks() -> list[StackView]:
    error = InputError(
        f"{FOLDER / 'welding' / 'compose.yaml'}, line 7",
        "services.robot Additional property imgae is not allowed",
        f"correct it; check with: docker compose -f {FOLDER / 'welding' / 'compose.yaml'} config",
    )
    return [hall(), recruit(), StackView(StackEntry("welding", FOLDER / "welding", error=error))]


def stack_preview(_site: Site, name: str, _options: Mapping[str, Any]) -> Formatter:
    """The whole plan, whichever services are asked for."""
    view = next(view for view in stacks() if view.entry.name == name)
    assert view.plan is not None
    return partial(plan_preview, view.plan)
