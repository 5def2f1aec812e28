"""What `up` would do: for each step whether its result is there already, and what would stop it.

The plan changes nothing and uses no network. Each step is judged as if the steps before it had succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from core import labels
from core.artifacts.lock_store import LockedPreset, find_lock, lock_sha256
from core.artifacts.lockfile import Lock
from core.artifacts.sync_plan import SyncPlan, check_space, prepare_sync, summarize
from core.artifacts.verification_cache import VerificationCache
from core.containers.launch import check_launch, current_container
from core.engine import connect_engine, docker_environment
from core.engine_image import image_labels, inspect_image
from core.errors import ChecksFailed, XaivaError
from core.findings import Finding, Level, describe_errors, has_errors
from core.images import build_checks
from core.images.engine_space import check_build_space
from core.images.render import stage_names
from core.presets.model import Preset
from core.presets.store import load_named, preset_sha256
from core.progress import NullProgress
from core.site import Site

if TYPE_CHECKING:
    import docker


class UpStep(BaseModel):
    """One step of a plan."""

    model_config = ConfigDict(frozen=True)

    name: str
    """`lock`, `sync`, `build` or `launch`."""
    done: bool
    """Whether its result is there already, so that `up` skips it."""
    text: str
    """What is there, or what the step will do."""
    findings: list[Finding] = []
    """What would stop it, as far as that is known before the steps ahead of it have run."""


class UpPlan(BaseModel):
    """All steps in their order."""

    model_config = ConfigDict(frozen=True)

    preset: str
    steps: list[UpStep]

    def errors(self) -> list[Finding]:
        """What would stop one of the steps."""
        return [finding for step in self.steps for finding in step.findings if finding.level is Level.ERROR]


@dataclass(frozen=True)
class UpRequest:
    """What is asked for. `replace` and `create_folders` are those of a launch."""

    site: Site
    name: str
    replace: bool = False
    create_folders: bool = False


def plan_up(request: UpRequest) -> UpPlan:
    """The plan of all steps. Raises InputError for a preset that cannot be used."""
    planner = Planner(request)
    return UpPlan(preset=request.name, steps=[plan_step() for plan_step in planner.steps().values()])


def check_plan(plan: UpPlan) -> None:
    """Raise ChecksFailed with everything that would stop one of the steps."""
    if errors := plan.errors():
        steps = " and ".join(step.name for step in plan.steps if has_errors(step.findings))
        raise ChecksFailed(
            f"Nothing was started, because {steps} of {plan.preset} would fail", *describe_errors(errors)
        )


class Planner:
    """Judges the steps of one request. Use a new one after a step has run: it keeps what it has read."""

    def __init__(self, request: UpRequest, client: docker.DockerClient | None = None) -> None:
        """`client`: one of the site's engine, which is not closed; without it, each question connects for itself."""
        self.site, self.name = request.site, request.name
        self._client = client
        self.request = request
        self.preset: Preset = load_named(request.site, request.name)

    def steps(self) -> dict[str, Callable[[], UpStep]]:
        """The functions that judge the steps, in the order of the steps."""
        return {"lock": self.lock, "sync": self.sync, "build": self.build, "launch": self.launch}

    def lock(self) -> UpStep:
        """Done when the lock is complete and belongs to the preset as it is."""
        try:
            lock = find_lock(self.site, self.name)
        except XaivaError as error:
            return _to_do("lock", f"make it again: {error.summary}")
        if lock is None:
            return _to_do("lock", "look up every file of the image over the network; there is no lock yet")
        if lock.preset_sha256 != preset_sha256(self.preset, self.site.presets):
            return _to_do("lock", "look up what has changed over the network; the preset is newer than its lock")
        if lock.unlocked:
            return _to_do("lock", f"look up what is missing over the network, such as {lock.unlocked[0].what}")
        return _done("lock", f"complete: {_amount(len(lock.files), sum(file.size for file in lock.files))}")

    def sync(self) -> UpStep:
        """Done when the artifacts are in line with the lock, or when the image is built from it and needs none."""
        if self._lock is None:
            return _to_do("sync", "fetch the locked files that are not there yet")
        if self._image_is_current():
            return _done("sync", "nothing is needed: the image is built from this lock")
        numbers, in_line = self._sync_numbers()
        if in_line:
            return _done("sync", f"in line: {_amount(numbers.present_files, numbers.present_bytes)}")
        try:
            check_space(self.site, numbers)
        except XaivaError as error:
            return _to_do("sync", _sync_text(numbers), [_finding("space", error)])
        return _to_do("sync", _sync_text(numbers))

    def build(self) -> UpStep:
        """Done when the newest image is built from this preset and this lock."""
        if (problem := self._image[1]) is not None:
            return _to_do("build", "build the image with the network off", [problem])
        tag = labels.image_tag(self.name)
        if self._image_is_current():
            return _done("build", f"{tag} is built from this preset and lock")
        try:
            build_checks.check_secrets(self.preset, docker_environment(self.site))
            if self._lock is not None:
                build_checks.check_compatibility(LockedPreset(self.site, self.name, self.preset, self._lock))
                check_build_space(self.site, self._lock, "runtime")
        except XaivaError as error:
            return _to_do("build", "build the image with the network off", [_finding("build", error)])
        if self._image[0] is not None:
            return _to_do("build", f"build {tag} again with the network off; unchanged stages come from the cache")
        stages = f": {', '.join(stage_names(self.preset, self._lock))}" if self._lock is not None else ""
        return _to_do("build", f"build {tag} with the network off{stages}")

    def launch(self) -> UpStep:
        """Done when a container of this image runs with the preset's run settings."""
        name = labels.container_name(self.name)
        if self._image[1] is not None:
            return _to_do("launch", f"start the container {name}")  # the finding about the engine is the build's
        ready = self._image_is_current()
        if ready and (container := current_container(self.site, self.name, self.preset)) is not None:
            return _done("launch", f"{name} runs from this image: {container.status}")
        findings = check_launch(
            self.site,
            self.name,
            self.preset,
            replace=self.request.replace,
            create_folders=self.request.create_folders,
        )
        if not ready:
            findings = [finding for finding in findings if finding.code != "image-missing"]
        notes = [finding.summary for finding in findings if finding.level is Level.NOTE]
        text = "; ".join([f"start the container {name}", *notes])
        problems = [_outdated(finding) for finding in findings if finding.level is not Level.NOTE]
        return _to_do("launch", text, problems)

    @cached_property
    def _lock(self) -> Lock | None:
        """The lock; None when it has to be made or completed first."""
        return find_lock(self.site, self.name) if self.lock().done else None

    @cached_property
    def _image(self) -> tuple[dict[str, str] | None, Finding | None]:
        """The labels of the preset's newest image (None without one), or why the engine cannot say."""
        try:
            with nullcontext(self._client) if self._client else closing(connect_engine(self.site)) as client:
                description = inspect_image(client, labels.image_tag(self.name))
        except XaivaError as error:
            return None, _finding("engine", error)
        return (None if description is None else image_labels(description)), None

    def _image_is_current(self) -> bool:
        """Whether the newest image is built from the preset and the lock as they are."""
        image, lock = self._image[0], self._lock
        return (
            image is not None
            and lock is not None
            and image.get(labels.PRESET_SHA256) == lock.preset_sha256
            and image.get(labels.LOCK_SHA256) == lock_sha256(lock)
        )

    def _sync_numbers(self) -> tuple[SyncPlan, bool]:
        """What a sync would do, and whether that is nothing."""
        cache = VerificationCache(self.site, self.name)
        details = prepare_sync(self.site, self.name, cache, NullProgress())
        inventory = details.inventory
        in_line = not (inventory.needed() or inventory.outdated or inventory.extra)
        return summarize(self.site, self.name, details, cache), in_line


