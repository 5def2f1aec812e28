"""The plan: what has to happen so that a stack runs as its files say, step by step, each with its reason.

A pure function of a stack and a snapshot; it reads nothing. A service that is as it should be is left alone.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict

from core import labels
from core.containers.model import Container, ContainerHealth, ContainerState
from core.findings import Finding, Level
from core.images.buildx import build_command
from core.redaction import HIDDEN, is_secret_name, redact_text
from core.stacks.build_service import build_request
from core.stacks.fingerprint import Fingerprint, changes
from core.stacks.gpu_checks import gpu_findings
from core.stacks.model import ImageOrigin, Service, Stack
from core.stacks.observe import Snapshot
from core.stacks.update_order import describe_order, only_one_reason
from core.up.plan import UpStep


class StepKind(str, enum.Enum):
    """What a step does."""

    LOCK = "lock"
    SYNC = "sync"
    BUILD = "build"
    CREATE = "create"
    REPLACE = "replace"
    START = "start"
    RESTART = "restart"
    LEAVE = "leave"


class PlanStep(BaseModel):
    """One step: one command, on one preset or one service."""

    model_config = ConfigDict(frozen=True)

    kind: StepKind
    subject: str
    """The service, or the preset of a lock, a sync and a build of its image."""
    is_preset: bool = False
    reason: str
    order: str = ""
    """Of a replacement: why the new container does not simply start beside the old one."""
    recreate: bool = False
    """Whether the new container has to take the place of the old one."""
    command: list[str] = []
    """What does the same by hand, secrets hidden; empty for a service that is left alone."""


class StackPlan(BaseModel):
    """All steps in their order."""

    model_config = ConfigDict(frozen=True)

    stack: str
    steps: list[PlanStep]
    findings: list[Finding] = []
    """What would stop it, and what else is worth knowing."""

    @property
    def changes(self) -> bool:
        """Whether anything would happen."""
        return any(step.kind is not StepKind.LEAVE for step in self.steps)

    def errors(self) -> list[Finding]:
        """What would stop it."""
        return [finding for finding in self.findings if finding.level is Level.ERROR]


def plan_stack(stack: Stack, snapshot: Snapshot, services: Collection[str] = ()) -> StackPlan:
    """The plan for all services, or for these and what they depend on. Those of a profile only when they are named."""
    planner = _Planner(stack, snapshot)
    for name in _chosen(stack, services):
        planner.add(stack.services[name])
    planner.add_gpus([stack.services[name] for name in _chosen(stack, services)])
    planner.add_shared_contexts()
    planner.add_leftovers()
    return StackPlan(stack=stack.name, steps=planner.steps, findings=planner.findings)


def _chosen(stack: Stack, services: Collection[str]) -> list[str]:
    """The services in their order; compose starts what a service depends on, too."""
    wanted = set(services) or {name for name, service in stack.services.items() if not service.profiles}
    while more := {
        dependency
        for name in wanted
        for dependency in stack.services[name].depends_on
        if dependency in stack.services and dependency not in wanted
    }:
        wanted |= more
    return [name for name in stack.services if name in wanted]


@dataclass
class _Planner:
    stack: Stack
    snapshot: Snapshot

    def __post_init__(self) -> None:
        self.steps: list[PlanStep] = []
        self.findings: list[Finding] = []
        self._new_images: set[str] = set()  # presets and services whose image is built by this plan
        self._seen_presets: set[str] = set()
        self._kinds: dict[str, StepKind] = {}  # of the services so far

    def add(self, service: Service) -> None:
        """The steps to the service's image, then to its container."""
        self.findings += self.snapshot.findings.get(service.name, ())
        new_image = self._add_image(service)
        kind, reason = self._container_step(service, new_image)
        self._kinds[service.name] = kind
        step = self._step(kind, service.name, reason)
        if kind is StepKind.REPLACE:
            image = self.snapshot.images.get(service.image)
            volumes = image.volumes if image else ()
            recreate = bool(only_one_reason(service, volumes)) or service.name in self.snapshot.interrupted
            update = {"order": describe_order(service, volumes), "recreate": recreate}
            step = step.model_copy(update=update)
        self.steps.append(step)
        if kind in (StepKind.CREATE, StepKind.REPLACE, StepKind.START):
            for sentence in self.snapshot.taken_ports.get(service.name, ()):
                self._error("port-taken", service.name, f"port {sentence}", "stop that, or change the port in the file")

    def add_gpus(self, services: Sequence[Service]) -> None:
        """What would keep the services from their GPUs."""
        containers = self.snapshot.containers
        own = {entry.id for service in services for entry in containers.get(service.name, ())}
        self.findings += gpu_findings(services, self.snapshot.gpus, self.snapshot.gpu_access, own)

    def add_shared_contexts(self) -> None:
        """A note about each service whose context has those of others in it."""
        builds = {name: service.build for name, service in self.stack.services.items() if service.build is not None}
        for name, build in builds.items():
            state = self.snapshot.builds.get(name)
            files = state.fingerprint.files if state and state.fingerprint else {}
            others = [
                other
                for other, inner in builds.items()
                if inner.context != build.context
                and inner.context.is_relative_to(build.context)
                and any(path.startswith(f"{inner.context.relative_to(build.context)}/") for path in files)
            ]
            if others:
                why = f"every change of {', '.join(others)} builds it again, because its context has their files"
                remedy = f"give it a folder of its own, or name theirs in {build.context / '.dockerignore'}"
                self.findings.append(Finding.note("context-shared", f"Service {name}", why, remedy))

    def add_leftovers(self) -> None:
        """A note about the containers of services that the file no longer has."""
        for name, entries in sorted(self.snapshot.containers.items()):
            if name not in self.stack.services and entries:
                what = f"{entries[0].name} belongs to service {name}, which the file no longer has"
                remedy = f"remove it: docker rm --force {entries[0].name}"
                self.findings.append(Finding.note("leftover", what, "it is left alone", remedy))

    # -- images --------------------------------------------------------------------------------------------------------

    def _add_image(self, service: Service) -> str:
        """The steps to an image; returns why it will be another one than now, empty when it stays."""
        if service.origin is ImageOrigin.PRESET:
            return "its image is built again" if self._add_preset(service.preset) else ""
        if service.origin is ImageOrigin.BUILD:
            return self._add_build(service)
        if self.snapshot.images.get(service.image) is None:
            remedy = f"load it: docker load, or docker pull {service.image} where there is a network"
            self._error("image-missing", service.name, f"the engine has no image {service.image}", remedy)
        return ""

    def _add_preset(self, preset: str) -> bool:
        """The steps of a preset that are not done; whether its image will be another one."""
        if preset in self._seen_presets:
            return preset in self._new_images
        self._seen_presets.add(preset)
        for step in self.snapshot.presets.get(preset, ()):
            self.findings += step.findings
            if not step.done:
                self.steps.append(_preset_step(preset, step))
                self._new_images.add(preset)
        return preset in self._new_images

    def _add_build(self, service: Service) -> str:
        state = self.snapshot.builds[service.name]
        assert service.build is not None
        presets = [labels.preset_of_tag(base) for base in state.bases if self._is_preset_image(base)]
        rebuilt = [preset for preset in presets if self._add_preset(preset)]
        if state.error is not None:
            self.findings.append(Finding.error("build", state.error.what, state.error.why, state.error.remedy))
        if state.fingerprint is None:
            return ""  # a finding says why
        for base in state.bases:
            if self.snapshot.images.get(base) is None and not self._is_preset_image(base):
                self._error("base-missing", service.name, f"the engine has no base image {base}", f"load {base} first")
        image = self.snapshot.images.get(service.image)
        name = self.stack.context_name(service.build)
        if image is None:
            reasons = ["the engine has no image of it"]
        elif image.fingerprint is None:
            reasons = ["its image was not built by xaiva, so what it is made of is not known"]
        else:
            reasons = changes(image.fingerprint, state.built_files, state.fingerprint, name)
        reasons = [f"{preset} is built again" for preset in rebuilt] + reasons
        if not reasons:
            return ""
        command = _build_command(service, state.fingerprint, self.snapshot.builder)
        reason = ", ".join(reasons)
        self.steps.append(PlanStep(kind=StepKind.BUILD, subject=service.name, reason=reason, command=command))
        return "its image is built again"

    def _is_preset_image(self, reference: str) -> bool:
        return labels.preset_of_tag(reference) in self.snapshot.presets

    # -- containers ----------------------------------------------------------------------------------------------------

    def _container_step(self, service: Service, new_image: str) -> tuple[StepKind, str]:
        entries = self.snapshot.containers.get(service.name, ())
        if not service.scale:
            return StepKind.LEAVE, "the file asks for no container of it"
        if service.name in self.snapshot.interrupted:
            return StepKind.REPLACE, "its replacement was interrupted"
        if not entries:
            return StepKind.CREATE, "it has no container"
        if len(entries) > service.scale:
            found = ", ".join(f"{one.name} is {one.condition}" for one in entries)
            return StepKind.REPLACE, f"it has {len(entries)} containers in place of {service.scale}: {found}"
        if reason := new_image or self._difference(service, entries):
            return StepKind.REPLACE, reason
        if len(entries) < service.scale:
            return StepKind.CREATE, f"it has {len(entries)} of {service.scale} containers"
        return self._renewal(service) or self._state_step(service, entries)

    def _renewal(self, service: Service) -> tuple[StepKind, str] | None:
        """What another step of this plan makes necessary."""
        for name, dependency in service.depends_on.items():
            kind = self._kinds.get(name, StepKind.LEAVE)
            if name in service.shares_with and kind in (StepKind.CREATE, StepKind.REPLACE):
                return StepKind.REPLACE, f"it uses a part of {name}, which gets another container"
            if name in service.shares_with and kind is not StepKind.LEAVE:
                return StepKind.RESTART, f"it uses a part of {name}, which starts again"
            if dependency.restart and kind in (StepKind.CREATE, StepKind.REPLACE, StepKind.RESTART):
                return StepKind.RESTART, f"it asks to start again with {name}"
        return None

    def _state_step(self, service: Service, containers: Sequence[Container]) -> tuple[StepKind, str]:
        """What the states of the containers ask for."""
        for one in containers:
            if one.state.ended and one.exit_code == 0 and self.stack.must_complete(service.name):
                continue
            if one.state is ContainerState.PAUSED:
                return StepKind.RESTART, "it is paused"
            if not one.running:
                return StepKind.START, _how_it_ended(one.state, one.exit_code, one.condition)
            if one.health is ContainerHealth.UNHEALTHY:
                return StepKind.RESTART, "its health check fails"
            if one.state is ContainerState.RESTARTING:
                return StepKind.RESTART, "it ends again and again"
            if one.health is ContainerHealth.STARTING:
                return StepKind.START, "it runs, and its health check has not passed yet"
        if containers and all(one.state.ended for one in containers):
            return StepKind.LEAVE, "it has done its work"
        return StepKind.LEAVE, "it runs as the file says"

    def _difference(self, service: Service, entries: Sequence[Container]) -> str:
        image = self.snapshot.images.get(service.image)
        if image is not None and any(entry.image_id != image.id for entry in entries):
            return f"the engine has a newer image {service.image}"
        wanted = self.snapshot.shared_hashes.get(service.name) or self.stack.config_hashes.get(service.name, "")
        if any(entry.config_hash != wanted for entry in entries):
            return "its configuration changed"
        return ""

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _step(self, kind: StepKind, service: str, reason: str) -> PlanStep:
        return PlanStep(kind=kind, subject=service, reason=reason, command=_command(self.stack, kind, service))

    def _error(self, code: str, service: str, why: str, remedy: str) -> None:
        self.findings.append(Finding.error(code, f"Service {service}", why, remedy))


def _preset_step(preset: str, step: UpStep) -> PlanStep:
    kind = StepKind(step.name)
    return PlanStep(kind=kind, subject=preset, is_preset=True, reason=step.text, command=["xaiva", step.name, preset])


def _command(stack: Stack, kind: StepKind, service: str) -> list[str]:
    compose = ["docker", "compose", "--file", str(stack.file)]
    if kind is StepKind.LEAVE:
        return []
    if kind in (StepKind.START, StepKind.RESTART):
        return [*compose, kind.value, service]
    return [*compose, "up", "--detach", "--no-recreate", "--no-build", "--pull", "never", service]


def _build_command(service: Service, fingerprint: Fingerprint, builder: str) -> list[str]:
    request = build_request(service, fingerprint, builder)
    shown = {name: HIDDEN if is_secret_name(name) else redact_text(value) for name, value in request.arguments.items()}
    return build_command(replace(request, arguments=shown))


def _how_it_ended(state: ContainerState, code: int | None, condition: str) -> str:
    if state is ContainerState.CREATED:
        return "it was created and never started"
    return f"it is {condition}" + (f" with code {code}" if code is not None else "")
