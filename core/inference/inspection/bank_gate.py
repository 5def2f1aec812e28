"""Decides whether a new memory bank may replace the one that answers: not if it tells defects apart less well."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from core.api_schema import Region
from core.errors import InputError
from core.inference.models.auroc import auroc
from core.inference.models.features import Backbone
from core.inference.models.fit_product_bank import FitOptions, KnownDefects, score_defects
from core.inference.models.product_bank import MIN_DEFECTS, ProductBank

AUROC_TOLERANCE = 0.01
WIDTH_TOLERANCE = 1.25  # times


def check_not_worse(
    new: ProductBank,
    old: ProductBank,
    defects: KnownDefects,
    outliers: Sequence[str],
    network: Backbone,
    options: FitOptions,
) -> None:
    """Raise InputError with both figures when the new bank is worse than the old one.

    With MIN_DEFECTS known defects or more the AUROC decides: each bank scores all of them, against the normal pictures
    that were held out when it was built, because a bank has seen all others. With fewer, the distance decides at which
    normal ends, in terms of the typical one: a defect among the normal pictures moves it far away. Banks of different
    networks, regions or tiles are not compared. The error names the `outliers` among the normal pictures.

    What the old bank has scored is reported as the step `compare`. Raises InterruptedError when stopped.
    """
    if _made_as(new) != _made_as(old):
        return
    what = f"The memory bank of {new.facts.product}"
    first = f", first at {', '.join(outliers)}" if outliers else ""
    forced = f"xaiva product rebuild {shlex.quote(new.facts.product)} --force"
    remedy = f"look for defects in the newest normal pictures{first}; if all are good, publish it: {forced}"
    if len(defects) >= MIN_DEFECTS:
        scores = score_defects(old.bank, defects, network, options.reporter("compare"), options.stopped)
        before = auroc(old.facts.held_out, [score for _, score in scores])
        after = auroc(new.facts.held_out, new.facts.defect_scores)
        if after < before - AUROC_TOLERANCE:
            why = (
                f"the new one tells {len(defects)} known defects from normal pictures with an AUROC of {after:.3f}, "
                f"the one that answers now with {before:.3f}"
            )
            raise InputError(what, why, remedy)
    elif new.facts.width > WIDTH_TOLERANCE * old.facts.width:
        why = (
            f"in the new one normal ends at {new.facts.width:.2f} times the typical distance, "
            f"in the one that answers now at {old.facts.width:.2f} times"
        )
        raise InputError(what, why, remedy)


def _made_as(bank: ProductBank) -> tuple[str, Region, tuple[int, int]]:
    return bank.facts.network, bank.facts.region, bank.facts.tiles
