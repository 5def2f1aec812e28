"""Indexes of the preset that are asked for every package."""

from __future__ import annotations

from core.findings import Finding
from core.presets.compat.subject import Subject, note


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
