"""Fits a memory bank to normal footage: selects a coreset of patches and measures which distances are normal.

The limits are measured on unseen footage: the footage is cut into blocks of time, and the odd blocks are scored with a
bank of the even ones and vice versa.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from core.errors import XaivaError
from core.inference.models.coreset import select_coreset
from core.inference.models.features import MAX_BANK_PATCHES, PatchFeatures, network_sha256
from core.inference.models.memory_bank import DistanceLimit, MemoryBank, Values, picture_distances

MAX_BLOCKS = 24  # of time; each is reduced by itself first
MIN_BLOCK_PICTURES = 10  # a shorter block is too similar to its neighbours to measure limits on it
MAX_BLOCK_PATCHES = 400  # of a block's coreset; all blocks together have several times as many as a bank
MIN_PICTURES = 20  # fewer say nothing about rare events
QUANTILE = 0.995  # of the unseen normal pictures are below it
PLACE_MARGIN, WHOLE_MARGIN = 1.0, 1.1  # factors on that quantile; light changes whole pictures
PLACE_ROOM, WHOLE_ROOM = 1.0, 0.5  # minimum from typical to limit: where nothing ever moves, a leaf is no anomaly

StoredFeatures = NDArray[np.float16]  # patches x channels, of one picture


def fit_bank(
    frames: Sequence[StoredFeatures],
    network: PatchFeatures,
    seconds: float,
    stopped: Callable[[], bool] = lambda: False,
) -> MemoryBank:
    """Fit a bank to the features of pictures, in the order they were taken in `seconds` of footage.

    Takes some seconds and checks `stopped` meanwhile.

    Raises XaivaError for too few pictures, InterruptedError when stopped.
    """
    if len(frames) < MIN_PICTURES:
        why = f"{len(frames)} pictures were seen and {MIN_PICTURES} are needed"
        raise XaivaError("Learning", why, "learn for longer, or raise the camera's fps")
    mean, spread = mean_and_spread(frames)
    blocks = [
        frames[first:last] for first, last in _spans(len(frames), min(MAX_BLOCKS, len(frames) // MIN_BLOCK_PICTURES))
    ]
    coresets = []
    for block in blocks:
        coresets.append(_coreset([(frame - mean) / spread for frame in block], MAX_BLOCK_PATCHES, stopped))
    unseen = []
    for half in (0, 1):
        bank = _coreset(coresets[1 - half :: 2], MAX_BANK_PATCHES // 2, stopped)
        for frame in chain.from_iterable(blocks[half::2]):
            unseen.append(picture_distances(network.distances((frame - mean) / spread, bank)))
    place, whole = np.array(unseen).T
    return MemoryBank(
        mean=mean,
        spread=spread,
        patches=_coreset(coresets, MAX_BANK_PATCHES, stopped),
        place=_distance_limit(place, PLACE_MARGIN, PLACE_ROOM),
        whole=_distance_limit(whole, WHOLE_MARGIN, WHOLE_ROOM),
        model=network_sha256(),
        frames=len(frames),
        seconds=round(seconds, 1),
        learned=time.time(),
    )


def _coreset(patches: Sequence[Values], count: int, stopped: Callable[[], bool]) -> Values:
    """Up to `count` of the patches, each the one farthest from those selected before."""
    points = np.concatenate(patches)
    return points[select_coreset(points, count, stopped=stopped)]


def mean_and_spread(frames: Sequence[StoredFeatures]) -> tuple[Values, Values]:
    """Mean and standard deviation of each channel over all pictures."""
    means = np.mean([frame.mean(axis=0, dtype=np.float64) for frame in frames], axis=0)
    squares = np.mean([(frame.astype(np.float64) ** 2).mean(axis=0) for frame in frames], axis=0)
    spread = np.sqrt(np.maximum(squares - means**2, 1e-6))
    return means.astype(np.float32), spread.astype(np.float32)


def _spans(length: int, count: int) -> list[tuple[int, int]]:
    """Divide `length` into `count` spans of nearly equal length."""
    edges = [round(index * length / count) for index in range(count + 1)]
    return list(pairwise(edges))


def _distance_limit(values: NDArray[np.float64], margin: float, room: float) -> DistanceLimit:
    typical = float(np.median(values))
    return DistanceLimit(typical=typical, limit=max(float(np.quantile(values, QUANTILE)) * margin, typical + room))
