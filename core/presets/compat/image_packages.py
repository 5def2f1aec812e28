"""The packages that an image will hold, from wherever they stand: fields, layers, pins, and the current lock."""

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
    """One wheel of a lock: `wheel` is its file name."""

    name: str
    version: str
    layer: str
    wheel: str = ""


@dataclass(frozen=True)
class Resolved:
    """What the current lock of a preset holds, as data. `os_release` is the base image's: `ubuntu 22.04`.

    `environment` are the variables of the image that containers start from, `cuda` is the CUDA_VERSION of the base
    image; both None when the images are not there. `complete`: nothing is missing that could not be locked.
    `built` has the package of each address whose wheel was built, though the address does not name it.
    """

    packages: tuple[LockedPackage, ...] = ()
    os_release: str = ""
    environment: Mapping[str, str] | None = None
    cuda: str | None = None
    complete: bool = True
    built: Mapping[str, str] = field(default_factory=dict)


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
        """The one version that it allows, `2.8.0+cu128`; empty when it allows several or does not tell."""
        if self.requirement.url:
            return _version_of_file(self.wheel)
        exact = [one.version for one in self.requirement.specifier if one.operator in ("==", "===")]
        return next((text for text in exact if not text.endswith(".*") and is_version(text)), "")


@dataclass(frozen=True)
class Package:
    """One distribution of the image. `version` is empty while only a lock could tell it.

    `where` names the field, or the lock; `text` is the requirement as it is written, or name and version of the lock.
    `address`: it is named by one that does not tell its version.
    """

    name: str
    version: str
    where: str
    text: str
    specifier: SpecifierSet = field(default_factory=SpecifierSet)
    extras: frozenset[str] = frozenset()
    wheel: str = ""
    locked: bool = False
    address: bool = False

    def allows(self, version: str) -> bool:
        """Whether the package may come in this version."""
        if self.version:
            return Version(self.version) == Version(version)
        return self.specifier.contains(version, prereleases=True)

    def may_match(self, versions: str) -> bool:
        """Whether the package may come in a version of a range, `>=2.7,<2.8`."""
        expected = SpecifierSet(versions)
        if self.version:
            return expected.contains(Version(self.version).public, prereleases=True)
        return ranges_overlap(self.specifier, expected)

    def allowed(self, versions: Iterable[str]) -> list[str]:
        """Those of some versions in which the package may come, in their order."""
        return [version for version in versions if self.allows(version)]


# Extras that stand for a package of the same version.
IMPLIED_BY_EXTRAS = {
    ("jax", "cuda12"): "jax-cuda12-plugin",
    ("jax", "cuda12-pip"): "jax-cuda12-plugin",
    ("jax", "cuda12-local"): "jax-cuda12-plugin",
    ("jax", "cuda13"): "jax-cuda13-plugin",
    ("jax", "cuda13-local"): "jax-cuda13-plugin",
}


def ranges_overlap(first: SpecifierSet, second: SpecifierSet) -> bool:
    """Whether any version satisfies both: tried on the limits of both and just beside them."""
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
    """Requirements of layers and pins that hold on the image; a line that cannot be read is left out."""
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
    """The packages by name: as the lock has them, else as fields, layers and pins ask for them.

    `brings` says which packages are known to need which others.
    """
    by_name: dict[str, list[PresetRequirement]] = {}
    for entry in requirements:
        by_name.setdefault(entry.name, []).append(entry)
    packages = {name: _requested_package(name, entries) for name, entries in by_name.items()}
    if resolved is None:
        return {**_packages_of_extras(packages), **packages}
    # A pin alone installs nothing: what it holds is in the lock, or not in the image.
    packages = {name: package for name, package in packages.items() if package.where != PINS}
    for locked in resolved.packages:
        name = canonicalize_name(locked.name)
        if is_version(locked.version):
            packages[name] = _locked_package(locked, by_name, brings)
    return packages


def _packages_of_extras(packages: dict[str, Package]) -> dict[str, Package]:
    """The packages that extras stand for."""
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
    """Where a package that nobody names stands: in the lock, brought by another as far as that is known."""
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
    """Whether a text is a version of PEP 440."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def image_environment(python: str) -> dict[str, str]:
    """The markers' variables as they are in an image."""
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
