"""PyTorch: wheel tags, Pythons, and the versions that were built for each other."""

from __future__ import annotations

import re

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.facts import Facts
from core.presets.compat.installed import Package
from core.presets.compat.rows import TorchRow
from core.presets.compat.subject import Subject, error, listed, note, warning


def torch_tag(subject: Subject) -> list[Finding]:
    """Whether wheels of this release with this tag exist."""
    torch, version = subject.torch, subject.torch_version
    if torch is None:
        return []
    row, tag = subject.torch_row, subject.tag
    if row is None:
        return [] if _no_release_for(subject, torch) else [_unknown(subject, torch)]
    if Version(version).is_prerelease:
        why = f"it is no release; it was judged as torch {row.key}"
        return [warning("torch-unknown", f"torch {version} is not in the tables", why, _OVERLAY, torch.where)]
    if tag and tag not in subject.facts.wheel_tags:
        known = listed([*row.tags, *row.experimental_tags])
        what = f"the wheel tag {tag} is not in the tables"
        return [warning("torch-tag-unknown", what, f"known for torch {row.key}: {known}", _OVERLAY, torch.where)]
    if not tag and not torch.locked:
        what = f"which wheel tag {torch.text} comes with is not known"
        why = "the address of the index that it is bound to does not tell; no GPU and no driver was checked"
        remedy = "lock the preset, then check it again; or write the tag, as in +cu126"
        return [warning("torch-tag-unknown", what, why, remedy, torch.where)]
    plain = tag == row.default_tag and not Version(version).local
    if tag in ("", "cpu") or tag in row.tags or plain:
        return []
    if tag in row.experimental_tags:
        return [note("torch-tag-experimental", f"PyTorch calls {tag} experimental for {row.key}", source=row.source)]
    release = str(Version(version).public)
    return [] if torch.locked else [_no_such_wheels(release, tag, row, subject.facts, torch.where)]


_OVERLAY = "if you know that it works, add a row in docker/compat/, or name this code in `overrides`"


def _unknown(subject: Subject, torch: Package) -> Finding:
    tables = list(subject.facts.torch)
    why = f"the tables go from {tables[0]} to {tables[-1]}; nothing is known about its wheels"
    if torch.address:
        why = "its address does not tell the version; nothing is known about its wheels"
    elif not torch.version:
        why += f" for Python {subject.preset.python_version}"
    return warning("torch-unknown", f"{torch.text} is not in the tables", why, _OVERLAY, torch.where)


def _no_such_wheels(release: str, tag: str, row: TorchRow, facts: Facts, where: str) -> Finding:
    last = newest_torch(tag, facts)
    ways = [f"take torch {release} with {listed([*row.tags, *row.experimental_tags])}"]
    if last:
        ways.append(f"keep {tag} with torch {last}, its newest")
    return error(
        "torch-tag",
        f"there is no torch {release} with {tag}",
        f"torch {row.key} was built with {listed([*row.tags, *row.experimental_tags], 'and')}",
        "; or ".join(ways),
        where,
        row.source,
    )


def newest_torch(tag: str, facts: Facts, python: str = "") -> str:
    """The newest known torch that has wheels with this tag (and for this Python); empty for none."""
    rows = [
        row
        for row in facts.torch.values()
        if tag in (*row.tags, *row.experimental_tags) and (not python or python in row.python)
    ]
    versions = [pair.torch for row in rows for pair in row.versions]
    return max(versions, key=Version, default="")


def torch_python(subject: Subject) -> list[Finding]:
    """Whether wheels of this release for the preset's Python exist."""
    torch, python = subject.torch, subject.preset.python_version
    if torch is None or torch.locked:
        return []
    if not subject.torch_versions:
        return _no_release_for(subject, torch)
    row = subject.torch_row
    if row is None or python in row.python:
        return []
    if python in row.experimental_python:
        what = f"PyTorch calls Python {python} experimental for torch {row.key}"
        return [warning("torch-python", what, "some companions have no wheels for it", _any_of(row), _PYTHON)]
    return [_no_python(subject, f"torch {row.key}", row)]


