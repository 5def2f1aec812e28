"""What a pipeline needs of anything that scores pictures."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]


class Detector(Protocol):
    """Scores one camera's pictures, in order. `width`, `height` and `pixel_format` (a libav name) say what it wants."""

    width: int
    height: int
    pixel_format: str

    def score(self, picture: Picture, at: float) -> float:
        """0 (as always) to 1 (certainly not). `at`: when it was captured, seconds on the monotonic clock."""

    def reset(self) -> None:
        """Forget what was learned: another view follows."""
