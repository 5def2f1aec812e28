"""Indexes of the preset that are asked for every package."""

from __future__ import annotations

from core.findings import Finding
from core.presets.compat.subject import Subject, listed, note, warning
from core.presets.index_entries import as_text, indexes_of, pytorch_entry, pytorch_tag_of
from core.presets.package_binding import index_for


def index_unbound(subject: Subject) -> list[Finding]:
    """One that fails keeps everything from being locked, and names that others have too are nobody's."""
    return [
        note(
            "index-unbound",
            f"index {index.name} is asked for every package",
            "while it fails nothing is locked that is bound to no other index; and a name that another index has, too, "
            "is taken from this one",
            'bind what is yours to it, as in "packages": ["ours-*"]',
            f"indexes[{at}]",
        )
        for at, index in enumerate(subject.preset.indexes)
        if not index.packages
    ]


def index_missing(subject: Subject) -> list[Finding]:
    """A version such as `torch==2.1.0+cu118` lies in PyTorch's index for that tag alone."""
    indexes = indexes_of(subject.preset)
    locked = {package.name for package in subject.resolved.packages} if subject.resolved else set()
    found: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for wish in subject.wishes:
        tag = pytorch_tag_of(str(wish.requirement))
        asked = index_for(wish.name, indexes) or any(not index.packages for index in indexes)
        if tag and not asked and wish.name not in locked:
            found.setdefault(tag, []).append(str(wish.requirement))
            places.setdefault(tag, wish.where)
    return [
        warning(
            "index-missing",
            f"{listed(lines, 'and')}: the default index has no release with +{tag}",
            f"they lie in PyTorch's index for {tag}",
            f'add to "indexes" of the preset: {as_text(pytorch_entry(tag))}',
            places[tag],
        )
        for tag, lines in found.items()
    ]
