"""The check before an index is published: do its pictures find their like at least as well as those of the old one?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.inference.inspection.encoder import Vectors
from core.inference.inspection.index_files import IndexEntry

SAMPLE = 500  # pictures that are looked up, spread over all
MARGIN = 0.05  # by which the share may fall
MARGIN_PICTURES = 2  # or by that many pictures of the sample, so that a small index is not judged by one
LEAST_SHARE = 0.5  # of the old index's pictures that a new one must have
_BLOCK = 64  # rows of similarities at once

Group = tuple[str, str]  # product and label


@dataclass(frozen=True)
class Agreement:
    """Of `asked` pictures, how many have as their nearest neighbour another one of their product and label."""

    asked: int
    agreeing: int

    @property
    def share(self) -> float:
        return self.agreeing / self.asked if self.asked else 1.0


@dataclass(frozen=True)
class Comparison:
    """Both agreements, over the groups that both indexes have."""

    new: Agreement
    old: Agreement

    @property
    def worse(self) -> bool:
        """Whether the new index is worse by more than chance explains."""
        margin = max(MARGIN, MARGIN_PICTURES / self.new.asked) if self.new.asked else 1.0
        return self.new.share < self.old.share - margin


def compare(
    new: Sequence[IndexEntry], new_vectors: Vectors, old: Sequence[IndexEntry], old_vectors: Vectors
) -> Comparison:
    """Compare two indexes; they may have different encoders."""
    common = _groups(new) & _groups(old)
    return Comparison(agreement(new, new_vectors, common), agreement(old, old_vectors, common))


def agreement(entries: Sequence[IndexEntry], vectors: Vectors, groups: set[Group] | None = None) -> Agreement:
    """The agreement among the entries of these groups, by default of all that have two pictures or more."""
    groups = _groups(entries) if groups is None else groups
    rows = [row for row, entry in enumerate(entries) if _group(entry) in groups]
    if not rows:
        return Agreement(0, 0)
    chosen = vectors[rows]
    numbers: dict[Group, int] = {}
    names = np.array([numbers.setdefault(_group(entries[row]), len(numbers)) for row in rows])
    sample = np.unique(np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).astype(int))
    agreeing = 0
    for start in range(0, len(sample), _BLOCK):
        block = sample[start : start + _BLOCK]
        similarities = chosen[block] @ chosen.T
        similarities[np.arange(len(block)), block] = -np.inf
        agreeing += int((names[similarities.argmax(axis=1)] == names[block]).sum())
    return Agreement(len(sample), agreeing)


def _groups(entries: Sequence[IndexEntry]) -> set[Group]:
    """The groups with at least two pictures."""
    return {group for group, count in Counter(_group(entry) for entry in entries).items() if count > 1}


def _group(entry: IndexEntry) -> Group:
    return entry.product, entry.label
