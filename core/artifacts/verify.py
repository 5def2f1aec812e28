"""Verify: read every byte of the artifacts and report each file that differs from the lock."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import JsonValue

from core.artifacts.dependency_confusion import shared_findings
from core.artifacts.lockfile import Lock, LockedFile
from core.artifacts.seen import Seen
from core.artifacts.store import folder, read_lock
from core.artifacts.survey import Survey, survey
from core.content import WrongContent, describe, recognise
from core.errors import ChecksFailed, XaivaError
from core.findings import Finding, Level, has_errors
from core.presets.store import load_named, preset_path, preset_sha256
from core.progress import OUTCOME, NullProgress, Progress, Stage, StageState
from core.site import Site

REPORT_SECONDS = 0.2
NAMED_IN_ERROR = 5
_HEAD = 4 << 10  # bytes: pointers and error answers are short, a page says at its beginning that it is one


def run(
    site: Site,
    subject: str,
    options: Mapping[str, JsonValue],  # noqa: ARG001 - the shape of every operation
    progress: Progress,
) -> dict[str, JsonValue]:
    """Verify as an operation. The outcome has `files`, `bytes`, `seconds` and the findings.

    Raises ChecksFailed when a finding is an error.
    """
    started = time.monotonic()
    lock = read_lock(site, subject)
    findings = verify(site, subject, progress)
    for finding in findings:
        progress.log(f"{finding.level.value}: {finding.what}: {finding.why}", OUTCOME)
    if has_errors(findings):
        errors = [finding for finding in findings if finding.level is Level.ERROR]
        named = "; ".join(f"{finding.where}: {finding.why}" for finding in errors[:NAMED_IN_ERROR])
        more = f" and {len(errors) - NAMED_IN_ERROR} more" if len(errors) > NAMED_IN_ERROR else ""
        raise ChecksFailed(
            f"Artifacts of {subject} are not as locked", named + more, f"repair them: xaiva sync {subject}"
        )
    return {
        "files": len(lock.files),
        "bytes": sum(file.size for file in lock.files),
        "seconds": round(time.monotonic() - started, 3),
        "findings": [finding.model_dump(mode="json") for finding in findings],
    }


def verify(site: Site, preset: str, progress: Progress | None = None) -> list[Finding]:
    """Read all artifacts of a preset and compare them with its lock, which must exist. Raises XaivaError, Cancelled."""
    progress = progress or NullProgress()
    lock = read_lock(site, preset)
    seen = Seen(site, preset)
    counter = _Counter(progress, sum(file.size for file in lock.files))
    result = survey(folder(site, preset), lock, seen, progress.cancelled, counter.add, every_byte=True)
    counter.end()
    seen.save({file.path for file in lock.files})
    wrong = [
        Finding(level=Level.ERROR, code="artifact-not-the-file", what=e.what, why=e.why, remedy=e.remedy, where=e.what)
        for e in wrong_contents(folder(site, preset), result.good, whole=True)
    ]
    return [*_file_findings(preset, result), *wrong, *lock_findings(site, preset, lock)]


def wrong_contents(folder: Path, files: Iterable[LockedFile], *, whole: bool = False) -> list[XaivaError]:
    """Files that are as locked, and hold something else than the file: its pointer, a page, an error answer.

    Their first bytes tell; with `whole` also whether they open as what their suffix claims.
    """
    found: list[XaivaError] = []
    for file in files:
        path = file.under(folder)
        try:
            with open(path, "rb") as content:
                stand_in = recognise(content.read(_HEAD), file.size, file.path)
            if whole and stand_in is None:
                stand_in = describe(path, file.path)
        except OSError:
            continue  # what cannot be read is a finding of its own
        if stand_in is not None:
            remedy = f"{stand_in.remedy(file.url)}; then lock again"
            found.append(WrongContent(file.path, stand_in.words, remedy))
    return found


def _file_findings(preset: str, result: Survey) -> list[Finding]:
    remedy = f"repair it: xaiva sync {preset}"
    rows = [("artifact-missing", file.path, "is not there") for file in result.missing]
    rows += [("artifact-corrupt", path, problem) for path, problem in sorted(result.problems.items())]
    rows += [("artifact-derived", path, "is not what the lock gives") for path in result.derived]
    rows += [("artifact-extra", path, "is not in the lock") for path in result.extra]
    return [
        Finding(level=Level.ERROR, code=code, what=path, why=why, remedy=remedy, where=path) for code, path, why in rows
    ]


def lock_findings(site: Site, preset: str, lock: Lock) -> list[Finding]:
    """What the lock itself lacks, and whether the preset changed since."""
    findings = [
        Finding(
            level=Level.WARNING, code="lock-partial", what=part.what, why=part.why, remedy=part.remedy, where=preset
        )
        for part in lock.unlocked
    ]
    findings += shared_findings(preset, lock.shared)
    if not os.path.lexists(preset_path(site, preset)):
        return findings  # artifacts that were copied without their preset are complete in themselves
    try:
        current = preset_sha256(load_named(site, preset), site.presets)
    except XaivaError as error:
        what, why = (
            f"Preset {preset}",
            f"it cannot be used, so it is not known whether the lock is its own: {error.why}",
        )
        unknown = Finding(
            level=Level.WARNING, code="lock-outdated", what=what, why=why, remedy=error.remedy, where=preset
        )
        return [*findings, unknown]
    if current != lock.preset_sha256:
        findings.append(
            Finding(
                level=Level.WARNING,
                code="lock-outdated",
                what=f"Preset {preset}",
                why="it was changed since it was locked",
                remedy=f"lock it again: xaiva lock {preset}",
                where=preset,
            )
        )
    return findings


class _Counter:
    """Bytes read so far, reported now and then."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._started = time.time()
        self._reported = 0.0
        self._lock = threading.Lock()

    def add(self, path: Path, count: int) -> None:
        """`count` more bytes of `path` were read."""
        with self._lock:
            self._done += count
            if time.monotonic() - self._reported > REPORT_SECONDS:
                self._reported = time.monotonic()
                self._report(StageState.RUNNING, path.name)

    def end(self) -> None:
        """All is read."""
        self._report(StageState.DONE, "")

    def _report(self, state: StageState, detail: str) -> None:
        ended = time.time() if state is StageState.DONE else 0.0
        self._progress.stage(
            Stage(
                id="verify",
                title="read every byte",
                state=state,
                done=self._done,
                total=self._total,
                unit="bytes",
                detail=detail,
                started=self._started,
                ended=ended,
            )
        )
