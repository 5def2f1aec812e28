"""AUROC: how well a score tells defects from normal pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def auroc(normal: ArrayLike, defect: ArrayLike) -> float:
    """The probability that a defect scores higher than a normal one, equal scores counting half; NaN without either.

    The area under the ROC curve is the Mann-Whitney statistic (Hanley and McNeil, Radiology 143, 1982: 29-36).
    """
    below, above = np.sort(np.asarray(normal, np.float64).ravel()), np.asarray(defect, np.float64).ravel()
    if not len(below) or not len(above):
        return float("nan")
    lower = np.searchsorted(below, above, "left").sum(dtype=np.float64)
    lower_or_equal = np.searchsorted(below, above, "right").sum(dtype=np.float64)
    return float((lower + lower_or_equal) / 2 / (len(below) * len(above)))
