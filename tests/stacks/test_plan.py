"""The plan: from what is there to single steps with reasons. No engine is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.containers.model import Container, ContainerHealth, ContainerPort, ContainerState
from core.errors import InputError
from core.findings import Finding
from core.images.buildx import build_command
from core.stacks.build_service import build_request
from core.stacks.fingerprint import Fingerprint, LabelledFingerprint
from core.stacks.model import (
    BuildSection,
    Dependency,
    GpuRequest,
    ImageOrigin,
    Service,
    ServiceExtension,
    Stack,
    VolumeUse,
)
from core.stacks.observe import BuildState, ImageState, Snapshot
from core.stacks.plan import StackPlan, StepKind, plan_stack
from core.up.plan import UpStep

FOLDER = Path("/site/stacks/shop")
FILES = {"main.py": "1", "requirements.txt": "2"}
PARTS = {"Dockerfile": "d", "base image xaiva/env:latest": "p l", "builder": "b"}
WELL = Fingerprint(parts=PARTS, files=FILES)
DONE = tuple(UpStep(name=name, done=True, text="") for name in ("lock", "sync", "build"))


def labelled(fingerprint: Fingerprint) -> LabelledFingerprint:
    """As the label of an image has it."""
    return LabelledFingerprint.model_validate_json(fingerprint.label())


def container(service: str, image: str, **fields: Any) -> Container:
    """A running container of a service."""
    values = {"id": service, "name": f"shop-{service}-1", "image": service, "image_id": image, "status": ""}
    values |= {"state": ContainerState.RUNNING, "config_hash": f"hash of {service}"}
    return Container.model_validate({**values, **fields})


def service(name: str, **fields: Any) -> Service:
    """A service; built from the folder of its name unless `fields` say otherwise."""
    build = BuildSection(FOLDER / name, FOLDER / name / "Dockerfile")
    return Service(**{"name": name, "image": f"shop-{name}", "origin": ImageOrigin.BUILD, "build": build, **fields})


CACHE = service(
    "cache",
    image="xaiva/redis:latest",
    origin=ImageOrigin.PRESET,
    build=None,
    extension=ServiceExtension(preset="redis"),
)
AGENT = service("agent", depends_on={"cache": Dependency("service_healthy")})
WEB = service("web", depends_on={"agent": Dependency("service_healthy")})
TOOL = service("tool", profiles=("by-hand",))
SERVICES = {one.name: one for one in (CACHE, AGENT, WEB, TOOL)}
STACK = Stack("shop", FOLDER, "shop", SERVICES, {name: f"hash of {name}" for name in SERVICES})
RUNNING = Snapshot(
    images={
        "xaiva/redis:latest": ImageState("r"),
        "xaiva/env:latest": ImageState("e"),
        "shop-agent": ImageState("a", labelled(WELL)),
        "shop-web": ImageState("w", labelled(WELL)),
        "shop-tool": ImageState("t", labelled(WELL)),
    },
    presets={"redis": DONE, "env": DONE},
    builds={name: BuildState(("xaiva/env:latest",), WELL, FILES) for name in ("agent", "web", "tool")},
    containers={
        "cache": (container("cache", "r"),),
        "agent": (container("agent", "a"),),
        "web": (container("web", "w"),),
    },
)


def steps(plan: StackPlan) -> list[str]:
    """The steps that do something, as `build agent: reason`."""
    return [f"{step.kind.value} {step.subject}: {step.reason}" for step in plan.steps if step.kind != StepKind.LEAVE]


def changed(name: str, **fields: Any) -> Snapshot:
    """The running stack with another build of one service."""
    return replace(RUNNING, builds={**RUNNING.builds, name: replace(RUNNING.builds[name], **fields)})


def without(name: str) -> Snapshot:
    """The running stack without the containers of one service."""
    return replace(RUNNING, containers={key: value for key, value in RUNNING.containers.items() if key != name})


def test_what_runs_as_the_files_say_is_left_alone() -> None:
    plan = plan_stack(STACK, RUNNING)
    assert not plan.changes
    assert [step.subject for step in plan.steps] == ["cache", "agent", "web"]
    assert plan.findings == []


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({**FILES, "requirements.txt": "3"}, "agent/requirements.txt changed"),
        ({**FILES, "new.py": "3"}, "agent/new.py is new"),
        ({"main.py": "1"}, "agent/requirements.txt is gone"),
        ({str(n): "x" for n in range(5)}, "agent/0 is new, agent/1 is new, agent/2 is new, 4 more files"),
    ],
)
def test_a_changed_file_builds_one_image_and_replaces_one_container(files: dict[str, str], reason: str) -> None:
    plan = plan_stack(STACK, changed("agent", fingerprint=Fingerprint(parts=PARTS, files=files)))
    assert steps(plan) == [f"build agent: {reason}", "replace agent: its image is built again"]


def test_on_a_machine_that_did_not_build_it_the_files_have_no_names() -> None:
    other = Fingerprint(parts=PARTS, files={**FILES, "main.py": "3"})
    plan = plan_stack(STACK, changed("agent", fingerprint=other, built_files=None))
    assert steps(plan)[0] == "build agent: files in agent/ changed"
    assert not plan_stack(STACK, changed("agent", built_files=None)).changes


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({**PARTS, "Dockerfile": "x"}, "Dockerfile changed"),
        ({**PARTS, "argument MODE": "x"}, "argument MODE is new"),
        ({**PARTS, "base image xaiva/env:latest": "q"}, "base image xaiva/env:latest changed"),
        ({**PARTS, "builder": "c"}, "builder changed"),
    ],
)
def test_another_part_of_the_build_is_named(parts: dict[str, str], reason: str) -> None:
    plan = plan_stack(STACK, changed("web", fingerprint=Fingerprint(parts=parts, files=FILES)))
    assert steps(plan)[0] == f"build web: {reason}"


def test_an_image_that_xaiva_did_not_build_is_built() -> None:
    images = {**RUNNING.images, "shop-agent": ImageState("a")}
    assert steps(plan_stack(STACK, replace(RUNNING, images=images)))[0].startswith(
        "build agent: its image was not built"
    )


def test_a_preset_that_is_built_again_rebuilds_exactly_its_users() -> None:
    to_do = (*DONE[:2], UpStep(name="build", done=False, text="the lock changed"))
    builds = {**RUNNING.builds, "web": replace(RUNNING.builds["web"], bases=())}
    plan = plan_stack(STACK, replace(RUNNING, presets={**RUNNING.presets, "env": to_do}, builds=builds))
    assert steps(plan) == [
        "build env: the lock changed",
        "build agent: env is built again",
        "replace agent: its image is built again",
    ]
    assert [step.is_preset for step in plan.steps if step.kind is StepKind.BUILD] == [True, False]


def test_the_preset_of_a_service_replaces_its_container() -> None:
    to_do = tuple(UpStep(name=name, done=False, text="there is no lock yet") for name in ("lock", "sync", "build"))
    plan = plan_stack(STACK, replace(RUNNING, presets={**RUNNING.presets, "redis": to_do}))
    assert [line.partition(":")[0] for line in steps(plan)] == [
        "lock redis",
        "sync redis",
        "build redis",
        "replace cache",
    ]


@pytest.mark.parametrize(
    ("entry", "step"),
    [
        (container("agent", "older"), "replace agent: the engine has a newer image shop-agent"),
        (container("agent", "a", config_hash="x"), "replace agent: its configuration changed"),
        (
            container("agent", "a", state=ContainerState.EXITED, exit_code=3),
            "start agent: it is exited with code 3",
        ),
        (
            container("agent", "a", state=ContainerState.EXITED, exit_code=137, oom_killed=True),
            "start agent: it is out of memory with code 137",
        ),
        (container("agent", "a", state=ContainerState.CREATED), "start agent: it was created and never started"),
        (container("agent", "a", state=ContainerState.PAUSED), "restart agent: it is paused"),
        (container("agent", "a", state=ContainerState.RESTARTING), "restart agent: it ends again and again"),
        (container("agent", "a", health=ContainerHealth.UNHEALTHY), "restart agent: its health check fails"),
        (
            container("agent", "a", health=ContainerHealth.STARTING),
            "start agent: it runs, and its health check has not passed yet",
        ),
    ],
)
def test_a_container_that_is_not_as_it_should_be(entry: Container, step: str) -> None:
    plan = plan_stack(STACK, replace(RUNNING, containers={**RUNNING.containers, "agent": (entry,)}))
    assert steps(plan) == [step]


def with_service(name: str, **fields: Any) -> Stack:
    """The stack with other fields of one service."""
    return replace(STACK, services={**STACK.services, name: replace(STACK.services[name], **fields)})


def test_a_job_that_has_ended_well_is_left_alone_only_where_another_waits_for_its_end() -> None:
    ended = container("agent", "a", state=ContainerState.EXITED, exit_code=0)
    snapshot = replace(RUNNING, containers={**RUNNING.containers, "agent": (ended,)})
    awaited = with_service("web", depends_on={"agent": Dependency("service_completed_successfully")})
    assert steps(plan_stack(awaited, snapshot)) == []
    assert steps(plan_stack(STACK, snapshot)) == ["start agent: it is exited with code 0"]


def test_what_a_replaced_service_takes_along() -> None:
    snapshot = changed("agent", fingerprint=Fingerprint(parts=PARTS, files={}))
    asks = with_service("web", depends_on={"agent": Dependency("service_started", restart=True)})
    assert steps(plan_stack(asks, snapshot))[-1] == "restart web: it asks to start again with agent"
    shares = with_service("web", resolved={"network_mode": "service:agent"})
    assert steps(plan_stack(shares, snapshot))[-1].startswith("replace web: it uses a part of agent")
    stopped = container("agent", "a", state=ContainerState.EXITED, exit_code=1)
    again = replace(
        RUNNING, containers={**RUNNING.containers, "agent": (stopped,)}, shared_hashes={"web": "hash of web"}
    )
    assert steps(plan_stack(shares, again))[-1].startswith("restart web: it uses a part of agent")
    gone = replace(RUNNING, shared_hashes={"web": "another"})
    assert steps(plan_stack(shares, gone)) == ["replace web: its configuration changed"]


@pytest.mark.parametrize(
    ("fields", "order"),
    [
        ({}, ""),
        (
            {"ports": (ContainerPort(container_port=80, host_port=8080),)},
            "the old container stops first, because both wou",
        ),
        ({"gpus": GpuRequest(1)}, "the old container stops first, because both would need VRAM"),
        (
            {"volumes": (VolumeUse("volume", "data", "/d"),)},
            "the old container stops first, because both would write to",
        ),
        ({"volumes": (VolumeUse("volume", "data", "/d", True),)}, ""),
        (
            {"volumes": (VolumeUse("volume", "", "/cache"),)},
            "the new container takes the place of the old one, because its",
        ),
        ({"resolved": {"container_name": "one"}}, "the new container takes the place of the old one, because both"),
        (
            {"resolved": {"networks": {"n": {"ipv4_address": "10.0.0.9"}}}},
            "the new container takes the place of the old",
        ),
    ],
)
def test_the_order_of_a_replacement_is_in_the_plan(fields: dict[str, Any], order: str) -> None:
    snapshot = changed("agent", fingerprint=Fingerprint(parts=PARTS, files={}))
    step = plan_stack(with_service("agent", **fields), snapshot).steps[-2]
    assert (step.kind, step.subject) == (StepKind.REPLACE, "agent")
    assert step.order.startswith(order)
    assert bool(step.order) == bool(order)
    assert step.recreate == step.order.startswith("the new")


def test_a_volume_of_the_image_without_a_name_is_one_too() -> None:
    images = {**RUNNING.images, "shop-agent": ImageState("b", labelled(WELL), volumes=("/var/lib/data",))}
    snapshot = replace(RUNNING, images=images)
    assert plan_stack(STACK, snapshot).steps[1].recreate
    named = with_service("agent", volumes=(VolumeUse("volume", "data", "/var/lib/data/"),))
    assert not plan_stack(named, snapshot).steps[1].recreate


def test_containers_are_counted() -> None:
    two = (container("agent", "a"), container("agent", "a", id="2", state=ContainerState.CREATED))
    snapshot = replace(RUNNING, containers={**RUNNING.containers, "agent": two})
    assert steps(plan_stack(STACK, snapshot)) == [
        "replace agent: it has 2 containers in place of 1: shop-agent-1 is running, shop-agent-1 is created"
    ]
    assert steps(plan_stack(with_service("agent", scale=3), RUNNING)) == ["create agent: it has 1 of 3 containers"]
    assert steps(plan_stack(with_service("agent", scale=0), RUNNING)) == []
    cut = plan_stack(STACK, replace(RUNNING, interrupted=frozenset({"agent"})))
    assert steps(cut) == ["replace agent: its replacement was interrupted"]
    assert cut.steps[1].recreate


def test_a_context_with_those_of_others_in_it_is_a_note() -> None:
    root = BuildSection(FOLDER, FOLDER / "Dockerfile")
    files = Fingerprint(parts=PARTS, files={"agent/main.py": "1"})
    snapshot = changed("web", fingerprint=files, built_files=None)
    found = [
        one for one in plan_stack(with_service("web", build=root), snapshot).findings if one.code == "context-shared"
    ]
    assert [one.why for one in found] == ["every change of agent builds it again, because its context has their files"]


def test_what_cannot_work_offline_stops_the_plan() -> None:
    finding = Finding.error("stack-offline", "services.web.pull_policy", "'always' asks a registry", "")
    assert plan_stack(STACK, replace(RUNNING, findings={"web": (finding,)})).errors() == [finding]
    assert plan_stack(STACK, replace(RUNNING, findings={"tool": (finding,)})).errors() == []


def test_those_of_a_profile_start_only_when_they_are_named() -> None:
    assert steps(plan_stack(STACK, RUNNING, ["tool"])) == ["create tool: it has no container"]


def test_one_service_takes_along_what_it_depends_on() -> None:
    plan = plan_stack(STACK, replace(RUNNING, containers={}), ["agent"])
    assert [step.subject for step in plan.steps] == ["cache", "agent"]


def test_a_missing_ready_made_image_is_an_error() -> None:
    ready = service("cache", image="redis:7", origin=ImageOrigin.READY, build=None)
    stack = replace(STACK, services={**STACK.services, "cache": ready})
    plan = plan_stack(stack, RUNNING)
    assert [finding.code for finding in plan.errors()] == ["image-missing"]
    assert "redis:7" in plan.errors()[0].why


def test_a_missing_base_image_is_an_error_unless_a_preset_makes_it() -> None:
    found = plan_stack(STACK, changed("web", bases=("python:3.11", "xaiva/env:latest")))
    assert [finding.why for finding in found.errors()] == ["the engine has no base image python:3.11"]
    images = {key: value for key, value in RUNNING.images.items() if key != "xaiva/env:latest"}
    assert plan_stack(STACK, replace(RUNNING, images=images)).errors() == []


def test_a_context_that_cannot_be_read_is_an_error_of_its_service() -> None:
    broken = BuildState(error=InputError("/site/x/Dockerfile", "No such file", "write it"))
    plan = plan_stack(STACK, replace(RUNNING, builds={**RUNNING.builds, "web": broken}))
    assert [finding.what for finding in plan.errors()] == ["/site/x/Dockerfile"]


def test_a_taken_port_is_an_error_of_what_has_to_start() -> None:
    taken = {"agent": ("8001/tcp is used by process nc (pid 7)",)}
    found = plan_stack(STACK, replace(without("agent"), taken_ports=taken)).errors()
    assert [finding.why for finding in found] == ["port 8001/tcp is used by process nc (pid 7)"]
    assert plan_stack(STACK, replace(RUNNING, taken_ports=taken)).errors() == []


def test_the_container_of_a_removed_service_is_a_note_and_no_change() -> None:
    containers = {**RUNNING.containers, "old": (container("old", "o"),)}
    plan = plan_stack(STACK, replace(RUNNING, containers=containers))
    assert not plan.changes
    assert [(finding.code, finding.level.value) for finding in plan.findings] == [("leftover", "note")]


def test_each_step_names_the_command_that_does_it_by_hand() -> None:
    plan = plan_stack(STACK, without("agent"))
    words = next(step.command for step in plan.steps if step.subject == "agent")
    assert words[:4] == ["docker", "compose", "--file", "/site/stacks/shop/compose.yaml"]
    assert words[4:] == ["up", "--detach", "--no-recreate", "--no-build", "--pull", "never", "agent"]


def test_a_build_by_hand_is_the_one_that_up_runs_without_its_secrets() -> None:
    section = BuildSection(
        FOLDER / "agent", FOLDER / "agent/Dockerfile", "final", {"MODE": "fast", "TOKEN": "not-to-be-shown"}
    )
    agent = service("agent", build=section)
    stack = replace(STACK, services={**STACK.services, "agent": agent})
    snapshot = replace(changed("agent", fingerprint=Fingerprint(parts=PARTS, files={})), builder="site-2")
    plan = plan_stack(stack, snapshot)
    words = next(step.command for step in plan.steps if step.kind is StepKind.BUILD)
    request = build_request(agent, Fingerprint(parts=PARTS, files={}), "site-2")
    assert words == [word.replace("not-to-be-shown", "***") for word in build_command(request)]
    assert words[:7] == ["docker", "buildx", "build", "--builder", "site-2", "--network", "none"]
    assert "--build-arg MODE=fast --build-arg TOKEN=***" in " ".join(words)
