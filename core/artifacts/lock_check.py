"""Feeds the compatibility check with what a preset's lock resolved."""

from __future__ import annotations

import json
from pathlib import Path

from core.artifacts.local_wheels import names_by_address
from core.artifacts.lock_store import LOCAL_WHEELS, LockedPreset, artifacts_folder, find_lock
from core.artifacts.lockfile import FileKind, Lock, LockedImage
from core.errors import XaivaError
from core.findings import Finding, Level
from core.presets.compat import LockedPackage, Resolved, TargetMachine, check, site_facts
from core.presets.compat.machine import preset_target
from core.presets.model import Preset
from core.presets.store import preset_sha256
from core.site import Site


def check_preset(site: Site, name: str, preset: Preset, target: TargetMachine | None = None) -> list[Finding]:
    """Check a preset of a site, with what its lock resolved if the lock is up to date."""
    return check(preset, target, site=site, resolved=current_resolved(site, name, preset), name=name)


def current_resolved(site: Site, name: str, preset: Preset) -> Resolved | None:
    """What the lock of `name` resolved; None without a lock, or when the preset has changed since."""
    lock = find_lock(site, name)
    try:
        same = lock is not None and lock.preset_sha256 == preset_sha256(preset, site.presets)
    except XaivaError:
        return None  # a requirement file cannot be read; the check reports that
    return resolved_of_lock(lock, artifacts_folder(site, name)) if lock is not None and same else None


def resolved_of_lock(lock: Lock, artifacts: Path) -> Resolved:
    """The wheels of a lock, the distribution of its base image, and the variables of its images in `artifacts`."""
    by_path = lock.by_path()
    packages = tuple(
        LockedPackage(name=file.name, version=file.version, layer=layer.name, wheel=path.rpartition("/")[2])
        for layer in lock.layers
        for path in layer.wheels
        for file in [by_path[path]]
        if file.kind is FileKind.WHEEL
    )
    os_release = lock.base_image.os_release if lock.base_image.config_digest else ""  # without a digest it is a guess
    base = _environment(lock.base_image, artifacts)
    runtime = _environment(lock.runtime_base_image, artifacts) if lock.runtime_base_image else base
    cuda = None if base is None else base.get("CUDA_VERSION", "")
    built = names_by_address(artifacts / LOCAL_WHEELS)
    return Resolved(packages, os_release, runtime, cuda, complete=not lock.unlocked, built=built)


def _environment(image: LockedImage, artifacts: Path) -> dict[str, str] | None:
    """The environment variables of an image; None when its files are missing or damaged."""
    path = artifacts / image.folder / "blobs/sha256" / image.config_digest.removeprefix("sha256:")
    try:
        config = json.loads(path.read_bytes())
        return dict(entry.split("=", 1) for entry in config["config"].get("Env") or [])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def check_locked(locked: LockedPreset) -> list[Finding]:
    """The check's errors and warnings about a lock, for the preset's target machine, which may not be this host."""
    target = preset_target(locked.preset, site_facts(locked.site)) or TargetMachine()
    resolved = resolved_of_lock(locked.lock, locked.folder)
    findings = check(locked.preset, target, site=locked.site, resolved=resolved, name=locked.name)
    # `layer-source` is about packages that no index has; the lock has them in `unlocked`.
    return [finding for finding in findings if finding.level is not Level.NOTE and finding.code != "layer-source"]
