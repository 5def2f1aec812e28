"""The motion detector: how much of the picture differs from its recent past. No weights, well under a millisecond."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.inference.models.detector import Sample

BACKGROUND_SECONDS = 3.0  # time constant of the background: what stands still for so long becomes background
NOTICEABLE_LEVELS = 20.0  # grey levels of 255: above a camera's noise once the picture is scaled down
SHARE_SCALE = 0.05  # share of the picture that gives a score of 1 - 1/e; a person in a 640x360 view covers 1 to 3 %


class MotionDetector:
    """Compares a small grey picture with a running background; changes of the overall light do not count."""

    width = 160
    height = 90
    pixel_format = "gray"

    def __init__(self) -> None:
        self._backgrounds: dict[str, tuple[NDArray[np.float32], float]] = {}

    def load(self) -> None:
        """Do nothing: there is no model to load."""

    def close(self) -> None:
        self._backgrounds.clear()

    def forget(self, camera: str) -> None:
        self._backgrounds.pop(camera, None)

    def score(self, batch: Sequence[Sample]) -> list[float]:
        """0 for a still picture (uint8, 90 x 160), towards 1 the more of it moves; 0 for a camera's first one."""
        return [self._score(sample) for sample in batch]

    def _score(self, sample: Sample) -> float:
        state = self._backgrounds.get(sample.camera)
        if state is None:
            self._backgrounds[sample.camera] = (sample.picture.astype(np.float32), sample.at)
            return 0.0
        background, before = state
        difference = sample.picture - background
        counted = difference if sample.area is None else difference[sample.area]
        light = np.median(counted[::3, ::3] if counted.ndim == 2 else counted[::9]) if counted.size else 0.0
        moving = np.count_nonzero(np.abs(counted - light) > NOTICEABLE_LEVELS) / difference.size
        share = 1 - math.exp(-max(0.0, sample.at - before) / BACKGROUND_SECONDS)
        background += np.float32(share) * difference
        self._backgrounds[sample.camera] = (background, sample.at)
        return 1 - math.exp(-moving / SHARE_SCALE)
