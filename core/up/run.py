"""Runs `up`: each step that is not done, through the function of its own operation, with all stages in one tree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pydantic import JsonValue

from core import labels
from core.artifacts import lock, sync
from core.artifacts.lock_store import read_locked_preset
from core.containers.launch import launch
from core.errors import Cancelled, XaivaError
from core.images import build, build_checks
from core.presets.store import load_named
from core.progress import OUTCOME, Progress, Stage, StageState, stage
from core.site import Site
from core.up.plan import Planner, UpRequest, check_plan, plan_up

Result = dict[str, JsonValue]


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Lock, sync, build and launch the preset `subject`, without the steps whose result is there already.

    Options: `replace` and `create_folders`, as for a launch. The outcome: `container`, its `status`, `image`, `skipped`
    (names of steps) and `findings` of the steps. Raises ChecksFailed before the first step when one of them cannot
    work; the error of a step, which then names it; Cancelled.
    """
    request = UpRequest(
        site, subject, replace=bool(options.get("replace")), create_folders=bool(options.get("create_folders"))
    )
    check_plan(plan_up(request))
    for name in _RUNNERS:
        progress.stage(Stage(id=name, title=name))
    skipped: list[JsonValue] = []
    results: dict[str, Result] = {}
    for name, run_step in _RUNNERS.items():
        with _naming_step(name, subject):
            step = Planner(request).steps()[name]()
            if step.done:
                now = time.time()
                skip = Stage(id=name, title=name, state=StageState.CACHED, detail=step.text, started=now, ended=now)
                progress.stage(skip)
                skipped.append(name)
                continue
            with stage(progress, name, name):
                results[name] = run_step(request, StepProgress(progress, name))
    return {
        "container": labels.container_name(subject),
        "image": labels.image_tag(subject),
        **results.pop("launch", {}),
        "skipped": skipped,
        "findings": _without_repetition(results),
    }


class StepProgress:
    """A `Progress` that hangs the stages and log lines of one step below the stage of that step."""

    def __init__(self, progress: Progress, step: str) -> None:
        self._progress = progress
        self._step = step

    def stage(self, stage: Stage) -> None:
        """Pass the stage on with an id that no other step has."""
        parent = self._id(stage.parent) if stage.parent else self._step
        self._progress.stage(stage.model_copy(update={"id": self._id(stage.id), "parent": parent}))

    def log(self, line: str, stage: str = "") -> None:
        """Pass the line on. Lines of the outcome are shown at once: the outcome of `up` does not repeat them."""
        self._progress.log(line, self._step if stage in ("", OUTCOME) else self._id(stage))

    def cancelled(self) -> bool:
        """Whether the work should stop now."""
        return self._progress.cancelled()

    def _id(self, stage: str) -> str:
        return f"{self._step}.{stage}"


def run_lock(request: UpRequest, progress: Progress) -> Result:
    """Lock, and refuse a lock that the build would refuse, before the sync fetches its files."""
    result = lock.run(request.site, request.name, {}, progress)
    locked = read_locked_preset(request.site, request.name)
    build_checks.check_complete(locked)
    build_checks.check_compatibility(locked)
    return result


def run_sync(request: UpRequest, progress: Progress) -> Result:
    return sync.run(request.site, request.name, {}, progress)


def run_build(request: UpRequest, progress: Progress) -> Result:
    return build.run(request.site, request.name, {}, progress)


def _run_launch(request: UpRequest, _progress: Progress) -> Result:
    preset = load_named(request.site, request.name)
    container = launch(
        request.site, request.name, preset, replace=request.replace, create_folders=request.create_folders
    )
    return {"container": container.name, "image": container.image, "status": container.status}


_RUNNERS: dict[str, Callable[[UpRequest, Progress], Result]] = {
    "lock": run_lock,
    "sync": run_sync,
    "build": run_build,
    "launch": _run_launch,
}


@contextmanager
def _naming_step(step: str, preset: str) -> Iterator[None]:
    """Let an error inside the block name the step, and say how to continue."""
    try:
        yield
    except Cancelled:
        raise
    except XaivaError as error:
        error.what = f"{step}: {error.what}"
        error.remedy = "; ".join(filter(None, (error.remedy, f"then continue: xaiva up {preset}")))
        raise


def _without_repetition(results: Mapping[str, Result]) -> list[JsonValue]:
    """The findings of all steps; several steps may have the same one."""
    found: list[JsonValue] = []
    for result in results.values():
        findings = result.get("findings")
        found += [finding for finding in findings if finding not in found] if isinstance(findings, list) else []
    return found
