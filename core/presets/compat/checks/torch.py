"""PyTorch: wheel tags, Pythons, and the versions that were built for each other."""

from __future__ import annotations

import re

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.check_context import CheckContext, join_words
from core.presets.compat.facts import Facts
from core.presets.compat.image_packages import Package
from core.presets.compat.rows import TorchRow


def torch_tag(context: CheckContext) -> list[Finding]:
    """Whether this release has wheels with this tag."""
    torch, version = context.torch, context.torch_version
    if torch is None:
        return []
    row, tag = context.torch_row, context.tag
    if row is None:
        return [] if _no_release_for(context, torch) else [_unknown(context, torch)]
    if Version(version).is_prerelease:
        why = f"it is not a final release; the check treats it as torch {row.key}"
        return [Finding.warning("torch-unknown", f"torch {version} is not in the tables", why, _ADD_ROW, torch.where)]
    if tag and tag not in context.facts.wheel_tags:
        tags = join_words([*row.tags, *row.experimental_tags])
        what = f"the wheel tag {tag} is not in the tables"
        return [Finding.warning("torch-tag-unknown", what, f"known for torch {row.key}: {tags}", _ADD_ROW, torch.where)]
    if not tag and not torch.locked:
        what = f"the wheel tag of {torch.text} is not known"
        why = "the address of its index does not say which; neither GPU nor driver was checked"
        remedy = "lock the preset, then check it again; or write the tag, as in +cu126"
        return [Finding.warning("torch-tag-unknown", what, why, remedy, torch.where)]
    is_default_build = tag == row.default_tag and not Version(version).local
    if tag in ("", "cpu") or tag in row.tags or is_default_build:
        return []
    if tag in row.experimental_tags:
        return [
            Finding.note("torch-tag-experimental", f"PyTorch calls {tag} experimental for {row.key}", source=row.source)
        ]
    release = str(Version(version).public)
    return [] if torch.locked else [_no_such_wheels(release, tag, row, context.facts, torch.where)]


_ADD_ROW = "if you know that it works, add a row in docker/compat/, or name this code in `overrides`"


def _unknown(context: CheckContext, torch: Package) -> Finding:
    tables = list(context.facts.torch)
    why = f"the tables go from {tables[0]} to {tables[-1]}; nothing is known about its wheels"
    if torch.address:
        why = "its address does not say the version; nothing is known about its wheels"
    elif not torch.version:
        why += f" for Python {context.preset.python_version}"
    return Finding.warning("torch-unknown", f"{torch.text} is not in the tables", why, _ADD_ROW, torch.where)


def _no_such_wheels(release: str, tag: str, row: TorchRow, facts: Facts, where: str) -> Finding:
    last = newest_torch(tag, facts)
    ways = [f"use torch {release} with {join_words([*row.tags, *row.experimental_tags])}"]
    if last:
        ways.append(f"keep {tag} and use torch {last}, the newest with that tag")
    return Finding.error(
        "torch-tag",
        f"there is no torch {release} with {tag}",
        f"torch {row.key} was built with {join_words([*row.tags, *row.experimental_tags], 'and')}",
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


def torch_python(context: CheckContext) -> list[Finding]:
    """Whether this release has wheels for the preset's Python."""
    torch, python = context.torch, context.preset.python_version
    if torch is None or torch.locked:
        return []
    if not context.torch_versions:
        return _no_release_for(context, torch)
    row = context.torch_row
    if row is None or python in row.python:
        return []
    if python in row.experimental_python:
        what = f"PyTorch calls Python {python} experimental for torch {row.key}"
        return [
            Finding.warning(
                "torch-python", what, "some companions have no wheels for it", _safe_pythons(row), _PYTHON_FIELD
            )
        ]
    return [_no_python(context, f"torch {row.key}", row)]


_PYTHON_FIELD = "python_version"


def _no_release_for(context: CheckContext, torch: Package) -> list[Finding]:
    """A range of releases without wheels for the preset's Python."""
    rows = [row for row in context.facts.torch.values() if torch.allowed(pair.torch for pair in row.versions)]
    open_end = torch.address or (not torch.version and torch.allows("99"))
    return [] if open_end or not rows else [_no_python(context, torch.text, rows[-1])]


def _no_python(context: CheckContext, what: str, row: TorchRow) -> Finding:
    python = context.preset.python_version
    others = [other.key for other in context.facts.torch.values() if python in other.python]
    ways = [f"use Python {row.python[0]} to {row.python[-1]}"]
    if others:
        ways.append(f"keep Python {python} and use torch {others[0]} to {others[-1]}")
    return Finding.error(
        "torch-python",
        f"{what} has no wheels for Python {python}",
        f"it was built for Python {row.python[0]} to {row.python[-1]}",
        "; or ".join(ways),
        _PYTHON_FIELD,
        row.source,
    )


def _safe_pythons(row: TorchRow) -> str:
    return f"to be safe, use Python {row.python[0]} to {row.python[-1]}"


def torch_pairs(context: CheckContext) -> list[Finding]:
    """torchvision and torchaudio are compiled against one exact torch."""
    torch, row = context.torch, context.torch_row
    if torch is None or row is None or (not torch.version and len(context.torch_versions) > 1):
        return []
    pair = context.facts.pair(context.torch_version)
    release = Version(context.torch_version).public
    findings = []
    for name in ("torchvision", "torchaudio"):
        package = context.package(name)
        right = getattr(pair, name) if pair else ""
        if package and not right:
            why = "the tables do not say which version was built for it"
            remedy = "try to import it after the build" if package.locked else _TRY_IMPORT
            findings.append(Finding.note("torch-pair", f"{name} for torch {release} is not in the tables", why, remedy))
        if right:
            findings += [
                _wrong_companion(*companion, release, right, row) for companion in _companions(context, name, right)
            ]
    return findings


def _companions(context: CheckContext, name: str, right: str) -> list[tuple[str, str]]:
    """The companions that were built for another torch, as (text, place)."""
    package = context.package(name)
    if package and package.locked:
        return [] if _public(package.version) == Version(right) else [(package.text, package.where)]
    return [
        (str(entry.requirement), entry.where)
        for entry in context.constraints(name)
        if (entry.version and _public(entry.version) != Version(right))
        or (not entry.version and not entry.requirement.specifier.contains(right, prereleases=True))
    ]


def _public(version: str) -> Version:
    """The version without its wheel tag."""
    return Version(Version(version).public)


def _wrong_companion(text: str, where: str, release: str, right: str, row: TorchRow) -> Finding:
    name = re.split(r"[^\w-]", text)[0]
    return Finding.error(
        "torch-pair",
        f"{text} is not compatible with torch {release}",
        f"it needs {name} {right}; any other version fails at import with undefined symbols",
        f'write "{name}=={right}", or remove it and add {name} to pytorch.components',
        where,
        row.source,
    )


_TRY_IMPORT = "the lock uses what the index offers; try to import it after the build"


def torch_twice(context: CheckContext) -> list[Finding]:
    """A layer may require torch, too, but not another version."""
    pytorch = context.preset.pytorch
    if not pytorch:
        return []
    entries = [
        entry
        for entry in context.constraints("torch")
        if not entry.requirement.specifier.contains(pytorch.version, prereleases=True)
    ]
    return [
        Finding.error(
            "torch-twice",
            f"{entry.requirement} excludes torch {pytorch.version} of the preset",
            "all layers share one environment",
            "remove this requirement, or change pytorch.version",
            entry.where,
        )
        for entry in entries
    ]
