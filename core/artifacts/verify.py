"""Verify: read every byte of the artifacts and report each file that differs from the lock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from pydantic import JsonValue

from core.artifacts.dependency_confusion import confusion_findings
from core.artifacts.inventory import Inventory, take_inventory
from core.artifacts.lock_store import artifacts_folder, read_lock
from core.artifacts.lockfile import Lock, LockedFile
from core.artifacts.verification_cache import VerificationCache
from core.content import WrongContent, find_wrong_content, recognise
from core.errors import ChecksFailed, XaivaError
from core.findings import Finding, Level, has_errors
from core.presets.store import load_named, preset_path, preset_sha256
from core.progress import OUTCOME, ByteCounter, NullProgress, Progress
from core.site import Site

MAX_NAMED_FINDINGS = 5
_HEAD_BYTES = 4 << 10  # enough to recognise a pointer, an error response or an HTML page


def run(
    site: Site,
    subject: str,
    options: Mapping[str, JsonValue],  # noqa: ARG001 - the shape of every operation
    progress: Progress,
) -> dict[str, JsonValue]:
    """Verify as an operation. The outcome has `files`, `bytes`, `seconds` and `findings`.

    Raises ChecksFailed when a finding is an error.
    """
    started = time.monotonic()
    lock = read_lock(site, subject)
    findings = verify(site, subject, progress)
    for finding in findings:
        progress.log(f"{finding.level.value}: {finding.summary}", OUTCOME)
    if has_errors(findings):
        errors = [finding for finding in findings if finding.level is Level.ERROR]
        named = "; ".join(f"{finding.where}: {finding.why}" for finding in errors[:MAX_NAMED_FINDINGS])
        more = f" and {len(errors) - MAX_NAMED_FINDINGS} more" if len(errors) > MAX_NAMED_FINDINGS else ""
        raise ChecksFailed(
            f"Artifacts of {subject} differ from the lock", named + more, f"repair them: xaiva sync {subject}"
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
    cache = VerificationCache(site, preset)
    with ByteCounter(progress, "verify", "read every byte", sum(file.size for file in lock.files)) as counter:
        result = take_inventory(
            artifacts_folder(site, preset),
            lock,
            cache,
            progress.cancelled,
            lambda path, count: counter.add(count, path.name),
            every_byte=True,
        )
    cache.save({file.path for file in lock.files})
    wrong = [
        Finding.error(code="artifact-not-the-file", what=e.what, why=e.why, remedy=e.remedy, where=e.what)
        for e in wrong_content_errors(artifacts_folder(site, preset), result.good, check_format=True)
    ]
    return [*_file_findings(preset, result), *wrong, *lock_findings(site, preset, lock)]


def wrong_content_errors(folder: Path, files: Iterable[LockedFile], *, check_format: bool = False) -> list[XaivaError]:
    """An error for each file that matches the lock but is a pointer, an HTML page or an error response.

    Checks the first bytes; with `check_format` also whether the file opens as what its suffix claims.
    """
    errors: list[XaivaError] = []
    for file in files:
        path = file.under(folder)
        try:
            with open(path, "rb") as content:
                placeholder = recognise(content.read(_HEAD_BYTES), file.size, file.path)
            if check_format and placeholder is None:
                placeholder = find_wrong_content(path, file.path)
        except OSError:
            continue  # the inventory reports unreadable files
        if placeholder is not None:
            remedy = f"{placeholder.remedy(file.url)}; then lock again"
            errors.append(WrongContent(file.path, placeholder.description, remedy))
    return errors


def _file_findings(preset: str, result: Inventory) -> list[Finding]:
    remedy = f"repair it: xaiva sync {preset}"
    rows = [("artifact-missing", file.path, "is missing") for file in result.missing]
    rows += [("artifact-corrupt", path, problem) for path, problem in sorted(result.problems.items())]
    rows += [("artifact-derived", path, "differs from what the lock generates") for path in result.outdated]
    rows += [("artifact-extra", path, "is not in the lock") for path in result.extra]
    return [Finding.error(code=code, what=path, why=why, remedy=remedy, where=path) for code, path, why in rows]


def lock_findings(site: Site, preset: str, lock: Lock) -> list[Finding]:
    """Findings about the lock itself: unlocked parts, dependency confusion, and a preset that has changed since."""
    warning = partial(Finding.warning, where=preset)
    findings = [
        warning(code="lock-partial", what=part.what, why=part.why, remedy=part.remedy) for part in lock.unlocked
    ]
    findings += confusion_findings(preset, lock.shared)
    if not os.path.lexists(preset_path(site, preset)):
        return findings  # artifacts that were copied without their preset are complete
    what = f"Preset {preset}"
    try:
        if preset_sha256(load_named(site, preset), site.presets) != lock.preset_sha256:
            why, remedy = "it has changed since it was locked", f"lock it again: xaiva lock {preset}"
            findings.append(warning(code="lock-outdated", what=what, why=why, remedy=remedy))
    except XaivaError as error:
        why = f"it cannot be used, so it is unknown whether the lock still matches it: {error.why}"
        findings.append(warning(code="lock-outdated", what=what, why=why, remedy=error.remedy))
    return findings
