"""The wheels of all layers as locked files: resolved by uv, completed with sizes and hashes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from core.artifacts.index_pages import IndexPages
from core.artifacts.local_wheels import check_hashes, with_local_wheels
from core.artifacts.lockfile import Kind, Lock, LockedFile, Unlocked
from core.artifacts.network import Network
from core.artifacts.remote import fetch_unknown, local_path, measured, with_sizes
from core.artifacts.resolve import Resolution, resolve
from core.artifacts.store import LOCAL_WHEELS, folder
from core.artifacts.uv_compile import Wanted, name_of
from core.artifacts.uv_output import Wheel
from core.content import check
from core.files import sha256_bytes, sha256_file
from core.presets.layers import ExpandedPreset
from core.presets.model import Index
from core.progress import Progress
from core.site import Site

ORIGINS = "origins"  # the part of a lock's inputs that has the hash of where wheels may come from


@dataclass
class LockedWheels:
    """`layers` as (name, paths of wheels) in build order, `asked` their requirements.

    `index_failed`: an index could not be asked for some of them.
    """

    layers: list[tuple[str, list[str]]] = field(default_factory=list)
    files: list[LockedFile] = field(default_factory=list)
    unlocked: list[Unlocked] = field(default_factory=list)
    asked: dict[str, list[str]] = field(default_factory=dict)
    index_failed: bool = False
    shared: dict[str, list[str]] = field(default_factory=dict)


def lock_wheels(
    site: Site,
    preset: str,
    expanded: ExpandedPreset,
    python_version: str,
    platform: str,
    kept: Lock | None,
    network: Network,
    progress: Progress,
) -> LockedWheels:
    """Resolve all layers together; versions of `kept` stay where they still fit. What no index has comes from
    `local-wheels`, or is not locked. Raises XaivaError, Cancelled."""
    artifacts = folder(site, preset)
    for path in sorted((artifacts / LOCAL_WHEELS).glob("*.whl")):
        check(path, f"{LOCAL_WHEELS}/{path.name}")  # uv would say less of it
    expanded, local_only, missing = with_local_wheels(expanded, artifacts / LOCAL_WHEELS, preset, python_version)
    wanted = Wanted(
        preset=preset,
        layers=expanded.layers,
        pins=expanded.pins,
        indexes=expanded.indexes,
        python_version=python_version,
        platform=platform,
        find_links=artifacts / LOCAL_WHEELS,
        local_only=local_only,
        hashes=expanded.hashes,
    )
    before = {file.name: file for file in kept.of_kind(Kind.WHEEL)} if kept else {}
    versions = {name: file.version for name, file in before.items() if not file.url.startswith("wheel:")}
    resolution = resolve(wanted, site.env, versions, progress, IndexPages(network, expanded.indexes))
    known = {file.sha256: file.size for file in before.values()}
    result = _complete(resolution, artifacts, expanded.indexes, known, network, progress, site)
    check_hashes(result.files, expanded.hashes)
    result.unlocked += missing
    result.asked = {name: list(lines) for name, lines in wanted.layers}
    result.index_failed = bool(resolution.lost)
    if (
        resolution.lost
        and kept is not None
        and kept.inputs.get(ORIGINS) == origins_digest(places_of(wanted.indexes, site.env), python_version, platform)
    ):
        names = _keep(result, kept, wanted, progress)
        held = [one for name, one in resolution.lost.items() if name in names]
        result.unlocked = [one for one in result.unlocked if one not in held]
    return result


def places_of(indexes: Sequence[Index], env: Mapping[str, str]) -> list[object]:
    """What decides, beside the machine's own settings, which index a package comes from."""
    bound = [[index.name, index.url, index.packages] for index in indexes]
    return [*bound, env.get("UV_INDEX_STRATEGY", "")] if bound else []


def origins_digest(places: Sequence[object], python_version: str, platform: str) -> str:
    """A hash of where wheels may come from: while it stays the same, the locked ones are from the right place."""
    return sha256_bytes(json.dumps([places, python_version, platform]).encode())


def _keep(result: LockedWheels, kept: Lock, wanted: Wanted, progress: Progress) -> list[str]:
    """While an index fails, what came from the right place for the same wish stays, with what it needs."""
    asked = {layer.name: layer.asked for layer in kept.layers}
    before, now = _wishes(asked.items()), _wishes(wanted.layers)
    pins = [Requirement(pin) for pin in wanted.pins]
    there = {file.name for file in result.files}
    by_path, names = kept.by_path(), []
    for at, (name, paths) in enumerate(result.layers):
        files = [by_path[path] for layer in kept.layers if layer.name == name for path in layer.wheels]
        fits = [
            file
            for file in files
            if file.name not in there
            and file.index
            and before.get(file.name) == now.get(file.name)
            and all(pin.specifier.contains(file.version, prereleases=True) for pin in pins if _is(pin, file.name))
        ]
        result.layers[at] = (name, [*paths, *(file.path for file in fits)])
        result.files += fits
        names += [file.name for file in fits]
    if names:
        progress.log(f"kept from the earlier lock, as their index cannot be asked: {', '.join(sorted(names))}")
    return names


def _wishes(layers: Iterable[tuple[str, Sequence[str]]]) -> dict[str, set[str]]:
    """Package → the lines that ask for it."""
    wishes: dict[str, set[str]] = {}
    for _, lines in layers:
        for line in lines:
            wishes.setdefault(name_of(line), set()).add(line)
    return wishes


def _is(pin: Requirement, package: str) -> bool:
    return canonicalize_name(pin.name) == package


def _complete(
    resolution: Resolution,
    artifacts: Path,
    indexes: Sequence[Index],
    known_sizes: dict[str, int],
    network: Network,
    progress: Progress,
    site: Site,
) -> LockedWheels:
    result = LockedWheels(unlocked=list(resolution.unlocked), shared=resolution.shared)
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
