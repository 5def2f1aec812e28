"""Indexes that are used for every package, and indexes that are missing."""

from __future__ import annotations

from core.findings import Finding
from core.presets.compat.check_context import CheckContext, join_words
from core.presets.index_entries import entry_json, indexes_of, pytorch_entry, pytorch_tag_of
from core.presets.package_binding import index_for


def index_unbound(context: CheckContext) -> list[Finding]:
    """While such an index fails, nothing unbound can be locked; and equal names elsewhere are ambiguous."""
    return [
        Finding.note(
            "index-unbound",
            f"index {index.name} is asked for every package",
            "while it fails, only packages bound to another index can be locked; and a package that another index "
            "has, too, is taken from this one",
            'bind your own packages to it, as in "packages": ["ours-*"]',
            f"indexes[{position}]",
        )
        for position, index in enumerate(context.preset.indexes)
        if not index.packages
    ]


def index_missing(context: CheckContext) -> list[Finding]:
    """A version such as `torch==2.1.0+cu118` is only in PyTorch's index for that tag."""
    indexes = indexes_of(context.preset)
    locked = {package.name for package in context.resolved.packages} if context.resolved else set()
    lines_by_tag: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for entry in context.requirements:
        tag = pytorch_tag_of(str(entry.requirement))
        is_covered = index_for(entry.name, indexes) or any(not index.packages for index in indexes)
        if tag and not is_covered and entry.name not in locked:
            lines_by_tag.setdefault(tag, []).append(str(entry.requirement))
            places.setdefault(tag, entry.where)
    return [
        Finding.warning(
            "index-missing",
            f"{join_words(lines, 'and')}: the default index has no release with +{tag}",
            f"they are in PyTorch's index for {tag}",
            f'add to "indexes" of the preset: {entry_json(pytorch_entry(tag))}',
            places[tag],
        )
        for tag, lines in lines_by_tag.items()
    ]
