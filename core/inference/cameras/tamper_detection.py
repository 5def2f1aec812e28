"""Tamper detection: a frozen picture, a black one, or a changed view.

It examines a small grey picture once a second, independently of any detector.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.api_schema import AlertKind, CameraAlert
from core.inference.cameras.conversion import convert
from core.inference.cameras.frames import Frame, FrameSampler
from core.inference.models.detector import Picture

WIDTH, HEIGHT, PER_SECOND = 160, 90, 1.0
BLOCK_PIXELS = 10  # pixels; 16 x 9 blocks

DARK_LEVEL = 32  # of 255: a picture with hardly a brighter pixel shows nothing
BRIGHT_SHARE = 0.001  # share of brighter pixels that a black picture may have
MIDDLE_ROWS = slice(HEIGHT // 10, -(HEIGHT // 10))  # cameras write clocks and names above and below these rows
FROZEN_SHARE = 0.005  # share of pixels that may differ in a frozen picture, because its clock runs on
STRUCTURE_GRADIENT = 6.0  # mean gradient in grey levels that a block needs to be recognisable
MIN_STRUCTURED_BLOCKS = 12  # fewer are not enough: one view of fog or a white wall looks like another
MIN_CORRELATION = 0.35  # of a block's gradients; below it the block shows something else
MIN_PICTURES = 5  # consecutive pictures that must show a condition, however rarely they arrive
FLAT_GRADIENT = 0.5  # mean gradient below which a block counts as covered
FADED_CONTRAST = 0.15  # of the contrast that the clearest blocks kept; a fainter block is covered
# Of the blocks with structure. On the street of tests/support/street.py passers-by reach 0.04, shadows 0.13, any light
# less than either; a view turned by 3 % of its width gives 0.34, a half covered one 0.49, another scene 0.86.
MOVED_SHARE = 0.3
Gradients = NDArray[np.float32]

REASONS = {
    AlertKind.FROZEN: "the picture has not changed at all",
    AlertKind.BLACK: "the picture is black",
    AlertKind.MOVED: "the camera shows a different view than before",
}


@dataclass(frozen=True)
class TamperTimes:
    """Seconds: how long a condition must last, and how fast the pictures that are compared follow."""

    frozen: float = 30
    frozen_snapshot: float = 300  # a snapshot camera may renew its picture only once a minute
    black: float = 10
    moved: float = 15
    current: float = 4  # time constant of the current view
    reference: float = 900  # time constant of the reference view
    learning: float = 30  # until the reference view is complete
    accept: float = 1800  # after which a changed view becomes the reference


class TamperDetector:
    """Detects the alerts of one camera. Not thread-safe."""

    def __init__(self, times: TamperTimes | None = None) -> None:
        self._times = times or TamperTimes()
        self._sampler = FrameSampler(PER_SECOND)
        self._since: dict[AlertKind, tuple[float, int]] = {}  # when each condition began, and in how many pictures
        self._alerts: dict[AlertKind, CameraAlert] = {}
        self._still: Picture | None = None
        self._structure = _EdgeReference(self._times)
        self._usual: NDArray[np.float32] | None = None
        self._difference = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
        self._before = 0.0

    @property
    def alerts(self) -> list[CameraAlert]:
        return list(self._alerts.values())

    def feed(self, frame: Frame) -> list[tuple[CameraAlert, bool]]:
        """Examine a frame. Returns the alerts that it began (True) or ended (False)."""
        if not self._sampler.due(frame.arrived):
            return []
        picture = convert(frame.image, WIDTH, HEIGHT, "gray")
        return self.feed_picture(picture, frame.arrived, snapshot=frame.snapshot)

    def feed_picture(self, picture: Picture, at: float, *, snapshot: bool = False) -> list[tuple[CameraAlert, bool]]:
        """Examine a grey picture (uint8, HEIGHT x WIDTH) that arrived at `at` (monotonic seconds), as `feed` does."""
        share = 1.0 if self._usual is None else 1 - math.exp(-max(0.0, at - self._before) / self._times.current)
        if self._usual is None:
            self._usual = picture.astype(np.float32)
        else:
            self._difference = picture - self._usual
            self._usual += np.float32(share) * self._difference
        self._before = at
        middle = picture[MIDDLE_ROWS]
        black = bool(np.count_nonzero(middle >= DARK_LEVEL) <= BRIGHT_SHARE * middle.size)
        frozen = not black and self._is_same(picture)
        moved = not black and self._structure.differs(self._usual, at)
        conditions = {AlertKind.BLACK: black, AlertKind.FROZEN: frozen, AlertKind.MOVED: moved}
        limits = {
            AlertKind.FROZEN: self._times.frozen_snapshot if snapshot else self._times.frozen,
            AlertKind.BLACK: self._times.black,
            AlertKind.MOVED: self._times.moved,
        }
        return [
            change
            for kind, active in conditions.items()
            if (change := self._update_alert(kind, active, at, limits[kind]))
        ]

    def difference(self) -> NDArray[np.float32]:
        """How much each pixel (HEIGHT x WIDTH) of the newest picture differs from the mean of the seconds before it."""
        difference: NDArray[np.float32] = np.abs(self._difference)
        return difference

    def _is_same(self, picture: Picture) -> bool:
        """Whether it is still the same picture; otherwise remember it as the one to compare with."""
        if self._still is not None and np.count_nonzero(picture != self._still) <= FROZEN_SHARE * picture.size:
            return True
        self._still = picture
        return False

    def _update_alert(self, kind: AlertKind, active: bool, at: float, limit: float) -> tuple[CameraAlert, bool] | None:
        if not active:
            self._since.pop(kind, None)
            alert = self._alerts.pop(kind, None)
            return (alert, False) if alert else None
        since, pictures = self._since.get(kind, (at, 0))
        self._since[kind] = (since, pictures + 1)
        if kind in self._alerts or at - since < limit or pictures + 1 < MIN_PICTURES:
            return None
        self._alerts[kind] = CameraAlert(kind=kind, since=time.time() - (at - since), reason=REASONS[kind])
        return self._alerts[kind], True


class _EdgeReference:
    """Compares the edges of the current view with those of a slowly following reference, block by block."""

    def __init__(self, times: TamperTimes) -> None:
        self._times = times
        self._reference: Gradients | None = None
        self._began = self._before = 0.0
        self._different_since: float | None = None

    def differs(self, usual: NDArray[np.float32], at: float) -> bool:
        """Whether the view `usual` shows other edges than the reference, which follows slowly while it does not."""
        now = _gradients(usual)
        if self._reference is None:
            self._reference, self._began, self._before = now, at, at
            return False
        learning = at - self._began < self._times.learning
        different = not learning and _has_moved(self._reference, now)
        self._different_since = (self._different_since or at) if different else None
        if self._different_since is not None and at - self._different_since > self._times.accept:
            self._reference, self._began, different = now, at, False  # nobody put it back: accept this view
        elif not different:
            follows = self._times.current if learning else self._times.reference
            share = 1 - math.exp(-max(0.0, at - self._before) / follows)
            self._reference += np.float32(share) * (now - self._reference)
        self._before = at
        return different


def _gradients(picture: NDArray[np.float32]) -> Gradients:
    """Horizontal and vertical differences, smoothed over a few pixels so that a swaying mast does not count."""
    smooth = _smoothed(_smoothed(picture))
    across = np.zeros_like(smooth)
    down = np.zeros_like(smooth)
    across[:, 1:-1] = smooth[:, 2:] - smooth[:, :-2]
    down[1:-1] = smooth[2:] - smooth[:-2]
    return np.stack([across, down])


def _smoothed(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(picture, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    total: NDArray[np.float32] = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / np.float32(9)
    return total


def _blocks(values: Gradients) -> Gradients:
    """Sums over both directions and each block: rows x columns."""
    total = values.sum(axis=0)
    rows, columns = HEIGHT // BLOCK_PIXELS, WIDTH // BLOCK_PIXELS
    summed: Gradients = total.reshape(rows, BLOCK_PIXELS, columns, BLOCK_PIXELS).sum(axis=(1, 3))
    return summed


def _has_moved(reference: Gradients, now: Gradients) -> bool:
    before, after = _blocks(reference * reference), _blocks(now * now)
    structured = before > BLOCK_PIXELS * BLOCK_PIXELS * STRUCTURE_GRADIENT**2
    if np.count_nonzero(structured) < MIN_STRUCTURED_BLOCKS:
        return False
    correlation = _blocks(reference * now) / np.sqrt(before * after + 1e-6)
    contrast = np.sqrt(after / np.maximum(before, 1e-6))
    covered = (after < BLOCK_PIXELS * BLOCK_PIXELS * FLAT_GRADIENT**2) | (
        contrast < FADED_CONTRAST * np.percentile(contrast[structured], 80)
    )
    return bool(np.mean((covered | (correlation < MIN_CORRELATION))[structured]) > MOVED_SHARE)
