"""Wheels in `local-wheels` for requirements that no index has: built with `xaiva wheel`, or copied there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from core.artifacts.lockfile import LockedFile, Unlocked
from core.errors import XaivaError
from core.files import list_files, write_atomic
from core.presets.compat.layer_findings import holds_in_image
from core.presets.direct_references import explain_unlockable
from core.presets.layer_file import LayerReference, read_layer_file
from core.presets.layers import ExpandedPreset

# Beside the wheels: `NAME @ ADDRESS` for each wheel built from an address, because a layer's line may lack the name.
ADDRESSES_FILE = "addresses.txt"


def with_local_wheels(
    expanded: ExpandedPreset, folder: Path, preset: str, python: str
) -> tuple[ExpandedPreset, frozenset[str], list[Unlocked]]:
    """Replace each requirement that no index has by a version in `folder`.

    Returns the layers, the packages that come from `folder` alone, and the requirements without a wheel there.
    """
    versions, names = local_versions(folder), names_by_address(folder)
    layers = {name: list(lines) for name, lines in expanded.layers}
    local: set[str] = set()
    missing: dict[str, list[LayerReference]] = {}
    for layer, entry in expanded.direct_references:
        requirement = entry.reference
        if not holds_in_image(entry, python):
            continue
        package = requirement.name or names.get(requirement.address, "")
        if package in versions:
            marker = f" ; {requirement.marker}" if requirement.marker else ""
            layers[layer].append(f"{package}{requirement.extras}=={versions[package]}{marker}")
            local.add(package)
        else:
            missing.setdefault(layer, []).append(entry)
    unlocked = [
        Unlocked(what=f"{part.what} (layer {layer})", why=part.why, remedy=part.remedy)
        for layer, entries in missing.items()
        for part in explain_unlockable(entries, preset, python)
    ]
    return replace(expanded, layers=[(name, layers[name]) for name, _ in expanded.layers]), frozenset(local), unlocked


def local_versions(folder: Path) -> dict[str, Version]:
    """Package → its newest version among the wheels of a folder. Raises InputError when it cannot be read."""
    versions: dict[str, Version] = {}
    for path in list_files(folder, ".whl"):
        try:
            name, version = parse_wheel_filename(path.name)[:2]
        except InvalidWheelFilename:
            continue  # uv ignores it, too
        versions[name] = max(version, versions.get(name, version))
    return versions


def names_by_address(folder: Path) -> dict[str, str]:
    """Address → package, from `addresses.txt` in `folder`; empty without that file."""
    if not (folder / ADDRESSES_FILE).is_file():
        return {}
    entries = read_layer_file(folder, ADDRESSES_FILE).direct_references
    return {entry.reference.address: entry.reference.name for entry in entries}


def record_address(folder: Path, address: str, package: str) -> None:
    """Record the package that an address provides, so that a layer's line with that address alone finds its wheel."""
    names = {**names_by_address(folder), address: package}
    write_atomic(folder / ADDRESSES_FILE, "".join(f"{name} @ {address}\n" for address, name in sorted(names.items())))


def check_hashes(files: Sequence[LockedFile], hashes: dict[str, list[str]]) -> None:
    """Raise XaivaError for a file with another SHA-256 than its layer's `--hash` allows (`hashes`: by package)."""
    for file in files:
        allowed = hashes.get(file.name)
        if allowed and file.sha256 not in allowed:
            raise XaivaError(
                f"{file.path.rpartition('/')[2]} matches no --hash of its layer",
                f"its SHA-256 is {file.sha256}; allowed are {', '.join(dict.fromkeys(allowed))}",
                f"ask the author of the hashes; if this file is right, add --hash=sha256:{file.sha256} to {file.name}",
            )
