"""The steps that follow from what is known of a site."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core.api_schema import CameraStatus, ServiceStatus
from core.containers.model import Container, ContainerState
from core.engine import INSTALL_REMEDY
from core.errors import XaivaError
from core.first_steps.facts import Answer, Facts, ImageFacts, LockFacts, PresetFacts
from core.first_steps.steps import Step, all_done, first_steps, next_step
from core.operations.model import OperationFailure, OperationState
from core.service_client import NoService
from tests.tui.sample_site import operation

SITE = "/srv/site"
NO_ENGINE = XaivaError("Docker engine", "the socket does not exist", "start it")
BROKEN = XaivaError("lock.json", "it is not JSON", "restore the file")
LOCKED = LockFacts("aa" * 32, files=3)
BUILT = ImageFacts(True, "aa" * 32)


def container(**changes: Any) -> Container:
    fields = {"id": "c" * 64, "name": "xaiva-small", "image": "", "image_id": "", "state": ContainerState.RUNNING}
    return Container(**{**fields, "status": "", "preset": "small", "site": SITE, **changes})


def service(*cameras: str) -> Answer[ServiceStatus]:
    seen = [CameraStatus.model_construct(id=camera) for camera in cameras]
    return Answer(ServiceStatus.model_construct(cameras=seen))


def facts(
    containers: Answer[Any] | None = None,
    service: Answer[ServiceStatus] | None = None,
    preset: Answer[PresetFacts] | None = None,
    **of_preset: Any,
) -> Facts:
    """A site with an engine, one preset and nothing else, but for what is given."""
    fields = {"lock": Answer(LockFacts()), "image": Answer(ImageFacts()), "operations": Answer([]), **of_preset}
    known = PresetFacts("small", "you chose it", **fields)
    return Facts(
        SITE,
        Answer([]) if containers is None else containers,
        Answer(known) if preset is None else preset,
        Answer(error=NoService("Inference service", "nothing answers")) if service is None else service,
    )


def states(given: Facts) -> str:
    """The states of the seven steps, by their first letters; a failed step and an unknown one in capitals."""
    letters = {"failed": "F", "unknown": "U"}
    return "".join(letters.get(step.state.value, step.state.value[0]) for step in first_steps(given))


def step(given: Facts, name: str) -> Step:
    return next(one for one in first_steps(given) if one.name == name)


def on(kind: str, state: OperationState, **more: Any) -> dict[str, Any]:
    """A preset with an operation on it."""
    return {"operations": Answer([operation(7, kind, "small", state, 5, **more)])}


HERE = {"lock": Answer(LOCKED)}
PARTLY = {"lock": Answer(LockFacts("aa" * 32, files=3, missing_files=2, missing_bytes=5_000_000))}
IN_ENGINE = {**HERE, "image": Answer(BUILT)}
FAILURE = OperationFailure(what="lock of small", why="no network", remedy="plug it in")
RUNS = Answer([container()])
ENDED = Answer([container(state=ContainerState.EXITED, exit_code=3)])
STOPPED = Answer([container(state=ContainerState.EXITED, exit_code=0)])
ELSEWHERE = Answer([container(site="/other")])


@pytest.mark.parametrize(
    ("given", "expected"),
    [  # engine, preset, lock, sync, build, launch, camera
        (facts(containers=Answer(error=NO_ENGINE)), "ndwwUUw"),
        (facts(containers=Answer()), "UdwwUUw"),
        (facts(preset=Answer(PresetFacts(reason="no preset yet"))), "dnwwwww"),
        (facts(preset=Answer(error=BROKEN)), "dUUUUUw"),
        (facts(), "ddnwwww"),
        (facts(problem=BROKEN), "dFwwwww"),
        (facts(lock=Answer(error=BROKEN)), "ddUUwww"),
        (facts(**PARTLY), "dddnwww"),
        (facts(lock=Answer(LockFacts("aa" * 32, stale=True, files=3))), "ddnwwww"),
        (facts(**HERE), "ddddnww"),
        (facts(**HERE, image=Answer(ImageFacts(True, "bb" * 32))), "ddddnww"),
        (facts(**HERE, image=Answer(error=NO_ENGINE)), "ddddUww"),
        (facts(**IN_ENGINE), "dddddnw"),
        (facts(image=Answer(BUILT)), "ddwwdnw"),  # an image that was loaded needs no lock
        (facts(**IN_ENGINE, containers=ELSEWHERE), "dddddnw"),
        (facts(**IN_ENGINE, containers=RUNS), "ddddddU"),  # its service starts
        (facts(**IN_ENGINE, containers=RUNS, has_service=False), "ddddddd"),  # it will never have a camera
        (facts(**IN_ENGINE, has_service=False), "dddddnw"),
        (facts(containers=RUNS, service=service()), "ddwwwdn"),  # what runs needs nothing that comes before it
        (facts(**IN_ENGINE, containers=ENDED), "dddddFw"),
        (facts(**IN_ENGINE, containers=STOPPED), "dddddnw"),
        (facts(**IN_ENGINE, containers=RUNS, service=service("gate")), "ddddddd"),
        (facts(containers=Answer(error=NO_ENGINE), service=service("gate")), "wdwwUdd"),  # a service on another host
        (facts(**IN_ENGINE, containers=RUNS, service=Answer(error=BROKEN)), "ddddddU"),
        (facts(**IN_ENGINE, containers=RUNS, service=service()), "ddddddn"),
    ],
)
def test_the_states(given: Facts, expected: str) -> None:
    assert states(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (facts(**on("lock", OperationState.RUNNING)), "ddrwwww"),
        (facts(**on("lock", OperationState.FAILED, failure=FAILURE)), "ddFwwww"),
        (facts(**on("lock", OperationState.CRASHED)), "ddFwwww"),
        (facts(**on("lock", OperationState.CANCELLED)), "ddnwwww"),
        (facts(**HERE, **on("lock", OperationState.FAILED, failure=FAILURE)), "ddddnww"),  # the old lock is whole
        (facts(**HERE, **on("lock", OperationState.RUNNING)), "ddrdnww"),
        (facts(**PARTLY, **on("up", OperationState.RUNNING)), "dddrwww"),
        (facts(**IN_ENGINE, **on("up", OperationState.FAILED, failure=FAILURE)), "dddddFw"),
        (facts(operations=Answer(error=BROKEN)), "ddUUUww"),
        (facts(**HERE, operations=Answer(error=BROKEN)), "ddddUww"),
    ],
)
def test_the_states_with_operations(given: Facts, expected: str) -> None:
    assert states(given) == expected


def test_a_step_says_how_far_it_is_and_what_does_it() -> None:
    running = step(facts(**on("lock", OperationState.RUNNING), progress="Resolve 40 %"), "lock")
    assert (running.what, running.operation) == ("operation 7: Resolve 40 %", 7)
    failed = step(facts(**on("lock", OperationState.FAILED, failure=FAILURE)), "lock")
    assert (failed.what, failed.remedy) == ("operation 7 failed: lock of small: no network", "plug it in")
    crash = OperationFailure(what="lock small crashed", why="its process is gone; its last output:\nGet:1\nGet:2")
    crashed = step(facts(**on("lock", OperationState.CRASHED, failure=crash)), "lock")
    assert crashed.what == "operation 7 crashed: its process is gone"
    assert step(facts(**PARTLY), "sync").what == "2 of 3 files are missing, 5 MB"
    build = step(facts(**HERE), "build")
    assert (build.what, build.commands) == ("no image yet", ("xaiva build small",))
    assert step(facts(), "build").what == "after the files"
    ended = step(facts(**IN_ENGINE, containers=ENDED), "launch")
    assert (ended.what, ended.commands) == ("xaiva-small is exited with code 3", ("xaiva launch small --replace",))
    engine = step(facts(containers=Answer(error=NO_ENGINE)), "engine")
    assert (engine.what, engine.remedy) == ("the socket does not exist", "start it")
    absent = replace(
        facts(containers=Answer(error=XaivaError("Engine", "gone", INSTALL_REMEDY))), install=("dnf install x",)
    )
    assert (step(absent, "engine").remedy, step(absent, "engine").commands) == ("", ("dnf install x",))


def test_what_is_next_and_when_all_is_done() -> None:
    ready = first_steps(facts(**IN_ENGINE, containers=RUNS, service=service("gate")))
    assert (next_step(ready), all_done(ready)) == (None, True)
    unknown = first_steps(facts(**IN_ENGINE, containers=RUNS, service=Answer(error=BROKEN)))
    waiting = next_step(unknown)
    assert waiting is not None
    assert (waiting.name, all_done(unknown)) == ("camera", False)
