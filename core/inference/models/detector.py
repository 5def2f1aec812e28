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
    """One camera's picture: uint8, height x width (x channels); `at` is when it arrived, monotonic seconds.

    `area`, height x width, is True where the camera's zones and masks let it count; elsewhere the picture is black.
    None: everywhere.
    """

    camera: str
    picture: Picture
    at: float
    area: NDArray[np.bool_] | None = None


class Detector(Protocol):
    """Scores pictures. `width`, `height` and `pixel_format` (a libav name) say what it wants.

    One thread at a time calls it. What it remembers of a camera it keeps by the camera's id.
    """

    width: int
    height: int
    pixel_format: str

    def load(self) -> None:
        """Take memory and warm up. Raises XaivaError."""

    def score(self, batch: Sequence[Sample]) -> list[float]:
        """One score a sample, in order: 0 (as always) to 1 (certainly not)."""

    def forget(self, camera: str) -> None:
        """Forget what was seen of that camera: another view follows."""

    def close(self) -> None:
        """Give everything back."""
