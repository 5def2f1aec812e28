"""The motion score: how much of the picture differs from its recent past. No weights, well under a millisecond."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from core.inference.models.detector import Picture

MEMORY_SECONDS = 3.0  # the background follows with this time constant: what stands still that long is background
NOTICEABLE = 20.0  # grey levels of 255: above a camera's noise once the picture is scaled down
HALF_WAY = 0.05  # share of the picture that gives a score of 1 - 1/e; a person in a 640x360 view covers 1 to 3 %


class MotionDetector:
    """Compares a small grey picture with a running background; a change of the light as a whole does not count."""

    width = 160
    height = 90
    pixel_format = "gray"

    def __init__(self) -> None:
        self._background: NDArray[np.float32] | None = None
        self._at = 0.0

    def reset(self) -> None:
        """Forget the background."""
        self._background = None

    def score(self, picture: Picture, at: float) -> float:
        """0 for a still picture, towards 1 the more of it (90 x 160, uint8) moves; 0 for the first one."""
        if self._background is None:
            self._background = picture.astype(np.float32)
            self._at = at
            return 0.0
        difference = picture - self._background
        light = np.median(difference[::3, ::3])
        moving = np.count_nonzero(np.abs(difference - light) > NOTICEABLE) / difference.size
        share = 1 - math.exp(-max(0.0, at - self._at) / MEMORY_SECONDS)
        self._background += np.float32(share) * difference
        self._at = at
        return 1 - math.exp(-moving / HALF_WAY)
