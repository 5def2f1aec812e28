"""Names the normal pictures that are unlike the others: one with a defect among them hides its likes.

Where there are no known defects, the comparison with the bank before sees one bad picture only if it moves the distance
at which normal ends, and a first bank is compared with none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.findings import Finding
from core.inference.models.memory_bank import excess_from_score
from core.inference.models.product_bank import BankFacts

NAMED = 3
# Of 34 sets of composed plates and of textures without defects, two had a picture beyond both. Where one picture had a
# scratch, it was named in 16 of 16 sets of plates, 5 of 6 of brick, and 1 of 12 of grass and gravel.
DEVIATIONS = 5.0  # from the median, measured by the median deviation, which outliers do not change
FACTOR = 1.3  # times the typical distance
_NORMAL_DEVIATION = 1.4826  # of a normal distribution, in median deviations


@dataclass(frozen=True)
class Unlike:
    """A normal picture, its distance in terms of the typical one, and whether it is an outlier."""

    name: str
    times: float
    is_outlier: bool

    @property
    def finding(self) -> Finding:
        """What a job says about an outlier."""
        why = f"it is {self.times:.2f} times the typical distance from the other normal pictures"
        remedy = "look at it: if it shows a defect, move it to the defects and rebuild the memory bank"
        return Finding.note("outlier", self.name, why, remedy)


def most_unlike(facts: BankFacts, names: Sequence[str]) -> list[Unlike]:
    """The NAMED held-out pictures that are farthest from the others, the farthest first; `names` as in `held_out`."""
    excess = np.array([excess_from_score(score) for score in facts.held_out])
    distances = facts.typical + excess * (facts.limit - facts.typical)
    deviation = _NORMAL_DEVIATION * float(np.median(np.abs(distances - facts.typical)))
    far = max(FACTOR * facts.typical, facts.typical + DEVIATIONS * deviation)
    farthest = np.argsort(-distances, kind="stable")[:NAMED]
    typical = max(facts.typical, 1e-9)
    return [Unlike(names[at], float(distances[at]) / typical, bool(distances[at] > far)) for at in farthest]
