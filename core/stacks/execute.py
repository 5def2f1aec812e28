"""Carries out a plan, one step after another; each is a stage. What ran before runs on if a step fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.engine import connect_with_long_timeout, docker_environment, engine_errors
from core.errors import Cancelled, XaivaError
from core.progress import Progress, stage
from core.site import Site
from core.stacks.build_service import build_service
from core.stacks.compose import run_compose
from core.stacks.model import Service, Stack
from core.stacks.observe import observe
from core.stacks.plan import PlanStep, StackPlan, StepKind
from core.stacks.replace import replace_service, service_containers
from core.stacks.wait import wait_for_service
from core.up.plan import UpRequest
from core.up.run import StepProgress, run_build, run_lock, run_sync

if TYPE_CHECKING:
    import docker

_PRESET_STEPS = {StepKind.LOCK: run_lock, StepKind.SYNC: run_sync, StepKind.BUILD: run_build}


def execute(site: Site, stack: Stack, plan: StackPlan, progress: Progress) -> list[str]:
    """Do what the plan says, and return what was done, as `replace agent`.

    Raises the error of the first step that fails, which then names its service; Cancelled.
    """
    env = docker_environment(site)
    done = []
    with closing(connect_with_long_timeout(site)) as client:
        executor = _Executor(site, stack, client, env)
        for step in plan.steps:
            if step.kind is StepKind.LEAVE:
                continue
            name = f"{step.kind.value} {step.subject}"
            with stage(progress, name, name), _naming(stack, step):
                progress.log(step.reason, name)
                executor.run(step, StepProgress(progress, name))
            done.append(name)
    return done


@contextmanager
def _naming(stack: Stack, step: PlanStep) -> Iterator[None]:
    try:
        yield
    except Cancelled:
        raise
    except XaivaError as error:
        error.what = f"{step.kind.value} {step.subject}: {error.what}"
        error.remedy = "; ".join(filter(None, (error.remedy, f"then continue: xaiva stack up {stack.name}")))
        raise


@dataclass(frozen=True)
class _Executor:
    site: Site
    stack: Stack
    client: docker.DockerClient
    env: Mapping[str, str]

    def run(self, step: PlanStep, progress: Progress) -> None:
        if step.is_preset:
            _PRESET_STEPS[step.kind](UpRequest(self.site, step.subject), progress)
            return
        service = self.stack.services[step.subject]
        if step.kind is StepKind.BUILD:
            self._build(service, progress)
        elif step.kind is StepKind.CREATE:
            self._compose("up", service, progress, "--detach", "--no-recreate", "--no-build", "--pull", "never")
            self._wait(service, progress)
        elif step.kind is StepKind.REPLACE:
            replace_service(self.client, self.stack, service, self.env, progress)
        elif step.kind is StepKind.START:
            self._start(service)
            self._wait(service, progress)

    def _build(self, service: Service, progress: Progress) -> None:
        # Taken again: a preset that this plan has built may have become another base image.
        state = observe(self.site, self.stack).builds[service.name]
        if state.fingerprint is None:
            raise state.error or XaivaError(f"Build of {service.name}", "its context cannot be read")
        build_service(self.site, self.stack, service, state.fingerprint, self.env, progress)

    def _compose(self, word: str, service: Service, progress: Progress, *options: str) -> None:
        run_compose(self.stack.folder, self.env, word, *options, service.name, on_line=progress.log)

    def _start(self, service: Service) -> None:
        for identity in service_containers(self.client, self.stack, service.name):
            with engine_errors(f"Start of {service.name}"):
                self.client.api.start(identity)

    def _wait(self, service: Service, progress: Progress) -> None:
        for identity in service_containers(self.client, self.stack, service.name):
            wait_for_service(self.client, service, identity, progress)
