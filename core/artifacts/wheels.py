"""The wheels of all layers as locked files: resolved by uv, completed with sizes and hashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from core.artifacts.index_pages import IndexPages
from core.artifacts.lockfile import Kind, Lock, LockedFile, Unlocked
from core.artifacts.network import Network
from core.artifacts.remote import fetch_unknown, local_path, measured, with_sizes
from core.artifacts.resolve import Resolution, resolve
from core.artifacts.store import LOCAL_WHEELS, folder
from core.artifacts.uv_compile import Wanted
from core.artifacts.uv_output import Wheel
from core.files import sha256_file
from core.presets.layers import Expanded
from core.presets.model import Index
from core.progress import Progress
from core.site import Site


@dataclass
class LockedWheels:
    """`layers` as (name, paths of wheels) in build order; `failed` and `shared` as in a resolution."""

    layers: list[tuple[str, list[str]]] = field(default_factory=list)
    files: list[LockedFile] = field(default_factory=list)
    unlocked: list[Unlocked] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    shared: dict[str, list[str]] = field(default_factory=dict)


def lock_wheels(
    site: Site,
    preset: str,
    expanded: Expanded,
    python_version: str,
    platform: str,
    kept: Lock | None,
    network: Network,
    progress: Progress,
) -> LockedWheels:
    """Resolve all layers together; versions of `kept` stay where they still fit. Raises XaivaError, Cancelled."""
    artifacts = folder(site, preset)
    wanted = Wanted(
        preset=preset,
        layers=expanded.layers,
        pins=expanded.pins,
        indexes=expanded.indexes,
        python_version=python_version,
        platform=platform,
        find_links=artifacts / LOCAL_WHEELS,
    )
    before = {file.name: file for file in kept.of_kind(Kind.WHEEL)} if kept else {}
    versions = {name: file.version for name, file in before.items() if not file.url.startswith("wheel:")}
    resolution = resolve(wanted, site.env, versions, progress, IndexPages(network, expanded.indexes))
    known = {file.sha256: file.size for file in before.values()}
    return _complete(resolution, artifacts, expanded.indexes, known, network, progress, site)


def _complete(
    resolution: Resolution,
    artifacts: Path,
    indexes: Sequence[Index],
    known_sizes: dict[str, int],
    network: Network,
    progress: Progress,
    site: Site,
) -> LockedWheels:
    result = LockedWheels(unlocked=list(resolution.unlocked), failed=resolution.failed, shared=resolution.shared)
    drafts: list[LockedFile] = []
    for layer, wheels in resolution.layers:
        files = [_draft(layer, wheel, artifacts, indexes, known_sizes) for wheel in wheels]
        result.layers.append((layer, [file.path for file in files]))
        drafts += files
    drafts = [file if file.sha256 else _learn(file, artifacts, network, progress) for file in drafts]
    sized = with_sizes(drafts, network, progress, site.settings.sync.connections)
    result.files = [file if file.size else measured(file, artifacts, network, progress) for file in sized]
    return result


def _draft(
    layer: str, wheel: Wheel, artifacts: Path, indexes: Sequence[Index], known_sizes: dict[str, int]
) -> LockedFile:
    index = _index_of(wheel, indexes)
    url, size, sha256 = wheel.url, wheel.size, wheel.sha256
    if url.startswith("file:"):
        local = local_path(url) if url.startswith("file://") else artifacts / LOCAL_WHEELS / wheel.filename
        if (artifacts / LOCAL_WHEELS / wheel.filename).is_file():
            local = artifacts / LOCAL_WHEELS / wheel.filename
            url = f"file:{LOCAL_WHEELS}/{wheel.filename}"
        size, sha256 = local.stat().st_size, sha256_file(local)
    return LockedFile(
        path=f"layers/{layer}/wheels/{wheel.filename}",
        size=size or known_sizes.get(sha256, 0),
        sha256=sha256,
        kind=Kind.WHEEL,
        url=url,
        name=wheel.name,
        version=wheel.version,
        token_variable=index.token_variable if index else None,
        username_variable=index.username_variable if index else None,
        index=wheel.index,
    )


def _index_of(wheel: Wheel, indexes: Sequence[Index]) -> Index | None:
    """The extra index a wheel comes from: the one uv names, else the one on the wheel's host."""
    named = [index for index in indexes if wheel.index and index.url.rstrip("/") == wheel.index.rstrip("/")]
    host = urlsplit(wheel.url).netloc
    there = [index for index in indexes if urlsplit(index.url).netloc.rpartition("@")[2] == host]
    return next(iter([*named, *there]), None)


def _learn(file: LockedFile, artifacts: Path, network: Network, progress: Progress) -> LockedFile:
    """An index without hashes: the wheel is downloaded now, to its place, to learn its own."""
    progress.log(f"{file.path}: the index gives no SHA-256; downloading it to learn it")
    _, sha256, size = fetch_unknown(file, lambda _: file.under(artifacts), network, progress)
    return file.model_copy(update={"sha256": sha256, "size": size})
