"""The build history: one folder per build under `.xaiva/builds/` with record, log and lock. Compares two builds."""

from __future__ import annotations

import calendar
import contextlib
import fcntl
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, TextIO

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from core.artifacts.lockfile import Lock
from core.errors import InputError
from core.files import TEMPORARY_PREFIX, write_atomic
from core.findings import Finding, read_finding
from core.open_enum import OpenEnum, describe_misfit
from core.site import Site

RECORD_FILE = "record.json"
LOG_FILE = "log.txt"
LOCK_FILE = "lock.json"
SBOM_FILE = "sbom.json"
UNREADABLE = "unreadable"
_SLOWER_SECONDS = 1.0  # a stage counts as slower if it took this much longer …
_SLOWER_RATIO = 1.2  # … and longer by this factor


class BuildOutcome(OpenEnum):
    """How a build ended. CRASHED: its process was killed before it could write an outcome."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CRASHED = "crashed"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


def _read_findings(value: object) -> object:
    return [read_finding(item) for item in value] if isinstance(value, list) else value


class StepRecord(_Record):
    """One step of a stage, with its run time in seconds."""

    title: str
    state: str
    cached: bool
    seconds: float


class StageRecord(_Record):
    """One stage. `seconds` is the sum of its steps; `cached`: all steps came from the cache."""

    name: str
    state: str
    cached: bool
    seconds: float
    steps: list[StepRecord] = []


class BuildRecord(_Record):
    """The record of one build. Times are Unix times in seconds, 0 for not yet."""

    id: str
    preset: str
    target: str = "runtime"
    tag: str = ""
    preset_sha256: str = ""
    lock_sha256: str = ""
    started: float
    ended: float = 0
    outcome: BuildOutcome = BuildOutcome.RUNNING
    image_id: str = ""
    """The engine's id of the image; which of the two digests it is depends on the engine's image store."""
    config_digest: str = ""
    manifest_digest: str = ""
    no_cache: bool = False
    stages: list[StageRecord] = []
    findings: Annotated[list[Finding], BeforeValidator(_read_findings)] = []
    error: str = ""
    last_lines: list[str] = []
    """The end of a failed build's output."""

    @property
    def seconds(self) -> float:
        """How many seconds it took; 0 while it runs."""
        return max(0.0, self.ended - self.started) if self.ended else 0.0


class StageDifference(_Record):
    """The seconds of one stage in two builds; None in a build without that stage."""

    name: str
    before: float | None
    after: float | None
    before_cached: bool = False
    after_cached: bool = False


class BuildComparison(_Record):
    """The differences between two builds; `reasons` says why `after` was slower, most important first."""

    before: str
    after: str
    seconds: float  # after minus before
    stages: list[StageDifference]
    lock_changes: list[str]
    reasons: list[str]


def builds_folder(site: Site) -> Path:
    """The folder with all builds of a site."""
    return site.state / "builds"