def _done(name: str, text: str) -> UpStep:
    return UpStep(name=name, done=True, text=text)


def _to_do(name: str, text: str, findings: Sequence[Finding] = ()) -> UpStep:
    return UpStep(name=name, done=False, text=text, findings=list(findings))


def _finding(code: str, error: XaivaError) -> Finding:
    return Finding.error(code, error.what, error.why, error.remedy)


def _outdated(finding: Finding) -> Finding:
    """The finding; about a container that runs, with the reason why it is not left as it is."""
    if finding.code != "already-running":
        return finding
    return finding.model_copy(
        update={"why": "it runs from an older image, with older run settings, or for another site"}
    )


def _sync_text(numbers: SyncPlan) -> str:
    """The work of a sync as a sentence: `fetch 12 files (34 MB), build 2 files (80 MB) here`."""
    parts = []
    if numbers.fetch_files:
        parts.append(f"fetch {_amount(numbers.fetch_files, numbers.fetch_bytes)} over the network")
    if numbers.link_files:
        parts.append(f"link {_amount(numbers.link_files, numbers.link_bytes)} that are on this disk")
    if numbers.make_files:
        parts.append(f"make {_amount(numbers.make_files, numbers.make_bytes)} here")
    if numbers.extra:
        parts.append(f"remove {len(numbers.extra)} that the lock does not name")
    return ", ".join(parts) or "write the files that are generated from the lock"


def _amount(files: int, size: int) -> str:
    return f"{files} file{'' if files == 1 else 's'} ({size / 1e6:.0f} MB)"
