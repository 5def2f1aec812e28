"""The facts about presets, their locks, and which of the locked files the site has."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from core import labels
from core.artifacts.lock_store import artifacts_folder, find_lock, lock_sha256, locked_presets
from core.artifacts.lockfile import Lock
from core.artifacts.verification_cache import VerificationCache
from core.errors import InputError, XaivaError, os_reason
from core.presets.store import PresetEntry, list_presets, preset_sha256
from core.site import Site
from core.site_report.model import BlobFacts, ImageFacts, ImageState, PresetFacts, Section


def preset_facts(site: Site) -> list[PresetFacts]:
    """Every preset, without the state of its image. Raises InputError when the folder cannot be read."""
    return [_preset(site, entry) for entry in list_presets(site)]


def blob_facts(site: Site) -> BlobFacts:
    """The locked files of all locks that are present. Hashes nothing: it relies on the verifications of this disk.

    Raises InputError when the folder of artifacts cannot be read.
    """
    try:
        os.listdir(site.artifacts)
    except FileNotFoundError:
        return BlobFacts()
    except OSError as error:
        raise InputError(
            f"Folder {site.artifacts}", os_reason(error), "check the folder and its permissions"
        ) from error
    verified, by_size = set[str](), set[str]()
    for name, lock in locked_presets(site):
        verified_here, by_size_here = _present(site, name, lock)
        verified |= verified_here
        by_size |= by_size_here
    return BlobFacts(verified=sorted(verified), by_size=sorted(by_size - verified))


def with_images(presets: Section[list[PresetFacts]], images: Section[list[ImageFacts]]) -> Section[list[PresetFacts]]:
    """The presets with the state of their images, which stays unknown when the engine's images are."""
    if presets.value is None or images.value is None:
        return presets
    by_tag = {tag: image for image in images.value for tag in image.tags}
    updated = [
        preset.model_copy(update={"image": _image_state(preset, by_tag.get(labels.image_tag(preset.name)))})
        for preset in presets.value
    ]
    return presets.model_copy(update={"value": updated})


def _image_state(preset: PresetFacts, image: ImageFacts | None) -> ImageState:
    if image is None:
        return ImageState.NONE
    same = bool(preset.lock_sha256) and image.lock_sha256 == preset.lock_sha256
    return ImageState.CURRENT if same else ImageState.OTHER_LOCK


def _preset(site: Site, entry: PresetEntry) -> PresetFacts:
    if entry.preset is None:
        return PresetFacts(name=entry.name, problem=entry.error.summary if entry.error else "it cannot be read")
    try:
        sha256 = preset_sha256(entry.preset, site.presets)
        lock = find_lock(site, entry.name)
    except XaivaError as error:
        return PresetFacts(name=entry.name, problem=error.summary)
    if lock is None:
        return PresetFacts(name=entry.name, preset_sha256=sha256)
    verified, by_size = _present(site, entry.name, lock)
    return PresetFacts(
        name=entry.name,
        preset_sha256=sha256,
        lock_sha256=lock_sha256(lock),
        lock_is_current=lock.preset_sha256 == sha256,
        files=len(lock.files),
        verified=_count(lock, verified),
        by_size=_count(lock, by_size - verified),
        bytes=sum(file.size for file in lock.files),
    )


def _count(lock: Lock, contents: Iterable[str]) -> int:
    present = set(contents)
    return sum(file.sha256 in present for file in lock.files)


def _present(site: Site, name: str, lock: Lock) -> tuple[set[str], set[str]]:
    """The SHA-256 of the lock's files that are verified, and of those that only have the right size."""
    cache, folder = VerificationCache(site, name), artifacts_folder(site, name)
    verified, by_size = set[str](), set[str]()
    for file in lock.files:
        try:
            status = os.lstat(file.under(folder))
        except OSError:
            continue  # missing, or in a folder that this user cannot enter: it is not claimed
        if not stat.S_ISREG(status.st_mode) or status.st_size != file.size:
            continue
        (verified if cache.is_verified(file.path, status, file.sha256) else by_size).add(file.sha256)
    return verified, by_size
