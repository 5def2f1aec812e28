"""PyTorch: wheel tags, Pythons, and the versions that were built for each other."""

from __future__ import annotations

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.facts import Facts
from core.presets.compat.rows import TorchRow
from core.presets.compat.subject import Subject, error, listed, note, warning

_WHERE = "pytorch.version"


def torch_tag(subject: Subject) -> list[Finding]:
    """Whether wheels of this release with this tag exist."""
    pytorch = subject.preset.pytorch
    if not pytorch:
        return []
    row, tag = subject.torch_row, pytorch.tag
    if row is None:
        newest = list(subject.facts.torch)[-1]
        why = f"the tables end at {newest}; nothing is known about its wheels"
        return [warning("torch-unknown", f"torch {pytorch.version} is not in the tables", why, _OVERLAY, _WHERE)]
    if tag and tag not in subject.facts.wheel_tags:
        known = listed([*row.tags, *row.experimental_tags])
        what = f"the wheel tag {tag} is not in the tables"
        return [warning("torch-tag-unknown", what, f"known for torch {row.key}: {known}", _OVERLAY, _WHERE)]
    if tag in ("", "cpu") or tag in row.tags:
        return []
    if tag in row.experimental_tags:
        return [note("torch-tag-experimental", f"PyTorch calls {tag} experimental for {row.key}", source=row.source)]
    return [_no_such_wheels(pytorch.release, tag, row, subject.facts)]


_OVERLAY = "if you know that it works, add a row in docker/compat/, or name this code in `overrides`"


def _no_such_wheels(release: str, tag: str, row: TorchRow, facts: Facts) -> Finding:
    last = newest_torch(tag, facts)
    ways = [f"take torch {release} with {listed([*row.tags, *row.experimental_tags])}"]
    if last:
        ways.append(f"keep {tag} with torch {last}, its newest")
    return error(
        "torch-tag",
        f"there is no torch {release} with {tag}",
        f"torch {row.key} was built with {listed([*row.tags, *row.experimental_tags], 'and')}",
        "; or ".join(ways),
        _WHERE,
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
    row, python = subject.torch_row, subject.preset.python_version
    if row is None or python in row.python:
        return []
    if python in row.experimental_python:
        what = f"PyTorch calls Python {python} experimental for torch {row.key}"
        return [warning("torch-python", what, "some companions have no wheels for it", _any_of(row), _PYTHON)]
    others = [other.key for other in subject.facts.torch.values() if python in other.python]
    ways = [f"take Python {row.python[0]} to {row.python[-1]}"]
    if others:
        ways.append(f"keep Python {python} with torch {others[0]} to {others[-1]}")
    return [
        error(
            "torch-python",
            f"torch {row.key} has no wheels for Python {python}",
            f"it was built for Python {row.python[0]} to {row.python[-1]}",
            "; or ".join(ways),
            _PYTHON,
            row.source,
        )
    ]


_PYTHON = "python_version"


def _any_of(row: TorchRow) -> str:
    return f"safe is Python {row.python[0]} to {row.python[-1]}"


def torch_pairs(subject: Subject) -> list[Finding]:
    """torchvision and torchaudio are compiled against one exact torch."""
    pytorch = subject.preset.pytorch
    pair = subject.facts.pair(pytorch.version) if pytorch else None
    if not pytorch or not subject.torch_row:
        return []
    found = []
    for name in ("torchvision", "torchaudio"):
        right = getattr(pair, name) if pair else ""
        if not right and name in pytorch.components:
            why = "the tables do not tell which version was built for it"
            remedy = "the lock takes what the index offers; try `import` of it after the build"
            found.append(note("torch-pair", f"{name} for torch {pytorch.version} is not in the tables", why, remedy))
        for wish in subject.constraints(name):
            if right and not wish.requirement.specifier.contains(right, prereleases=True):
                found.append(
                    error(
                        "torch-pair",
                        f"{wish.requirement} does not go with torch {pytorch.release}",
                        f"it was built with {name} {right}; another one fails at import with undefined symbols",
                        f'write "{name}=={right}", or leave it out and name {name} in pytorch.components',
                        wish.where,
                        subject.torch_row.source,
                    )
                )
    return found


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
