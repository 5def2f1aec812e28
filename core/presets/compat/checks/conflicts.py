"""Packages that do not go together: same import name, what one asks of another, NumPy 2 under wheels for NumPy 1."""

from __future__ import annotations

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from core.findings import Finding
from core.presets.compat.installed import PINS, Package, overlap
from core.presets.compat.rows import NumpyRow, PackageRow, SameImportRow
from core.presets.compat.subject import Subject, error, listed, warning


def same_import(subject: Subject) -> list[Finding]:
    """Two packages that install the same files: the one that is installed last wins, as chance has it."""
    found = []
    for row in subject.facts.same_import.values():
        packages = [package for name in row.packages if (package := subject.package(name)) and package.where != PINS]
        names = [f"{package.text} ({package.where})" for package in packages]
        others = [*_compiled(subject, row), *_brought(subject, row, {package.name for package in packages})]
        if not names or len(names) + len(others) < 2:
            continue
        one_release = row.alike and len({package.version or package.name for package in packages}) == 1
        level = warning if len(names) == 1 or one_release else error
        what = f"{listed([*names, *others], 'and')} install the same `{row.key}`"
        why = "they overwrite each other's files: which one answers, and whether it imports, depends on their order"
        remedy = "keep one of them; where a dependency brings the other, give the two a preset each"
        found.append(level("same-import", what, why, remedy, packages[0].where, row.source))
    return found


def _compiled(subject: Subject, row: SameImportRow) -> list[str]:
    """What the builder stage puts over a package of the row."""
    version = subject.preset.build_options.opencv_version
    return [f"OpenCV {version} (build_options.opencv_version)"] if row.key == "cv2" and version else []


def _brought(subject: Subject, row: SameImportRow, named: set[str]) -> list[str]:
    """Those that others are known to bring, while no lock tells."""
    if subject.resolved and subject.resolved.complete:
        return []
    bringers: dict[str, str] = {}
    for package in subject.packages.values():
        brings = subject.facts.brings.get(package.name)
        for name in brings.brings if brings else ():
            if name in row.packages and name not in named:
                bringers.setdefault(name, f"{name} (brought by {package.text}, {package.where})")
    return list(bringers.values())


def numpy_one(subject: Subject) -> list[Finding]:
    """Wheels that were compiled for NumPy 1 do not work with NumPy 2, and not all of them say so themselves."""
    numpy = subject.package("numpy")
    if numpy is None and subject.resolved and subject.resolved.complete:
        return []  # there is none
    if numpy is not None and not _may_be_two(numpy):
        return []
    known = numpy is not None and (bool(numpy.version) or not numpy.specifier.contains("1.26.4"))
    built = [
        (package, row)
        for row in subject.facts.numpy.values()
        if (package := subject.package(row.package)) and package.where != PINS and _only_in(package, row)
    ]
    if not known and any(row.capped for _, row in built):
        return []  # one of them makes the resolver keep NumPy 1
    return [_built_for_one(package, numpy, known, row) for package, row in built]


def _may_be_two(numpy: Package) -> bool:
    if numpy.version:
        return Version(numpy.version).major >= 2
    return any(numpy.specifier.contains(f"2.{minor}.{patch}") for minor in range(20) for patch in range(5))


def _only_in(package: Package, row: NumpyRow) -> bool:
    """Whether every version in which the package may come is one of the row's."""
    limit = next(one.version for one in SpecifierSet(row.versions) if one.operator == "<")
    return package.may_be(row.versions) and not package.may_be(f">={limit}")


def _built_for_one(package: Package, numpy: Package | None, known: bool, row: NumpyRow) -> Finding:
    level = error if known else warning
    has = f"{numpy.text} ({numpy.where}) {'is' if known else 'allows'} NumPy 2" if numpy else _NOT_HELD
    limit = next(one.version for one in SpecifierSet(row.versions) if one.operator == "<")
    return level(
        "numpy-one",
        f"{package.text} was built for NumPy 1, and {has}",
        "a module compiled for NumPy 1 fails with NumPy 2 when it is imported or first used",
        f'add "numpy<2" to pins; or take {package.name}>={limit}',
        package.where,
        row.source,
    )


_NOT_HELD = "nothing holds numpy below 2"


def known_conflicts(subject: Subject) -> list[Finding]:
    """What packages ask of others, as far as the tables know; the lock finds the rest."""
    found = []
    by_package: dict[str, list[PackageRow]] = {}
    for row in subject.facts.packages.values():
        wish = subject.wish(row.package)
        if wish and _ranges_meet(wish.requirement.specifier, SpecifierSet(row.versions)):
            by_package.setdefault(row.package, []).append(row)
    for package, rows in by_package.items():
        unmet, row = min(((_unmet(subject, row), row) for row in rows), key=lambda one: len(one[0]))
        if unmet:  # else some release of the range gets along with everything
            wish = subject.wish(package)
            found.append(
                warning(
                    "package-conflict",
                    f"no release allowed by {wish.requirement if wish else package} goes with this preset",
                    "; ".join(f"{package} {row.versions} needs {need}, {has}" for need, has, _ in unmet),
                    f"{' and '.join(remedy for _, _, remedy in unmet)}; or give the two a preset each",
                    wish.where if wish else "",
                    row.source,
                )
            )
    return found


def _ranges_meet(wanted: SpecifierSet, known: SpecifierSet) -> bool:
    lower = [specifier.version for specifier in known if specifier.operator == ">="]
    start = Version(lower[0])
    candidates = [f"{start.major}.{start.minor}.{patch}" for patch in range(start.micro, start.micro + 10)]
    return any(wanted.contains(version) and known.contains(version) for version in candidates)


def _unmet(subject: Subject, row: PackageRow) -> list[tuple[str, str, str]]:
    """What a row's needs have against the preset: the need, what the preset has, what to do."""
    found = []
    for need in row.needs:
        wanted = Requirement(need)
        if wanted.name in ("torch", "torchaudio") and subject.preset.pytorch:
            if not wanted.specifier.contains(subject.preset.pytorch.release):
                found.append((need, f"the preset has {subject.preset.pytorch.version}", f"take {need}"))
            continue
        for wish in subject.constraints(canonicalize_name(wanted.name)):
            if not overlap(wanted.specifier, wish.requirement.specifier):
                found.append((need, f"{wish.where} has {wish.requirement}", f"write {need} into {wish.where}"))
    return found
