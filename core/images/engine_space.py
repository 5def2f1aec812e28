"""Checks before long work that the engine's disk has room for it. The disk of a remote engine is unknown."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from core.artifacts.lockfile import FileKind, Lock
from core.disk_space import FREE_SPACE_MARGIN, free_bytes, no_space
from core.engine import connect_engine, engine_root
from core.engine_objects.disk_usage import CACHE, IMAGES, disk_usage
from core.findings import Finding
from core.images.smoke_test import COMPLETE_STAGES
from core.site import Site

_SECONDS = 120.0  # an engine may need long to measure its images
# The disk space of a file in the image and the build cache, as a factor of its size.
_INSTALLED_SIZE_FACTOR = {
    FileKind.WHEEL: 3.0,
    FileKind.DEB: 4.0,
    FileKind.SOURCE: 6.0,
    FileKind.MODEL: 1.0,
    FileKind.IMAGE: 2.5,
}
_BUILT_FROM = (FileKind.WHEEL, FileKind.DEB, FileKind.MODEL)  # each takes at least its own size in the image


def check_engine_space(site: Site, needed: int, purpose: str) -> None:
    """Raise XaivaError when the engine's disk cannot hold that many bytes even if it reuses all that it has."""
    with closing(connect_engine(site, _SECONDS)) as client:
        root = _local_root(engine_root(site, client))
        if root is None or not needed or needed + FREE_SPACE_MARGIN <= free_bytes(root):
            return
        usage = disk_usage(client, (IMAGES, CACHE))
    sizes = [usage.layers, *(record.size for record in usage.cache or [])]
    reusable = sum(size for size in sizes if size is not None)
    if usage.layers is not None and needed > free_bytes(root) + reusable:
        raise no_space(purpose, needed, free_bytes(root), root)


def check_build_space(site: Site, lock: Lock, target: str) -> list[Finding]:
    """A warning when a first build of the lock may not fit on the engine's disk.

    Raises XaivaError when it certainly does not, as `check_engine_space`.
    """
    kinds = (FileKind.IMAGE, *(_BUILT_FROM if target in COMPLETE_STAGES else ()))
    needed = sum(file.size for file in lock.files if file.kind in kinds)
    check_engine_space(site, needed, f"the image of {lock.preset}")
    with closing(connect_engine(site)) as client:
        root = _local_root(engine_root(site, client))
    if root is None:
        return []
    free, first = free_bytes(root), int(sum(file.size * _INSTALLED_SIZE_FACTOR[file.kind] for file in lock.files))
    if first <= free:
        return []
    what = f"{free / 2**30:.1f} GiB are free for the engine in {root}"
    why = f"a first build of this preset may take {first / 2**30:.1f} GiB"
    return [Finding.warning("build-disk", what, why, "see what xaiva can remove: xaiva clean --plan", where=str(root))]


def _local_root(root: Path | None) -> Path | None:
    return root if root is not None and root.is_dir() else None
