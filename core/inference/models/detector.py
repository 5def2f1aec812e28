"""The protocol of a detector: one instance scores the pictures of all cameras, in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Picture: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One camera's picture, as a detector gets it."""

    camera: str
    picture: Picture  # uint8, height x width (x channels)
    at: float  # when it arrived, monotonic seconds
    area: NDArray[np.bool_] | None = None  # height x width: which pixels count; the others are black. None: all
    product: str = ""  # the camera's `detection.product`


class Detector(Protocol):
    """Scores pictures of the size `width` x `height` in `pixel_format` (a libav name).

    Called by one thread at a time. It keeps its state for each camera id.
    """

    width: int
    height: int
    pixel_format: str

    def load(self) -> None:
        """Load the model and warm it up. Raises XaivaError."""

    def score(self, batch: Sequence[Sample]) -> list[float]:
        """One score for each sample, in order: 0 (as usual) to 1 (certainly not)."""

    def forget(self, camera: str) -> None:
        """Forget the state of that camera, because another view follows."""

    def close(self) -> None:
        """Release all memory and threads."""
