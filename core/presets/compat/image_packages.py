"""Collects the packages of an image from fields, layers, pins and the current lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

PINS = "pins"
Layers = Sequence[tuple[str, Sequence[str]]]  # names and requirement lines


@dataclass(frozen=True)
class LockedPackage:
    """One wheel of a lock; `wheel` is its file name."""

    name: str
    version: str
    layer: str
    wheel: str = ""


@dataclass(frozen=True)
class Resolved:
    """The content of a preset's current lock, as far as the checks need it."""

    packages: tuple[LockedPackage, ...] = ()
    os_release: str = ""
    """Of the base image: `ubuntu 22.04`."""

    environment: Mapping[str, str] | None = None
    """Variables of the image that containers start from; None when the image is not there."""

    cuda: str | None = None
    """CUDA_VERSION of the base image; None when the image is not there."""

    complete: bool = True
    """Whether everything could be locked."""

    built: Mapping[str, str] = field(default_factory=dict)
    """Address without a package name to the package that was built from it."""


@dataclass(frozen=True)
class PresetRequirement:
    """One requirement of a layer, a field or a pin; `where` names the field."""

    requirement: Requirement
    where: str

    @property
    def name(self) -> str:
        """The package's canonical name."""
        return canonicalize_name(self.requirement.name)

    @property
    def wheel(self) -> str:
        """The file name at the end of the requirement's address; empty without one."""
        return PurePosixPath(unquote(urlsplit(self.requirement.url).path)).name if self.requirement.url else ""

    @property
    def version(self) -> str:
        """The only version that it allows, `2.8.0+cu128`; empty when it allows several or none is known."""
        if self.requirement.url:
            return _version_of_file(self.wheel)
        exact = [one.version for one in self.requirement.specifier if one.operator in ("==", "===")]
        return next((text for text in exact if not text.endswith(".*") and is_version(text)), "")


@dataclass(frozen=True)
class Package:
    """One Python package of the image."""

    name: str
    version: str
    """Empty while only a lock could tell it."""

    where: str
    """The field or the place in the lock."""

    text: str
    """The requirement, or name and version from the lock."""

    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    extras: frozenset[str] = frozenset()
    wheel: str = ""
    locked: bool = False
    address: bool = False
    """Whether it is required by an address without a version."""

    def allows(self, version: str) -> bool:
        """Whether the package may be installed in this version."""
        if self.version:
            return Version(self.version) == Version(version)
        return self.specifier.contains(version, prereleases=True)

    def may_match(self, versions: str) -> bool:
        """Whether the package may be installed in a version of a range, `>=2.7,<2.8`."""
        expected = SpecifierSet(versions)
        if self.version:
            return expected.contains(Version(self.version).public, prereleases=True)
        return ranges_overlap(self.specifier, expected)

    def allowed(self, versions: Iterable[str]) -> list[str]:
        """The versions that the package may be installed in, in the given order."""
        return [version for version in versions if self.allows(version)]


# Extras that install a package of the same version.
IMPLIED_BY_EXTRAS = {
    ("jax", "cuda12"): "jax-cuda12-plugin",
    ("jax", "cuda12-pip"): "jax-cuda12-plugin",
    ("jax", "cuda12-local"): "jax-cuda12-plugin",
    ("jax", "cuda13"): "jax-cuda13-plugin",
    ("jax", "cuda13-local"): "jax-cuda13-plugin",
}


def ranges_overlap(first: SpecifierSet, second: SpecifierSet) -> bool:
    """Whether any version satisfies both. Tests the limits of both ranges and the versions next to them."""
    limits = {
        Version(specifier.version.removesuffix(".*"))
        for specifier in (*first, *second)
        if is_version(specifier.version.removesuffix(".*"))
    }
    candidates = {str(limit) for limit in limits}
    for limit in limits:
        major, minor, micro = (*limit.release, 0, 0)[:3]
        candidates |= {f"{major}.{minor}.{micro + 1}", f"{major}.{minor}.{max(micro - 1, 0)}"}
        candidates |= {f"{major}.{minor + 1}.0", f"{major}.{max(minor - 1, 0)}.99", f"{max(major - 1, 0)}.99.0"}
    return any(
        first.contains(candidate, prereleases=True) and second.contains(candidate, prereleases=True)
        for candidate in candidates or {"1.0"}
    )


