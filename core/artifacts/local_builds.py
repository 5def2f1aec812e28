"""Builds locked files that have no URL: source snapshots, blobs of base images, the service wheel."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from core.artifacts import base_image, service_wheel, source_snapshots
from core.artifacts.lock_store import LOCAL_WHEELS, artifacts_folder
from core.artifacts.lockfile import FileKind, LockedFile
from core.artifacts.remote_metadata import local_path
from core.artifacts.sources import resolve_path
from core.content import check_content
from core.engine import connect_with_long_timeout
from core.errors import Cancelled, XaivaError
from core.files import TEMPORARY_PREFIX, move_into_place, sha256_file
from core.progress import Progress, stop_if_cancelled
from core.site import Site


def build_local_files(site: Site, preset: str, files: Sequence[LockedFile], progress: Progress) -> list[XaivaError]:
    """Build the files. Returns an error for each that cannot be built or differs from the lock. Raises Cancelled."""
    failures = []
    blobs = [file for file in files if file.url.startswith("docker:")]
    for reference in sorted({file.url.removeprefix("docker:") for file in blobs}):
        image_blobs = [file for file in blobs if file.url == f"docker:{reference}"]
        failures += _collect_error(partial(_rebuild_image, site, preset, reference, image_blobs, progress))
    for file in files:
        stop_if_cancelled(progress)
        if file not in blobs:
            failures += _collect_error(partial(_build_file, site, preset, file, progress))
    return failures


def _collect_error(work: Callable[[], None]) -> list[XaivaError]:
    try:
        work()
    except Cancelled:
        raise
    except XaivaError as error:
        return [error]
    return []


def _rebuild_image(site: Site, preset: str, reference: str, files: Sequence[LockedFile], progress: Progress) -> None:
    progress.log(f"exporting {reference} from the engine")
    target = artifacts_folder(site, preset)
    base_image.save_image(connect_with_long_timeout(site), reference, target, progress).write_manifests(target)
    for file in files:
        path = file.under(target)
        if not (path.is_file() and sha256_file(path) == file.sha256):
            raise _changed_origin_error(preset, file)


def _build_file(site: Site, preset: str, file: LockedFile, progress: Progress) -> None:
    target = file.under(artifacts_folder(site, preset))
    progress.log(f"building {file.path}")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{TEMPORARY_PREFIX}{target.name}")
    try:
        if file.url.startswith("wheel:"):
            draft.write_bytes(service_wheel.build())
        elif file.url.startswith("git+"):
            _from_git(site, file, draft, progress)
        else:
            _from_path(site, preset, file, draft, progress)
        if sha256_file(draft) != file.sha256:
            raise _changed_origin_error(preset, file)
        check_content(draft, file.path)
        move_into_place(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _from_git(site: Site, file: LockedFile, draft: Path, progress: Progress) -> None:
    match = re.fullmatch(r"git\+(.+)@([^@]+)#([0-9a-f]+)", file.url)
    if match is None:
        raise XaivaError(file.path, f"its origin {file.url} cannot be read", "lock again")
    token = site.env.get(file.token_variable, "") if file.token_variable else ""
    source_snapshots.clone(match[1], match[3], draft, file.name, progress, token, site.env)


def _from_path(site: Site, preset: str, file: LockedFile, draft: Path, progress: Progress) -> None:
    origin = file.url.removeprefix("file:")
    if file.url.startswith("file://"):
        path = local_path(file.url)
    elif origin.startswith(f"{LOCAL_WHEELS}/"):
        path = artifacts_folder(site, preset) / origin
    else:
        path = resolve_path(site, origin)
    if path.is_dir() and file.kind is FileKind.SOURCE:
        source_snapshots.snapshot(path, draft, file.name, progress)
    elif path.is_file():
        shutil.copyfile(path, draft)
    else:
        raise XaivaError(f"{file.path}", f"its origin {path} does not exist", "restore it, or lock again without it")


def _changed_origin_error(preset: str, file: LockedFile) -> XaivaError:
    return XaivaError(
        file.path,
        f"the content of {file.url} has changed since it was locked",
        f"to use the new content, lock again: xaiva lock {preset}",
    )
