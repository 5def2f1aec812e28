"""Packages that conflict: same import name, incompatible dependencies, NumPy 2 with wheels for NumPy 1."""

from __future__ import annotations

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from core.findings import Finding
from core.presets.compat.check_context import CheckContext, join_words
from core.presets.compat.image_packages import PINS, Package, ranges_overlap
from core.presets.compat.rows import NumpyRow, PackageRow, SameImportRow


def same_import(context: CheckContext) -> list[Finding]:
    """Two packages install the same files: the one that is installed last wins."""
    findings = []
    for row in context.facts.same_import.values():
        packages = [package for name in row.packages if (package := context.package(name)) and package.where != PINS]
        names = [f"{package.text} ({package.where})" for package in packages]
        others = [*_compiled(context, row), *_brought(context, row, {package.name for package in packages})]
        if not names or len(names) + len(others) < 2:
            continue
        one_release = row.alike and len({package.version or package.name for package in packages}) == 1
        level = Finding.warning if len(names) == 1 or one_release else Finding.error
        what = f"{join_words([*names, *others], 'and')} install the same `{row.key}`"
        why = "they overwrite each other's files: which one is imported, and whether it works, depends on their order"
        remedy = "keep one of them; if a dependency brings the other, put the two into separate presets"
        findings.append(level("same-import", what, why, remedy, packages[0].where, row.source))
    return findings


def _compiled(context: CheckContext, row: SameImportRow) -> list[str]:
    """What the builder stage installs over a package of the row."""
    version = context.preset.build_options.opencv_version
    return [f"OpenCV {version} (build_options.opencv_version)"] if row.key == "cv2" and version else []


def _brought(context: CheckContext, row: SameImportRow, packages: set[str]) -> list[str]:
    """Packages of the row that others are known to bring; empty with a complete lock."""
    if context.resolved and context.resolved.complete:
        return []
    bringers: dict[str, str] = {}
    for package in context.packages.values():
        brings = context.facts.brings.get(package.name)
        for name in brings.brings if brings else ():
            if name in row.packages and name not in packages:
                bringers.setdefault(name, f"{name} (brought by {package.text}, {package.where})")
    return list(bringers.values())


def numpy_1_wheels(context: CheckContext) -> list[Finding]:
    """Wheels compiled for NumPy 1 do not work with NumPy 2, and not all of them declare that."""
    numpy = context.package("numpy")
    if numpy is None and context.resolved and context.resolved.complete:
        return []  # there is none
    if numpy is not None and not _may_be_two(numpy):
        return []
    certain = numpy is not None and (bool(numpy.version) or not numpy.specifier.contains("1.26.4"))
    affected = [
        (package, row)
        for row in context.facts.numpy.values()
        if (package := context.package(row.package)) and package.where != PINS and _only_in(package, row)
    ]
    if not certain and any(row.capped for _, row in affected):
        return []  # one of them makes the resolver keep NumPy 1
    return [_numpy_1_finding(package, numpy, certain, row) for package, row in affected]


def _may_be_two(numpy: Package) -> bool:
    if numpy.version:
        return Version(numpy.version).major >= 2
    return any(numpy.specifier.contains(f"2.{minor}.{patch}") for minor in range(20) for patch in range(5))


def _only_in(package: Package, row: NumpyRow) -> bool:
    """Whether every possible version of the package is in the row's range."""
    limit = next(specifier.version for specifier in SpecifierSet(row.versions) if specifier.operator == "<")
    return package.may_match(row.versions) and not package.may_match(f">={limit}")


def _numpy_1_finding(package: Package, numpy: Package | None, certain: bool, row: NumpyRow) -> Finding:
    level = Finding.error if certain else Finding.warning
    has = f"{numpy.text} ({numpy.where}) {'is' if certain else 'allows'} NumPy 2" if numpy else _NOT_HELD
    limit = next(specifier.version for specifier in SpecifierSet(row.versions) if specifier.operator == "<")
    return level(
        "numpy-one",
        f"{package.text} was built for NumPy 1, and {has}",
        "a module compiled for NumPy 1 fails with NumPy 2 when it is imported or first used",
        f'add "numpy<2" to pins; or use {package.name}>={limit}',
        package.where,
        row.source,
    )


_NOT_HELD = "nothing keeps numpy below 2"


def known_conflicts(context: CheckContext) -> list[Finding]:
    """Dependencies in the tables that the preset excludes; the lock finds the rest."""
    findings = []
    by_package: dict[str, list[PackageRow]] = {}
    for row in context.facts.packages.values():
        entry = context.requirement(row.package)
        if entry and _ranges_meet(entry.requirement.specifier, SpecifierSet(row.versions)):
            by_package.setdefault(row.package, []).append(row)
    for package, rows in by_package.items():
        unmet, row = min(((_unmet(context, row), row) for row in rows), key=lambda candidate: len(candidate[0]))
        if unmet:  # else some release of the range is compatible
            entry = context.requirement(package)
            findings.append(
                Finding.warning(
                    "package-conflict",
                    f"no release allowed by {entry.requirement if entry else package} is compatible with this preset",
                    "; ".join(f"{package} {row.versions} needs {need}, {has}" for need, has, _ in unmet),
                    f"{' and '.join(remedy for _, _, remedy in unmet)}; or put the two into separate presets",
                    entry.where if entry else "",
                    row.source,
                )
            )
    return findings


def _ranges_meet(requested: SpecifierSet, described: SpecifierSet) -> bool:
    lower = [specifier.version for specifier in described if specifier.operator == ">="]
    start = Version(lower[0])
    candidates = [f"{start.major}.{start.minor}.{patch}" for patch in range(start.micro, start.micro + 10)]
    return any(requested.contains(version) and described.contains(version) for version in candidates)


def _unmet(context: CheckContext, row: PackageRow) -> list[tuple[str, str, str]]:
    """The needs of a row that the preset does not meet, as (need, what the preset has, remedy)."""
    unmet = []
    for need in row.needs:
        requirement = Requirement(need)
        if requirement.name in ("torch", "torchaudio") and context.preset.pytorch:
            if not requirement.specifier.contains(context.preset.pytorch.release):
                unmet.append((need, f"the preset has {context.preset.pytorch.version}", f"use {need}"))
            continue
        for entry in context.constraints(canonicalize_name(requirement.name)):
            if not ranges_overlap(requirement.specifier, entry.requirement.specifier):
                unmet.append((need, f"{entry.where} has {entry.requirement}", f"write {need} into {entry.where}"))
    return unmet