def parse_requirements(layers: Layers, pins: Sequence[str], python: str) -> tuple[PresetRequirement, ...]:
    """Requirements of layers and pins whose markers apply to the image; unreadable lines are left out."""
    entries = []
    for where, lines in [*((f"layers: {name}", lines) for name, lines in layers), (PINS, pins)]:
        for line in lines:
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            if requirement.marker is None or requirement.marker.evaluate(image_environment(python)):
                entries.append(PresetRequirement(requirement, where))
    return tuple(entries)


def collect_packages(
    requirements: Iterable[PresetRequirement], resolved: Resolved | None, brings: dict[str, list[str]]
) -> dict[str, Package]:
    """The packages by name: from the lock if there is one, else from fields, layers and pins.

    `brings` maps packages to those that they are known to depend on.
    """
    by_name: dict[str, list[PresetRequirement]] = {}
    for entry in requirements:
        by_name.setdefault(entry.name, []).append(entry)
    packages = {name: _requested_package(name, entries) for name, entries in by_name.items()}
    if resolved is None:
        return {**_packages_of_extras(packages), **packages}
    # A pin alone installs nothing: its package is in the lock, or not in the image.
    packages = {name: package for name, package in packages.items() if package.where != PINS}
    for locked in resolved.packages:
        name = canonicalize_name(locked.name)
        if is_version(locked.version):
            packages[name] = _locked_package(locked, by_name, brings)
    return packages


def _packages_of_extras(packages: dict[str, Package]) -> dict[str, Package]:
    """The packages that extras install."""
    implied = {}
    for package in packages.values():
        for extra in package.extras:
            name = IMPLIED_BY_EXTRAS.get((package.name, canonicalize_name(extra)))
            if name:
                implied[name] = replace(package, name=name, wheel="", extras=frozenset())
    return implied


def _requested_package(name: str, requirements: Sequence[PresetRequirement]) -> Package:
    installing = [entry for entry in requirements if entry.where != PINS] or list(requirements)
    exact = next((entry for entry in [*installing, *requirements] if entry.version), None)
    specifier = SpecifierSet()
    for entry in requirements:
        specifier &= entry.requirement.specifier
    limits = [exact] if exact else [entry for entry in requirements if entry.requirement.specifier]
    texts = dict.fromkeys(str(entry.requirement) for entry in (installing[0], *limits))
    return Package(
        name=name,
        version=exact.version if exact else "",
        where=(exact if exact and exact in installing else installing[0]).where,
        text=" with ".join(texts),
        specifier=specifier,
        extras=frozenset(extra for entry in requirements for extra in entry.requirement.extras),
        wheel=next((wish.wheel for wish in installing if wish.wheel.endswith(".whl")), ""),
        address=exact is None and any(wish.requirement.url for wish in installing),
    )


def _locked_package(
    locked: LockedPackage, by_name: dict[str, list[PresetRequirement]], brings: dict[str, list[str]]
) -> Package:
    name = canonicalize_name(locked.name)
    requested = [entry for entry in by_name.get(name, []) if entry.where != PINS]
    return Package(
        name=name,
        version=locked.version,
        where=requested[0].where if requested else _locked_place(locked, by_name, brings),
        text=f"{name} {locked.version}",
        specifier=SpecifierSet(f"=={locked.version}"),
        extras=frozenset(extra for entry in requested for extra in entry.requirement.extras),
        wheel=locked.wheel,
        locked=True,
    )


def _locked_place(
    entry: LockedPackage, by_name: dict[str, list[PresetRequirement]], brings: dict[str, list[str]]
) -> str:
    """The place of a package that no requirement names: its layer in the lock, and the package that brings it."""
    name = canonicalize_name(entry.name)
    bringers = sorted(other for other in by_name if name in brings.get(other, ()))
    return f"lock: layer {entry.layer}" + (f", brought by {', '.join(bringers)}" if bringers else "")


def _version_of_file(name: str) -> str:
    try:
        if name.endswith(".whl"):
            return str(parse_wheel_filename(name)[1])
        return str(parse_sdist_filename(name)[1])
    except (InvalidWheelFilename, InvalidSdistFilename):
        return ""


def is_version(text: str) -> bool:
    """Whether a text is a PEP 440 version."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def image_environment(python: str) -> dict[str, str]:
    """The environment markers of an image."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
        "extra": "",
    }
