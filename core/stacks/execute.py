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
from core.stacks.model import COMPLETED, HEALTHY, Service, Stack
from core.stacks.observe import read_builds
from core.stacks.plan import PlanStep, StackPlan, StepKind
from core.stacks.recreate import recreate_service
from core.stacks.replace import replace_service, service_containers, start_container
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
            # Not started by compose, which would start a dependency again that has done its work.
            words = ("--no-start", "--no-recreate", "--no-build", "--pull", "never")
            run_compose(self.stack.folder, self.env, "up", *words, service.name, progress=progress)
            self._start(service, progress)
        elif step.kind is StepKind.REPLACE:
            self._wait_for_dependencies(service, progress)
            if step.recreate:
                recreate_service(self.client, self.site, self.stack, service, self.env, progress)
            else:
                replace_service(self.client, self.stack, service, self.env, progress)
        elif step.kind is StepKind.RESTART:
            for identity in service_containers(self.client, self.stack, service.name):
                with engine_errors(f"Stop of {service.name}"):
                    self.client.api.stop(identity)
            self._start(service, progress)
        elif step.kind is StepKind.START:
            self._start(service, progress)

    def _build(self, service: Service, progress: Progress) -> None:
        # Taken again: a preset that this plan has built may have become another base image.
        state = read_builds(self.site, self.stack, self.client)[service.name]
        if state.fingerprint is None:
            raise state.error or XaivaError(f"Build of {service.name}", "its context cannot be read")
        build_service(self.site, self.stack, service, state.fingerprint, self.env, progress)

    def _start(self, service: Service, progress: Progress) -> None:
        self._wait_for_dependencies(service, progress)
        for identity in service_containers(self.client, self.stack, service.name):
            start_container(self.client, service.name, identity)
        self._wait(service, progress)

    def _wait_for_dependencies(self, service: Service, progress: Progress) -> None:
        """Wait for the conditions of `depends_on`: what was left alone may be broken by now."""
        for name, dependency in service.depends_on.items():
            if dependency.required and dependency.condition in (HEALTHY, COMPLETED) and name in self.stack.services:
                self._wait(self.stack.services[name], progress)

    def _wait(self, service: Service, progress: Progress) -> None:
        completes = self.stack.must_complete(service.name)
        for identity in service_containers(self.client, self.stack, service.name):
            wait_for_service(self.client, service, identity, progress, completes=completes)