_PYTHON = "python_version"


def _no_release_for(subject: Subject, torch: Package) -> list[Finding]:
    """A range of releases none of which has wheels for the preset's Python."""
    rows = [row for row in subject.facts.torch.values() if torch.allowed(pair.torch for pair in row.versions)]
    open_end = torch.address or (not torch.version and torch.allows("99"))
    return [] if open_end or not rows else [_no_python(subject, torch.text, rows[-1])]


def _no_python(subject: Subject, what: str, row: TorchRow) -> Finding:
    python = subject.preset.python_version
    others = [other.key for other in subject.facts.torch.values() if python in other.python]
    ways = [f"take Python {row.python[0]} to {row.python[-1]}"]
    if others:
        ways.append(f"keep Python {python} with torch {others[0]} to {others[-1]}")
    return error(
        "torch-python",
        f"{what} has no wheels for Python {python}",
        f"it was built for Python {row.python[0]} to {row.python[-1]}",
        "; or ".join(ways),
        _PYTHON,
        row.source,
    )


def _any_of(row: TorchRow) -> str:
    return f"safe is Python {row.python[0]} to {row.python[-1]}"


def torch_pairs(subject: Subject) -> list[Finding]:
    """torchvision and torchaudio are compiled against one exact torch."""
    torch, row = subject.torch, subject.torch_row
    if torch is None or row is None or (not torch.version and len(subject.torch_versions) > 1):
        return []
    pair = subject.facts.pair(subject.torch_version)
    release = Version(subject.torch_version).public
    found = []
    for name in ("torchvision", "torchaudio"):
        package = subject.package(name)
        right = getattr(pair, name) if pair else ""
        if package and not right:
            why = "the tables do not tell which version was built for it"
            remedy = "try `import` of it after the build" if package.locked else _TAKES
            found.append(note("torch-pair", f"{name} for torch {release} is not in the tables", why, remedy))
        if right:
            found += [_wrong_companion(*one, release, right, row) for one in _companions(subject, name, right)]
    return found


def _companions(subject: Subject, name: str, right: str) -> list[tuple[str, str]]:
    """The companions that were built for another torch: their text, and where they stand."""
    package = subject.package(name)
    if package and package.locked:
        return [] if _public(package.version) == Version(right) else [(package.text, package.where)]
    return [
        (str(wish.requirement), wish.where)
        for wish in subject.constraints(name)
        if (wish.version and _public(wish.version) != Version(right))
        or (not wish.version and not wish.requirement.specifier.contains(right, prereleases=True))
    ]


def _public(version: str) -> Version:
    """Without the wheel tag."""
    return Version(Version(version).public)


def _wrong_companion(text: str, where: str, release: str, right: str, row: TorchRow) -> Finding:
    name = re.split(r"[^\w-]", text)[0]
    return error(
        "torch-pair",
        f"{text} does not go with torch {release}",
        f"it was built with {name} {right}; another one fails at import with undefined symbols",
        f'write "{name}=={right}", or leave it out and name {name} in pytorch.components',
        where,
        row.source,
    )


_TAKES = "the lock takes what the index offers; try `import` of it after the build"


def torch_twice(subject: Subject) -> list[Finding]:
    """A layer may ask for torch too, but not for another one."""
    pytorch = subject.preset.pytorch
    if not pytorch:
        return []
    wishes = [
        wish
        for wish in subject.constraints("torch")
        if not wish.requirement.specifier.contains(pytorch.version, prereleases=True)
    ]
    return [
        error(
            "torch-twice",
            f"{wish.requirement} excludes torch {pytorch.version} of the preset",
            "all layers share one environment",
            "remove it there, or change pytorch.version",
            wish.where,
        )
        for wish in wishes
    ]
