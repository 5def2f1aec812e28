"""What can go in the engine: images, build cache, helper containers."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from core import labels
from core.artifacts.lock_store import LOCK_NAME, read_lock
from core.artifacts.orphaned_helpers import find_orphans, remove_orphans
from core.clean.holds import GOOD_IMAGES, Holds
from core.clean.model import Category, Findings, UnknownPart
from core.engine import engine_errors
from core.engine_objects.disk_usage import CACHE, IMAGES, disk_usage
from core.engine_objects.listing import known_size, read_inventory, with_usage
from core.engine_objects.model import CacheRecord, CacheType, DiskUsage, Image
from core.engine_objects.removal import remove_image
from core.errors import XaivaError
from core.images.build import CANDIDATE_TAG
from core.images.build_history import BuildOutcome
from core.site import Site

if TYPE_CHECKING:
    import docker

CACHE_HOURS = 168  # build cache that was used within this time stays
_BASE_PREFIX = "xaiva-base/"
_OWN_PREFIX = "xaiva/"
_NEVER_PRUNED = (CacheType.INTERNAL, CacheType.FRONTEND)  # by an engine that is not asked for everything


def read_mounts(client: docker.DockerClient) -> dict[str, str]:
    """Each path of the engine's machine that a container mounts → the container. Raises EngineError."""
    with engine_errors("List of containers"):
        rows = client.api.containers(all=True)
    return {
        mount["Source"]: str((row.get("Names") or [row.get("Id")])[0]).lstrip("/")
        for row in rows
        for mount in row.get("Mounts") or []
        if mount.get("Type") == "bind" and mount.get("Source")
    }


def find_images(site: Site, client: docker.DockerClient, holds: Holds, findings: Findings) -> None:
    """Images of xaiva that nothing needs, and build cache that was not used for long."""
    inventory = read_inventory(client)
    try:
        usage = disk_usage(client, (IMAGES, CACHE))
    except XaivaError as error:
        usage = DiskUsage()
        findings.unknown.append(UnknownPart(category=Category.CACHE, why=error.summary, remedy=error.remedy))
    images = with_usage(inventory, usage).images
    look = _ImageLook(client, holds, findings)
    by_origin = defaultdict(list)
    for image in sorted(images, key=lambda image: (image.created or 0, image.build), reverse=True):  # ids sort by time
        if image.preset:
            by_origin[image.preset, image.labels.get(labels.TARGET, "")].append(image)
    for (preset, _), family in by_origin.items():
        look.judge_family(preset, family)
    _find_bases(site, look, [image for image in images if any(tag.startswith(_BASE_PREFIX) for tag in image.tags)])
    if usage.cache is not None:
        _find_cache(client, holds, findings, usage.cache)


class _ImageLook:
    """Judges images one by one."""

    def __init__(self, client: docker.DockerClient, holds: Holds, findings: Findings) -> None:
        self.client, self.holds, self.findings = client, holds, findings

    def judge_family(self, preset: str, family: Sequence[Image]) -> None:
        """Judge the images of one preset and stage, newest first: the last good ones stay.

        An image that came from another site has no record here. It may be a way back as well, but it never takes the
        place of one that is good for certain.
        """
        newer: Counter[BuildOutcome | None] = Counter()
        for image in family:
            outcome = self._outcome(preset, image)
            is_way_back = newer[BuildOutcome.DONE] < GOOD_IMAGES and newer[outcome] < GOOD_IMAGES
            if reason := self._why_in_use(image, _OWN_PREFIX) or self._why_needed(preset, image, outcome, is_way_back):
                self.findings.keep(Category.IMAGES, image.id, _name(image), reason)
            else:
                again = "which cannot be built again" if self.holds.is_gone(preset) else f"until: xaiva build {preset}"
                self._offer(image, self._why_free(preset, outcome), f"this image, {again}")
            newer[outcome] += 1

    def judge_base(self, image: Image, needed_tags: Mapping[str, str]) -> None:
        """Judge a base image; `needed_tags`: the tags of all locks → the preset that has it."""
        preset = next((needed_tags[tag] for tag in image.tags if tag in needed_tags), "")
        if reason := self._why_in_use(image, _BASE_PREFIX) or (f"the lock of {preset} needs it" if preset else ""):
            self.findings.keep(Category.IMAGES, image.id, _name(image), reason)
        else:
            loss = "nothing: a build loads its base image from the artifacts"
            self._offer(image, "no lock of this site needs this base image", loss)

    def _outcome(self, preset: str, image: Image) -> BuildOutcome | None:
        """How its build ended; None when this site has no record of it. Only a good one gets its preset's tag."""
        if set(image.tags) - {_candidate(preset)}:
            return BuildOutcome.DONE
        record = self.holds.builds.get(image.build)
        return record.outcome if record else None

    def _why_in_use(self, image: Image, own_prefix: str) -> str:
        """Why an image must stay whatever presets there are; empty when it need not."""
        if image.unreadable:
            return f"the engine's description of it cannot be read: {image.unreadable}"
        if image.used_by:
            return f"the container {image.used_by[0].container} uses it"
        foreign = [tag for tag in image.tags if not tag.startswith(own_prefix)]
        return f"it has the tag {foreign[0]}, which xaiva did not give it" if foreign else ""

    def _why_needed(self, preset: str, image: Image, outcome: BuildOutcome | None, is_way_back: bool) -> str:
        """Why its preset needs an image; empty when it does not."""
        if holder := self.holds.holder(preset):
            return f"{holder} may need it"
        if outcome is BuildOutcome.RUNNING:
            return "it is being built"
        if self.holds.is_gone(preset):
            mine = image.build in self.holds.builds
            return "" if mine else "it was not built in this site, and another site of this engine may need it"
        if set(image.tags) - {_candidate(preset)}:
            return "it is the newest image of its preset"
        is_candidate = bool(image.tags)
        if is_way_back and not is_candidate and outcome in (BuildOutcome.DONE, None):
            return "it is a way back from the newest image"
        return ""

    def _why_free(self, preset: str, outcome: BuildOutcome | None) -> str:
        if self.holds.is_gone(preset):
            return f"the preset {preset} no longer exists"
        if outcome in (BuildOutcome.DONE, None):
            return "its preset has newer images to go back to"
        return f"its build ended as {outcome.word}: it never became the image of its preset"

    def _offer(self, image: Image, why: str, loss: str) -> None:
        remove = partial(remove_image, self.client, image)
        size = image.unique_size
        self.findings.offer(Category.IMAGES, image.id, _name(image), why, size=size, loss=loss, remove=remove)


