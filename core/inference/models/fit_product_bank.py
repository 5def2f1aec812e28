"""Fits a product's memory bank to its normal pictures, and measures it with pictures that it has not seen.

The limits come from cross-validation: the normal pictures are divided into folds, and each is scored with a bank of the
others. A fold is a stretch of the pictures in their order, because pictures that were taken one after another often
show the same part: in two folds they would make the limit too tight. Pictures of known defects are scored with the
finished bank; they never enter it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.api_schema import Region
from core.errors import InputError
from core.inference.models.coreset import select_coreset
from core.inference.models.features import MAX_BANK_PATCHES, Backbone
from core.inference.models.fit_bank import PLACE_ROOM, QUANTILE, mean_and_spread
from core.inference.models.memory_bank import DistanceLimit, MemoryBank, Values, picture_distances
from core.inference.models.product_bank import BankFacts, PictureFeatures, ProductBank, bank_distances, standardise

MIN_NORMALS = 8  # pictures; with fewer, the limit is a guess
FOLDS = 5
SHARE = 0.1  # of the patches that the bank keeps, but at least MAX_BANK_PATCHES and at most MAX_PATCHES
MAX_PATCHES = 6000
MAX_NUMBERS = 22_800_000  # of the patches that a coreset is selected from at once: 91 MB; more are reduced in parts
DEVIATIONS = 3.0  # from the median to the limit at least: the largest of few pictures says little

Report = Callable[[str, int, int], None]
"""A step, `held-out`, `coreset` or `defects`, with what is done of it and its total."""


class KnownDefects(Protocol):
    """The features of pictures of defects with the type of each, for example a list of them."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[str, PictureFeatures]]: ...


@dataclass(frozen=True)
class ProductPictures:
    """The features of a product's pictures, and how they were cut."""

    product: str
    normal: Sequence[PictureFeatures]
    """In the order they were taken, as far as that is known."""
    defects: KnownDefects = ()
    region: Region = field(default_factory=Region)
    tiles: tuple[int, int] = (1, 1)
    inputs: str = ""
    """For the bank's facts."""
    names: Sequence[str] = ()
    """Of the normal pictures."""


@dataclass(frozen=True)
class FitOptions:
    """`seed` draws the first pick of each coreset; `threads` share the work and change nothing else."""

    seed: int = 0
    threads: int = 1
    report: Report | None = None
    stopped: Callable[[], bool] = lambda: False

    def reporter(self, step: str) -> Callable[[int, int], None]:
        """A progress function of that step."""

        def report(done: int, total: int) -> None:
            if self.report is not None:
                self.report(step, done, total)

        return report


def fit_product_bank(pictures: ProductPictures, network: Backbone, options: FitOptions | None = None) -> ProductBank:
    """Fit a bank. The same pictures in the same order give the same bank.

    Raises InputError for too few pictures, InterruptedError when stopped.
    """
    options = options or FitOptions()
    if len(pictures.normal) < MIN_NORMALS:
        raise InputError(
            f"The memory bank of {pictures.product}",
            f"{len(pictures.normal)} of the normal pictures can be used and {MIN_NORMALS} are needed",
            f"add normal pictures; {4 * MIN_NORMALS} and more give a better threshold",
        )
    mean, spread = mean_and_spread(pictures.normal)
    fitting = _Fitting(pictures.normal, mean, spread, network, options)
    unseen = fitting.held_out()
    patches = fitting.coreset(range(len(pictures.normal)), options.reporter("coreset"))
    bank = MemoryBank(
        mean=mean,
        spread=spread,
        patches=patches,
        place=_limit(unseen[:, 0]),
        whole=None,
        model=network.identity.sha256,
        frames=len(pictures.normal),
        seconds=0.0,
        learned=time.time(),
    )
    scores = score_defects(bank, pictures.defects, network, options.reporter("defects"), options.stopped)
    return ProductBank(bank, _facts(bank, pictures, network.identity.name, unseen, scores))