def start_record(site: Site, preset: str, lock: Lock, lock_text: str, target: str) -> tuple[BuildRecord, TextIO]:
    """Create a record; returns it with its log, open for writing. Ids sort by time.

    The log is locked while it is open. The kernel releases the lock however the build ends, even by SIGKILL. So a
    record in state RUNNING with an unlocked log belongs to a build that was killed.
    """
    from core.artifacts.lock_store import lock_sha256

    now = time.time()
    identity = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}-{secrets.token_hex(3)}"
    folder = builds_folder(site) / identity
    folder.mkdir(parents=True)
    record = BuildRecord(
        id=identity,
        preset=preset,
        target=target,
        preset_sha256=lock.preset_sha256,
        lock_sha256=lock_sha256(lock),
        started=now,
    )
    log = open(folder / LOG_FILE, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - the caller's, for the whole build
    fcntl.flock(log, fcntl.LOCK_EX)
    write_atomic(folder / LOCK_FILE, lock_text)
    save_record(site, record)
    return record, log


def save_record(site: Site, record: BuildRecord) -> None:
    """Write the record atomically."""
    write_atomic(builds_folder(site) / record.id / RECORD_FILE, record.model_dump_json(indent=1) + "\n")


def keep_sbom(site: Site, identity: str, sbom: bytes) -> None:
    """Store the bill of materials with the build."""
    write_atomic(builds_folder(site) / identity / SBOM_FILE, sbom)


def list_builds(site: Site, preset: str | None = None) -> list[BuildRecord]:
    """All builds, or those of one preset, newest first. An unreadable one is a record whose error says so."""
    records = [record for path in _record_paths(site) if preset in (None, (record := _read_record(path)).preset)]
    return sorted(records, key=lambda record: (record.started, record.id), reverse=True)


def read_build(site: Site, identity: str) -> BuildRecord:
    """One build by its id. Raises InputError when there is none."""
    path = builds_folder(site) / identity / RECORD_FILE
    if path in _record_paths(site):
        return _read_record(path)
    raise InputError(f"Build {identity}", "there is no such build", "list them with: xaiva builds list")


def log_path(site: Site, identity: str) -> Path:
    """The complete log of a build, with lines of the form `[stage] text`."""
    return builds_folder(site) / identity / LOG_FILE


def remove_old_builds(site: Site, keep: int) -> None:
    """Remove all but the newest `keep` builds, readable or not."""
    for folder in sorted(builds_folder(site).iterdir())[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)


def compare_builds(site: Site, before: BuildRecord, after: BuildRecord) -> BuildComparison:
    """The differences between two builds, and why the second one was slower, if it was."""
    old, new = ({stage.name: stage for stage in record.stages} for record in (before, after))
    names = list(dict.fromkeys([*(s.name for s in after.stages), *(s.name for s in before.stages)]))
    stages = [_stage_difference(name, old.get(name), new.get(name)) for name in names]
    changes = _lock_changes(_lock_files(site, before.id), _lock_files(site, after.id))
    return BuildComparison(
        before=before.id,
        after=after.id,
        seconds=after.seconds - before.seconds,
        stages=stages,
        lock_changes=changes,
        reasons=_slowdown_reasons(before, after, stages, changes),
    )


def remove_temporary_files(site: Site) -> None:
    """Remove the files that killed builds were about to write."""
    for path in builds_folder(site).glob(f"*/{TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):
            if not _is_running(path):
                path.unlink()


def _record_paths(site: Site) -> Iterator[Path]:
    return builds_folder(site).glob(f"*/{RECORD_FILE}")


def _read_record(path: Path) -> BuildRecord:
    """The record; if it cannot be read, what can be, with the reason as its error."""
    try:
        record = _parse_record(path, path.stat().st_mtime_ns)
        return _as_crashed(record, path) if record.outcome is BuildOutcome.RUNNING and not _is_running(path) else record
    except (OSError, ValueError) as error:
        return _unreadable_record(path, error)


def _unreadable_record(path: Path, error: OSError | ValueError) -> BuildRecord:
    try:
        fields = json.loads(path.read_bytes())
        preset, started = str(fields["preset"]), float(fields["started"])
    except (OSError, ValueError, KeyError, TypeError):
        preset, started = "", _start_time_of_id(path.parent.name)
    why = f"{path} cannot be read: {describe_misfit(error)}"
    return BuildRecord(id=path.parent.name, preset=preset, started=started, outcome=BuildOutcome(UNREADABLE), error=why)


def _start_time_of_id(identity: str) -> float:
    """The start time in a build's id; 0 when it is not an id of xaiva's."""
    try:
        return float(calendar.timegm(time.strptime(identity.partition("-")[0], "%Y%m%dT%H%M%SZ")))
    except ValueError:
        return 0


@lru_cache(maxsize=1024)
def _parse_record(path: Path, _modified_ns: int) -> BuildRecord:
    """The record in a file, cached by its time of modification: a console lists hundreds every few seconds."""
    return BuildRecord.model_validate_json(path.read_bytes())


def _is_running(path: Path) -> bool:
    """Whether the build that a file belongs to still holds the lock on its log."""
    with open(path.with_name(LOG_FILE), "rb") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _as_crashed(record: BuildRecord, path: Path) -> BuildRecord:
    """The record of a killed build, with the outcome CRASHED; its own outcome if it ended just now."""
    now = BuildRecord.model_validate_json(path.read_bytes())
    if now.outcome is not BuildOutcome.RUNNING:
        return now
    ended = max(record.started, path.with_name(LOG_FILE).stat().st_mtime)
    error = "its process is gone: it was killed, ran out of memory, or the machine went down"
    return record.model_copy(update={"outcome": BuildOutcome.CRASHED, "ended": ended, "error": error})


def _stage_difference(name: str, old: StageRecord | None, new: StageRecord | None) -> StageDifference:
    return StageDifference(
        name=name,
        before=old.seconds if old else None,
        after=new.seconds if new else None,
        before_cached=bool(old and old.cached),
        after_cached=bool(new and new.cached),
    )


def _lock_files(site: Site, identity: str) -> dict[str, str]:
    """Path → SHA-256 of everything a build was made from; empty when its lock cannot be read."""
    try:
        lock = Lock.model_validate_json((builds_folder(site) / identity / LOCK_FILE).read_bytes())
    except (OSError, ValidationError):
        return {}
    return {"base image": lock.base_image.config_digest, **{file.path: file.sha256 for file in lock.files}}


def _lock_changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    if not old or not new:
        return []
    added = [f"added {path}" for path in sorted(new.keys() - old.keys())]
    removed = [f"removed {path}" for path in sorted(old.keys() - new.keys())]
    changed = [f"changed {path}" for path in sorted(old.keys() & new.keys()) if old[path] != new[path]]
    return [*added, *removed, *changed]


def _slowdown_reasons(
    before: BuildRecord, after: BuildRecord, stages: list[StageDifference], changes: list[str]
) -> list[str]:
    reasons = ["it was built without the cache"] if after.no_cache and not before.no_cache else []
    for stage in sorted(stages, key=lambda s: (s.after or 0) - (s.before or 0), reverse=True):
        seconds = stage.after or 0.0
        if stage.after is not None and stage.before is None and seconds >= _SLOWER_SECONDS:
            reasons.append(f"{stage.name} is new: {seconds:.1f} s")
        elif stage.before_cached and not stage.after_cached and stage.after is not None:
            reasons.append(f"{stage.name} came from the cache before and was built this time: {seconds:.1f} s")
        elif stage.before is not None and seconds >= max(stage.before + _SLOWER_SECONDS, stage.before * _SLOWER_RATIO):
            reasons.append(f"{stage.name} took {seconds:.1f} s instead of {stage.before:.1f} s")
    if before.target != after.target:
        reasons.append(f"it was built up to {after.target}, not {before.target}")
    if changes:
        listed = ", ".join(changes[:5]) + (f" and {len(changes) - 5} more" if len(changes) > 5 else "")
        reasons.append(f"the lock changed: {listed}")
    elif before.preset_sha256 != after.preset_sha256:
        reasons.append("the preset changed")
    return reasons