def _name(image: Image) -> str:
    """Its name; without a tag, its preset's name as well."""
    return image.name if image.tags else f"xaiva/{image.preset} {image.name}"


def _candidate(preset: str) -> str:
    return f"{_OWN_PREFIX}{preset}:{CANDIDATE_TAG}"


def _find_bases(site: Site, look: _ImageLook, bases: Sequence[Image]) -> None:
    """Judge base images, unless a lock is unknown or may just be changing."""
    holds, findings = look.holds, look.findings
    needed: dict[str, str] = {}
    if not bases:
        return
    if live := holds.live():
        findings.keep(Category.IMAGES, "bases", "base images", f"{live[0].title()} may need them")
        return
    for path in sorted(site.artifacts.glob(f"*/{LOCK_NAME}")):
        preset = path.parent.name
        if holds.is_gone(preset):
            continue
        try:
            lock = read_lock(site, preset)
        except XaivaError as error:
            findings.keep(
                Category.IMAGES, "bases", "base images", f"which of them are needed is unknown: {error.summary}"
            )
            return
        tags = [image.tag for image in (lock.base_image, lock.runtime_base_image) if image is not None]
        needed |= dict.fromkeys(tags, preset)
    for image in bases:
        look.judge_base(image, needed)


def _find_cache(client: docker.DockerClient, holds: Holds, findings: Findings, records: Sequence[CacheRecord]) -> None:
    """Build cache that no build uses and none has used for long, as far as its removal frees anything."""
    if holds.live() or holds.build_in_progress():
        busy = holds.live()[0].title() if holds.live() else f"build {holds.build_in_progress()}"
        findings.keep(Category.CACHE, "recent", "build cache", f"{busy} may need it")
        return
    old = unused_records(records, time.time() - CACHE_HOURS * 3600)
    recent = [record for record in records if not record.shared and record not in old]
    if recent:
        what = f"build cache: {len(recent)} records, {sum(record.size or 0 for record in recent) / 1e6:.0f} MB"
        why = f"used in the last {CACHE_HOURS // 24} days, in use, or part of what is"
        findings.keep(Category.CACHE, "recent", what, why)
    if old:
        findings.offer(
            Category.CACHE,
            "old",
            f"build cache: {len(old)} records",
            f"no build has used them for {CACHE_HOURS // 24} days",
            size=sum(record.size or 0 for record in old),
            loss="time: the next build that needs these steps runs them again",
            remove=partial(_prune_cache, client),
        )


def unused_records(records: Sequence[CacheRecord], before: float) -> list[CacheRecord]:
    """The records that the engine removes when it is asked for those last used before a moment."""
    by_id = {record.id: record for record in records}
    staying = [record for record in records if not _may_go(record, before)]
    needed = {record.id for record in staying}
    while staying:  # a record stays as long as one that is built on it
        for parent in staying.pop().parents:
            if parent in by_id and parent not in needed:
                needed.add(parent)
                staying.append(by_id[parent])
    return [record for record in records if record.id not in needed]


def _may_go(record: CacheRecord, before: float) -> bool:
    last_used = record.last_used or record.created
    return record.unused and record.type not in _NEVER_PRUNED and last_used is not None and last_used < before


def _prune_cache(client: docker.DockerClient) -> int | None:
    """Ask the engine to remove what was last used before that time, which never is what is in use; returns bytes."""
    api: Any = client.api  # the SDK's types leave this call out
    with engine_errors("Removal of old build cache"):
        answer = api.prune_builds(filters={"until": [f"{CACHE_HOURS}h"]})
    return known_size(answer.get("SpaceReclaimed"))


def find_helpers(client: docker.DockerClient, findings: Findings) -> None:
    """Helper containers whose process was killed."""
    names = find_orphans(client)
    if names:
        findings.offer(
            Category.CONTAINERS,
            "helpers",
            f"helper containers: {', '.join(names)}",
            "the process that started them is gone",
            size=None,
            loss="nothing",
            remove=partial(remove_orphans, client),
        )