def score_defects(
    bank: MemoryBank,
    defects: KnownDefects,
    network: Backbone,
    report: Callable[[int, int], None],
    stopped: Callable[[], bool],
) -> list[tuple[str, float]]:
    """The type and the score of each. Raises InterruptedError when stopped, which is checked before each picture."""
    scores: list[tuple[str, float]] = []
    for kind, features in defects:
        if stopped():
            raise InterruptedError
        standardised = standardise(features, bank.mean, bank.spread, network)
        scores.append((kind, bank.score(bank_distances(standardised, bank.patches, network))))
        report(len(scores), len(defects))
    return scores


def _facts(
    bank: MemoryBank,
    pictures: ProductPictures,
    network: str,
    unseen: NDArray[np.float64],
    scores: Sequence[tuple[str, float]],
) -> BankFacts:
    defects: dict[str, list[float]] = {}
    for kind, score in scores:
        defects.setdefault(kind, []).append(score)
    return BankFacts(
        product=pictures.product,
        pictures=len(pictures.normal),
        patches=len(bank.patches),
        network=bank.model,
        network_name=network,
        region=pictures.region,
        tiles=pictures.tiles,
        held_out=[bank.score_distances(*map(float, row)) for row in unseen],
        defects=defects,
        inputs=pictures.inputs,
        typical=bank.place.typical,
        limit=bank.place.limit,
    )


@dataclass(frozen=True)
class _Fitting:
    pictures: Sequence[PictureFeatures]
    mean: Values
    spread: Values
    network: Backbone
    options: FitOptions

    def held_out(self) -> NDArray[np.float64]:
        """For each picture the distances of its worst place and of the whole, to a bank of other folds."""
        count = len(self.pictures)
        distances = np.empty((count, 2))
        folds = min(FOLDS, count)
        report = self.options.reporter("held-out")
        for fold in range(folds):
            own = range(fold * count // folds, (fold + 1) * count // folds)
            others = [index for index in range(count) if index not in own]
            bank = self.coreset(others, _part(report, fold, folds))
            for index in own:
                if self.options.stopped():
                    raise InterruptedError
                patches = self._standardised(index)
                distances[index] = picture_distances(bank_distances(patches, bank, self.network))
        return distances

    def coreset(self, chosen: Sequence[int], report: Callable[[int, int], None]) -> Values:
        """The coreset of these pictures' patches."""
        patches = sum(len(self.pictures[index]) for index in chosen)
        at_once = MAX_NUMBERS // self.network.channels
        count = int(min(max(SHARE * patches, MAX_BANK_PATCHES), MAX_PATCHES, at_once // 2))
        parts = -(-patches // at_once)
        if parts == 1:
            return self._select(self._gathered(chosen), count, report)
        reduced = []
        for part in range(parts):
            kept, report_part = min(2 * count, at_once // parts), _part(report, part, parts + 1)
            reduced.append(self._select(self._gathered(chosen[part::parts]), kept, report_part))
        return self._select(np.concatenate(reduced), count, _part(report, parts, parts + 1))

    def _select(self, points: Values, count: int, report: Callable[[int, int], None]) -> Values:
        how = self.options
        picked = select_coreset(points, count, seed=how.seed, progress=report, stopped=how.stopped, threads=how.threads)
        return points[picked]

    def _gathered(self, chosen: Sequence[int]) -> Values:
        """The standardised patches of these pictures, in one array that is filled picture by picture."""
        ends = np.cumsum([len(self.pictures[index]) for index in chosen])
        points: Values = np.empty((ends[-1], len(self.mean)), np.float32)
        for index, end in zip(chosen, ends, strict=True):
            points[end - len(self.pictures[index]) : end] = self._standardised(index)
        return points

    def _standardised(self, index: int) -> Values:
        return standardise(self.pictures[index], self.mean, self.spread, self.network)


def _part(report: Callable[[int, int], None], part: int, parts: int) -> Callable[[int, int], None]:
    """A progress function of one of several parts that take about as long as each other."""

    def report_part(done: int, total: int) -> None:
        report(part * total + done, parts * total)

    return report_part


def _limit(values: NDArray[np.float64]) -> DistanceLimit:
    typical = float(np.median(values))
    far = max(float(np.quantile(values, QUANTILE)), typical + DEVIATIONS * float(values.std()))
    return DistanceLimit(typical=typical, limit=max(far, typical + PLACE_ROOM))
