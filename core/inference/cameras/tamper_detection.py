"""Tamper detection: a frozen picture, a black one, or another view than it used to be.

All of it is judged on a small grey picture once a second, apart from any detector.
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

DARK_LEVEL = 32  # of 255: where hardly a pixel is brighter, nothing can be seen
BRIGHT_SHARE = 0.001  # share of pixels that may be brighter in a black picture
MIDDLE_ROWS = slice(HEIGHT // 10, -(HEIGHT // 10))  # cameras write clocks and names into the rows above and below it
FROZEN_SHARE = (
    0.005  # share of pixels that may differ in a frozen picture: a clock that the camera writes into it goes on
)
STRUCTURE_GRADIENT = 6.0  # mean gradient, in grey levels, from which on a block has something to recognise
MIN_STRUCTURED_BLOCKS = 12  # that have structure: a view of fog or of a white wall cannot be told from another
MIN_CORRELATION = 0.35  # correlation of a block's gradients below which it shows something else
MIN_PICTURES = 5  # pictures in a row that must show a condition, however rarely they come
FLAT_GRADIENT = 0.5  # mean gradient below which nothing can be recognised: the view is covered there
FADED_CONTRAST = (
    0.15  # of the contrast that the clearest blocks kept: what is fainter is covered, or a trace of what was there
)
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
    """Seconds: how long each must last, how fast `now` and the reference follow, and when a new view is accepted.

    `frozen_snapshot`: the same for a camera that is asked for pictures, and may renew its picture once a minute.
    """

    frozen: float = 30
    frozen_snapshot: float = 300
    black: float = 10
    moved: float = 15
    current: float = 4
    reference: float = 900
    learning: float = 30
    accept: float = 1800


class TamperDetector:
    """Looks at a camera's frames; one thread at a time feeds it."""

    def __init__(self, times: TamperTimes | None = None) -> None:
        self._times = times or TamperTimes()
        self._sampler = FrameSampler(PER_SECOND)
        self._since: dict[AlertKind, tuple[float, int]] = {}  # when each condition began, and its pictures
        self._alerts: dict[AlertKind, CameraAlert] = {}
        self._still: Picture | None = None
        self._structure = _EdgeReference(self._times)
        self._usual: NDArray[np.float32] | None = None
        self._difference = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
        self._before = 0.0

    @property
    def alerts(self) -> list[CameraAlert]:
        """Those that stand."""
        return list(self._alerts.values())

    def feed(self, frame: Frame) -> list[tuple[CameraAlert, bool]]:
        """One frame; returns the alerts that began (True) or ended (False) by it."""
        if not self._sampler.due(frame.arrived):
            return []
        picture = convert(frame.image, WIDTH, HEIGHT, "gray")
        return self.feed_picture(picture, frame.arrived, snapshot=frame.snapshot)

    def feed_picture(self, picture: Picture, at: float, *, snapshot: bool = False) -> list[tuple[CameraAlert, bool]]:
        """One small grey picture, HEIGHT x WIDTH, that arrived at `at`; as `look`."""
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
        """How much each pixel of the newest small picture differs from the mean of the last seconds before it."""
        difference: NDArray[np.float32] = np.abs(self._difference)
        return difference

    def _is_same(self, picture: Picture) -> bool:
        """Whether it is the picture that the present stillness began with."""
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
    """The edges of the usual view against those of now, block by block."""

    def __init__(self, times: TamperTimes) -> None:
        self._times = times
        self._reference: Gradients | None = None
        self._began = self._before = 0.0
        self._different_since: float | None = None

    def differs(self, usual: NDArray[np.float32], at: float) -> bool:
        """Whether most blocks show other edges than the reference; it follows slowly as long as they do not."""
        now = _gradients(usual)
        if self._reference is None:
            self._reference, self._began, self._before = now, at, at
            return False
        learning = at - self._began < self._times.learning
        different = not learning and _has_moved(self._reference, now)
        self._different_since = (self._different_since or at) if different else None
        if self._different_since is not None and at - self._different_since > self._times.accept:
            self._reference, self._began, different = now, at, False  # nobody put it back: this is the view now
        elif not different:
            follows = self._times.current if learning else self._times.reference
            share = 1 - math.exp(-max(0.0, at - self._before) / follows)
            self._reference += np.float32(share) * (now - self._reference)
        self._before = at
        return different


def _gradients(picture: NDArray[np.float32]) -> Gradients:
    """Horizontal and vertical differences, smoothed over a few pixels so that a swaying mast is no other view."""
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
    """Sums over both directions and over each block, rows x columns."""
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
