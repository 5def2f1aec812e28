"""Locks the wheels of all layers: resolves them with uv and completes them with sizes and hashes."""

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
from core.artifacts.lock_store import LOCAL_WHEELS, artifacts_folder
from core.artifacts.lockfile import FileKind, Lock, LockedFile, Unlocked
from core.artifacts.network import Network
from core.artifacts.remote_metadata import download_for_hash, local_path, with_size, with_sizes
from core.artifacts.resolve import Resolution, resolve
from core.artifacts.uv_compile import ResolveRequest, package_name
from core.artifacts.uv_output import Wheel
from core.content import check_content
from core.files import sha256_bytes, sha256_file
from core.presets.layers import ExpandedPreset
from core.presets.model import Index
from core.progress import Progress
from core.site import Site

ORIGINS_INPUT = "origins"  # key of `origins_digest` in the inputs of a lock


@dataclass
class LockedWheels:
    """The wheels of a lock."""

    layers: list[tuple[str, list[str]]] = field(default_factory=list)
    """(name, paths of wheels) in build order."""
    files: list[LockedFile] = field(default_factory=list)
    unlocked: list[Unlocked] = field(default_factory=list)
    asked: dict[str, list[str]] = field(default_factory=dict)
    """Layer → its requirements."""
    index_failed: bool = False
    """Whether some packages are missing because an index failed."""
    shared: dict[str, list[str]] = field(default_factory=dict)
    """As in `Lock.shared`."""


def lock_wheels(
    site: Site,
    preset: str,
    expanded: ExpandedPreset,
    python_version: str,
    platform: str,
    previous: Lock | None,
    network: Network,
    progress: Progress,
) -> LockedWheels:
    """Resolve all layers together, keeping the versions of `previous` where they still fit.

    Requirements that no index has come from `local-wheels`, or are not locked. Raises XaivaError, Cancelled.
    """
    artifacts = artifacts_folder(site, preset)
    for path in sorted((artifacts / LOCAL_WHEELS).glob("*.whl")):
        check_content(path, f"{LOCAL_WHEELS}/{path.name}")  # its message is better than uv's
    expanded, local_only, missing = with_local_wheels(expanded, artifacts / LOCAL_WHEELS, preset, python_version)
    request = ResolveRequest(
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
    previous_wheels = {file.name: file for file in previous.of_kind(FileKind.WHEEL)} if previous else {}
    versions = {name: file.version for name, file in previous_wheels.items() if not file.url.startswith("wheel:")}
    resolution = resolve(request, site.env, versions, progress, IndexPages(network, expanded.indexes))
    known_sizes = {file.sha256: file.size for file in previous_wheels.values()}
    result = _with_sizes_and_hashes(resolution, artifacts, expanded.indexes, known_sizes, network, progress, site)
    check_hashes(result.files, expanded.hashes)
    result.unlocked += missing
    result.asked = {name: list(lines) for name, lines in request.layers}
    result.index_failed = bool(resolution.behind_failed_index)
    if (
        resolution.behind_failed_index
        and previous is not None
        and previous.inputs.get(ORIGINS_INPUT)
        == origins_digest(index_rules(request.indexes, site.env), python_version, platform)
    ):
        names = _keep_previous_wheels(result, previous, request, progress)
        kept = [part for name, part in resolution.behind_failed_index.items() if name in names]
        result.unlocked = [part for part in result.unlocked if part not in kept]
    return result


def index_rules(indexes: Sequence[Index], env: Mapping[str, str]) -> list[object]:
    """The preset's part in deciding which index a package comes from."""
    bound = [[index.name, index.url, index.packages] for index in indexes]
    return [*bound, env.get("UV_INDEX_STRATEGY", "")] if bound else []


def origins_digest(rules: Sequence[object], python_version: str, platform: str) -> str:
    """A hash of the index rules and the target: while it is unchanged, the locked wheels are from the right index."""
    return sha256_bytes(json.dumps([rules, python_version, platform]).encode())


def _keep_previous_wheels(
    result: LockedWheels, previous: Lock, request: ResolveRequest, progress: Progress
) -> list[str]:
    """Keep the previous wheels of a failed index whose requirements are unchanged; returns their packages."""
    requirements = {layer.name: layer.asked for layer in previous.layers}
    before, now = _lines_by_package(requirements.items()), _lines_by_package(request.layers)
    pins = [Requirement(pin) for pin in request.pins]
    locked_names = {file.name for file in result.files}
    by_path, names = previous.by_path(), []
    for at, (name, paths) in enumerate(result.layers):
        files = [by_path[path] for layer in previous.layers if layer.name == name for path in layer.wheels]
        fits = [
            file
            for file in files
            if file.name not in locked_names
            and file.index
            and before.get(file.name) == now.get(file.name)
            and all(pin.specifier.contains(file.version, prereleases=True) for pin in pins if _is_for(pin, file.name))
        ]
        result.layers[at] = (name, [*paths, *(file.path for file in fits)])
        result.files += fits
        names += [file.name for file in fits]
    if names:
        progress.log(f"kept from the earlier lock, as their index cannot be asked: {', '.join(sorted(names))}")
    return names


def _lines_by_package(layers: Iterable[tuple[str, Sequence[str]]]) -> dict[str, set[str]]:
    """Package → the requirements that name it."""
    lines_by_package: dict[str, set[str]] = {}
    for _, lines in layers:
        for line in lines:
            lines_by_package.setdefault(package_name(line), set()).add(line)
    return lines_by_package


def _is_for(pin: Requirement, package: str) -> bool:
    return canonicalize_name(pin.name) == package


def _with_sizes_and_hashes(
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
    drafts = [file if file.sha256 else _download_for_hash(file, artifacts, network, progress) for file in drafts]
    sized = with_sizes(drafts, network, progress, site.settings.sync.connections)
    result.files = [file if file.size else with_size(file, artifacts, network, progress) for file in sized]
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
        kind=FileKind.WHEEL,
        url=url,
        name=wheel.name,
        version=wheel.version,
        token_variable=index.token_variable if index else None,
        username_variable=index.username_variable if index else None,
        index=wheel.index,
    )


def _index_of(wheel: Wheel, indexes: Sequence[Index]) -> Index | None:
    """The preset's index that a wheel comes from: the one uv names, else the one on the wheel's host; else None."""
    named = [index for index in indexes if wheel.index and index.url.rstrip("/") == wheel.index.rstrip("/")]
    host = urlsplit(wheel.url).netloc
    same_host = [index for index in indexes if urlsplit(index.url).netloc.rpartition("@")[2] == host]
    return next(iter([*named, *same_host]), None)


def _download_for_hash(file: LockedFile, artifacts: Path, network: Network, progress: Progress) -> LockedFile:
    """Download a wheel from an index without hashes to its place, to compute its SHA-256."""
    progress.log(f"{file.path}: the index gives no SHA-256; downloading the file to compute it")
    _, sha256, size = download_for_hash(file, lambda _: file.under(artifacts), network, progress)
    return file.model_copy(update={"sha256": sha256, "size": size})
