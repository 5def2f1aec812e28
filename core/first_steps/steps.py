"""The first steps of a site as a pure function of what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from core import labels
from core.errors import XaivaError
from core.first_steps.facts import Answer, Facts, LockFacts, PresetFacts
from core.operations.model import Operation, OperationState
from core.service_client import NoService

ASKING = "no answer yet"
UP_STEPS = ("lock", "sync", "build", "launch")  # the steps that one operation, `up`, does at once
KINDS: dict[str, tuple[str, ...]] = {"lock": ("lock",), "sync": ("sync",), "build": ("build", "load"), "launch": ()}
MAKES = {"lock": "lock", "sync": "files", "build": "image", "launch": "container", "camera": "camera"}
COMES_AFTER = {
    "lock": "a preset",
    "sync": "the lock",
    "build": "the files",
    "launch": "the image",
    "camera": "the launch",
}


class StepState(str, Enum):
    """The state of a step.

    NEXT: it is the one to do now. WAITING: another one comes first. RUNNING, FAILED: so says its newest operation.
    UNKNOWN: what it depends on could not be asked, or has not answered yet.
    """

    DONE = "done"
    NEXT = "next"
    WAITING = "waiting"
    RUNNING = "running"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Step:
    """One step on the way to a live camera."""

    name: str
    """`engine`, `preset`, `lock`, `sync`, `build`, `launch` or `camera`."""
    state: StepState
    what: str
    """How far it is, in one line."""
    detail: str = ""
    """What else is known about why it is so."""
    remedy: str = ""
    """What to do about a failure whose cause was found."""
    commands: Sequence[str] = ()
    """The command lines that do it; empty when there is nothing to do."""
    operation: int = 0
    """The id of the operation that is running or has failed; 0 for none."""

    @property
    def title(self) -> str:
        """Its name as a title."""
        return self.name.capitalize()


def first_steps(facts: Facts) -> list[Step]:
    """The steps in order. At most one is NEXT."""
    preset = facts.preset.value or PresetFacts()
    operated = (_lock(facts, preset), _sync(facts, preset), _build(facts, preset))
    launch = _launch(facts, preset)
    camera = _camera(facts, preset, launched=launch.state is StepState.DONE)
    steps = _with_operations([_engine(facts), _preset(facts, preset), *operated, launch, camera], preset)
    following = _following(steps)
    return [_told_apart(step, step is following) if step.state is StepState.NEXT else step for step in steps]


def next_step(steps: Sequence[Step]) -> Step | None:
    """The step that needs somebody now: the next one, else one that failed, is unknown or is running."""
    order = (StepState.NEXT, StepState.FAILED, StepState.UNKNOWN, StepState.RUNNING)
    return next((step for state in order for step in steps if step.state is state), None)


def all_done(steps: Sequence[Step]) -> bool:
    """Whether the goal is reached: the service has a camera, or the container that runs has no service."""
    return steps[-1].state is StepState.DONE


def _told_apart(step: Step, is_next: bool) -> Step:
    """An open step: the next one, or one that waits for another. Each says what it lacks."""
    if is_next:
        return replace(step, what=step.what or f"no {MAKES[step.name]} yet")
    return replace(step, state=StepState.WAITING, what=step.what or f"after {COMES_AFTER[step.name]}")


def _following(steps: Sequence[Step]) -> Step | None:
    """The step that is to be done now. What a later step has made needless is passed over: a container that runs needs
    no lock, and an image no files. Nothing works without an engine and a preset."""
    done = [number for number, step in enumerate(steps) if step.state is StepState.DONE]
    engine, preset, launch = 0, 1, len(steps) - 2
    if launch not in done:
        for number in (engine, preset):
            if number not in done:
                return steps[number]
    return next((step for step in steps[max(done, default=-1) + 1 :] if step.state is not StepState.DONE), None)


# -- each step: DONE, UNKNOWN, FAILED, or NEXT when it is open ---------------------------------------------------------


def _engine(facts: Facts) -> Step:
    if facts.containers.value is not None:
        return Step("engine", StepState.DONE, "the Docker engine answers")
    error = facts.containers.error
    if error is None:
        return Step("engine", StepState.UNKNOWN, ASKING)
    what, detail = (error.why, error.what) if error.why else (error.what, "")
    remedy = "" if facts.install else error.remedy  # the commands say more
    return Step("engine", StepState.NEXT, what, detail, remedy, facts.install or ("xaiva doctor --fix",))


def _preset(facts: Facts, preset: PresetFacts) -> Step:
    if (unknown := _unknown("preset", facts.preset)) is not None:
        return unknown
    if not preset.name:
        command = "xaiva preset suggest" if preset.gpu else "xaiva preset new NAME"
        return Step("preset", StepState.NEXT, preset.reason, commands=(command,))
    if preset.problem is not None:
        problem = preset.problem
        what = f"{preset.name} will not work: {problem.what}"
        return Step(
            "preset", StepState.FAILED, what, problem.why, problem.remedy, (f"xaiva preset check {preset.name}",)
        )
    return Step("preset", StepState.DONE, f"{preset.name}: {preset.reason}")


def _lock(facts: Facts, preset: PresetFacts) -> Step:
    command = f"xaiva lock {preset.name}"
    if (other := _before_lock("lock", facts, preset)) is not None:
        return other
    lock = preset.lock.value or LockFacts()
    if not lock.sha256:
        return Step("lock", StepState.NEXT, "no lock yet", commands=(command,))
    if lock.stale:
        return Step("lock", StepState.NEXT, "the preset has changed since it was locked", commands=(command,))
    return Step("lock", StepState.DONE, f"{_files(lock.files)} locked")


def _sync(facts: Facts, preset: PresetFacts) -> Step:
    if (other := _before_lock("sync", facts, preset)) is not None:
        return other
    lock, command = preset.lock.value or LockFacts(), f"xaiva sync {preset.name}"
    if not lock.sha256 or lock.stale:
        return Step("sync", StepState.NEXT, "", commands=(command,))
    if lock.missing_files:
        what = f"{lock.missing_files} of {_files(lock.files)} are missing, {lock.missing_bytes / 1e6:.0f} MB"
        return Step("sync", StepState.NEXT, what, commands=(command,))
    return Step("sync", StepState.DONE, f"{_files(lock.files)} here")


def _build(facts: Facts, preset: PresetFacts) -> Step:
    if (other := _on_preset("build", facts, preset) or _without_engine("build", facts)) is not None:
        return other
    if (unknown := _unknown("build", preset.image)) is not None:
        return unknown
    image, lock = preset.image.value, preset.lock.value
    command = f"xaiva build {preset.name}"
    if image is None or not image.exists:
        return Step("build", StepState.NEXT, "", commands=(command,))
    if lock is not None and lock.sha256 and (lock.stale or image.lock_sha256 != lock.sha256):
        return Step("build", StepState.NEXT, "the image was built from an older lock", commands=(command,))
    return Step("build", StepState.DONE, f"the engine has {labels.image_tag(preset.name)}")


def _launch(facts: Facts, preset: PresetFacts) -> Step:
    ours = [one for one in facts.containers.value or () if one.preset == preset.name and one.site == facts.site]
    running = next((one for one in ours if one.running), None)
    if running is not None and preset.name:
        return Step("launch", StepState.DONE, f"{running.name} is running")
    if facts.service.value is not None:
        return Step("launch", StepState.DONE, "the inference service answers")
    if (other := _on_preset("launch", facts, preset) or _without_engine("launch", facts)) is not None:
        return other
    command = f"xaiva launch {preset.name}"
    if ours:
        ended = ours[0]
        code = f" with code {ended.exit_code}" if ended.exit_code else ""
        what, command = f"{ended.name} is {ended.condition}{code}", f"{command} --replace"
        state = StepState.FAILED if ended.exit_code or ended.oom_killed else StepState.NEXT
        return Step("launch", state, what, remedy=f"see its log: xaiva logs {ended.name}", commands=(command,))
    return Step("launch", StepState.NEXT, "", commands=(command,))


def _camera(facts: Facts, preset: PresetFacts, launched: bool) -> Step:
    command = "xaiva camera add NAME SOURCE"
    if facts.service.value is not None:
        count = len(facts.service.value.cameras)
        if count:
            return Step("camera", StepState.DONE, f"the service has {count} camera{'s' if count > 1 else ''}")
        return Step("camera", StepState.NEXT, "the service has no camera yet", commands=(command,))
    if isinstance(facts.service.error, NoService):
        if launched and not preset.has_service:
            return Step("camera", StepState.DONE, f"none is needed: {preset.name} has no inference service")
        if not launched:
            return Step("camera", StepState.NEXT, "", commands=(command,))
    return _unknown("camera", facts.service) or Step("camera", StepState.UNKNOWN, ASKING)


# -- what several steps share ------------------------------------------------------------------------------------------


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def _unknown(name: str, answer: Answer[Any]) -> Step | None:
    """The step when its source failed or has not answered yet; None when it answered."""
    if answer.value is not None:
        return None
    error = answer.error or XaivaError(ASKING)
    return Step(name, StepState.UNKNOWN, error.summary, remedy=error.remedy)


def _on_preset(name: str, facts: Facts, preset: PresetFacts) -> Step | None:
    """The step while no preset is known that it could be for."""
    if facts.preset.value is None:
        return _unknown(name, facts.preset)
    return None if preset.name else Step(name, StepState.NEXT, "")


def _before_lock(name: str, facts: Facts, preset: PresetFacts) -> Step | None:
    """The step while its preset or lock is not known."""
    return _on_preset(name, facts, preset) or _unknown(name, preset.lock)


def _without_engine(name: str, facts: Facts) -> Step | None:
    """The step while the engine does not answer, which alone knows images and containers."""
    if facts.containers.value is not None:
        return None
    return Step(name, StepState.UNKNOWN, "the engine does not answer" if facts.containers.error else ASKING)


def _with_operations(steps: Sequence[Step], preset: PresetFacts) -> list[Step]:
    """The steps with what their newest operation says: that it runs, has failed, or is not known.

    `up` is about the first step that it has not done yet.
    """
    first_open = next((step for step in steps if step.name in UP_STEPS and step.state is not StepState.DONE), None)
    return [
        _with_operation(step, preset, (*KINDS[step.name], "up") if step is first_open else KINDS[step.name])
        if preset.name and step.name in UP_STEPS
        else step
        for step in steps
    ]


def _with_operation(step: Step, preset: PresetFacts, kinds: tuple[str, ...]) -> Step:
    if preset.operations.error is not None:
        return step if step.state is StepState.DONE or not kinds else _unknown(step.name, preset.operations) or step
    newest = next((one for one in preset.operations.value or () if one.kind in kinds), None)
    if newest is None:
        return step
    title = f"operation {newest.id}"
    if newest.state.live:
        what = f"{title}: {preset.progress or newest.state.word}"
        return replace(
            step, state=StepState.RUNNING, what=what, commands=(f"xaiva ops follow {newest.id}",), operation=newest.id
        )
    if step.state is StepState.DONE:
        return step
    if newest.state in (OperationState.FAILED, OperationState.CRASHED):
        return _failed(step, newest, title)
    if newest.state is OperationState.CANCELLED:
        return replace(step, what=f"{title} was cancelled")
    return step


def _failed(step: Step, operation: Operation, title: str) -> Step:
    failure = operation.failure
    outcome = f"{title} {operation.state.word}"
    ended = f"{operation.title()} {operation.state.word}: "  # how a crash begins; said already
    return Step(
        step.name,
        StepState.FAILED,
        f"{outcome}: {failure.headline.removeprefix(ended)}" if failure else outcome,
        remedy=failure.remedy if failure else "",
        commands=(f"xaiva ops show {operation.id}",),
        operation=operation.id,
    )
