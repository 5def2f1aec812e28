"""The operation on a stack: up, down, start, stop, restart; one at a time for each stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial

from pydantic import JsonValue

from core import audit
from core.engine import connect_with_long_timeout, docker_environment, engine_errors
from core.errors import ChecksFailed, InputError
from core.findings import describe_errors
from core.progress import OUTCOME, Progress, stage
from core.site import Site
from core.stacks.compose import run_compose
from core.stacks.execute import execute
from core.stacks.kept_containers import forget, interrupted_services
from core.stacks.model import Service, Stack
from core.stacks.observe import observe
from core.stacks.plan import StackPlan, plan_stack
from core.stacks.replace import service_containers, start_container
from core.stacks.store import load_stack
from core.stacks.wait import wait_for_service

ACTIONS = ("up", "down", "start", "stop", "restart")


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Do `action` with the stack `subject`.

    Options: `action`, one of ACTIONS; `services` (names, default all); `volumes` (with `down`: remove them, too). The
    outcome: `action`, `done` (what was done), `findings`. Raises ChecksFailed before anything is changed when the plan
    has errors; the error of the first step that fails; InputError; Cancelled.
    """
    action = str(options.get("action") or "up")
    if action not in ACTIONS:
        raise InputError(f"Action {action}", "there is no such action on a stack", f"use one of {', '.join(ACTIONS)}")
    named = options.get("services")
    wanted = [str(name) for name in named] if isinstance(named, list) else []
    findings: list[JsonValue] = []
    if action == "up":
        stack, plan = read_plan(site, subject, wanted)
        if errors := plan.errors():
            raise ChecksFailed(f"Nothing was changed: stack {subject} cannot come up", *describe_errors(errors))
        findings += [finding.model_dump(mode="json") for finding in plan.findings]
        done = execute(site, stack, plan, progress)
    elif action == "down":
        done = _down(site, load_stack(site, subject), bool(options.get("volumes")), progress)
    else:
        stack = load_stack(site, subject)
        done = _each(site, stack, checked_services(stack, wanted), action, progress)
    for line in done:
        progress.log(line, OUTCOME)
    audit.record(site, f"stack {action}", subject, {"services": ", ".join(wanted), "done": ", ".join(done)})
    return {"action": action, "done": [*done], "findings": findings}


def read_plan(site: Site, name: str, services: Sequence[str] = ()) -> tuple[Stack, StackPlan]:
    """The stack `name`, and what `up` would do with it or with these services. Raises InputError, EngineError."""
    stack = load_stack(site, name)
    return stack, plan_stack(stack, observe(site, stack), checked_services(stack, services))


def checked_services(stack: Stack, wanted: Sequence[str]) -> list[str]:
    """The names as a list. Raises InputError for a service that the stack does not have."""
    for name in wanted:
        if name not in stack.services:
            remedy = f"its services: {', '.join(stack.services)}"
            raise InputError(f"Service {name}", f"stack {stack.name} has no such service", remedy)
    return [*wanted]


def _down(site: Site, stack: Stack, volumes: bool, progress: Progress) -> list[str]:
    with stage(progress, "down", "stop and remove the containers"):
        words = ["down", "--remove-orphans", *(["--volumes"] if volumes else [])]
        run_compose(stack.folder, docker_environment(site), *words, progress=progress)
        for service in interrupted_services(site, stack.name):
            forget(site, stack.name, service)
    return ["removed containers and networks" + (" and volumes" if volumes else "; the volumes stay")]


def _each(site: Site, stack: Stack, services: Sequence[str], action: str, progress: Progress) -> list[str]:
    """Start in the order of dependencies, and stop in the reverse order."""
    chosen = [service for service in stack.services.values() if not services or service.name in services]
    done: list[str] = []
    with closing(connect_with_long_timeout(site)) as client:

        def stop(service: Service) -> None:
            for identity in service_containers(client, stack, service.name):
                with engine_errors(f"Stop of {service.name}"):
                    client.api.stop(identity)  # with the grace period of its own

        def start(service: Service) -> None:
            for identity in service_containers(client, stack, service.name):
                start_container(client, service.name, identity)
                wait_for_service(client, service, identity, progress, completes=stack.must_complete(service.name))

        steps: list[tuple[str, Callable[[], None]]] = []
        if action in ("stop", "restart"):
            steps += [(f"stop {service.name}", partial(stop, service)) for service in reversed(chosen)]
        if action in ("start", "restart"):
            steps += [(f"start {service.name}", partial(start, service)) for service in chosen]
        for title, work in steps:
            with stage(progress, title, title):
                work()
            done.append(title)
    return done
