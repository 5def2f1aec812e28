"""A camera's scorer: its share of a model that all cameras of one kind use together."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from core.inference.models.detector import Sample


class Scorer(Protocol):
    """A lease of a shared detector. Every method may be called from any thread and returns at once.

    `width`, `height` (pixels) and `pixel_format` (a libav name) say what pictures it wants: uint8, height x width
    (x channels). `key` names the model in the pool, `cost` is what it holds there in bytes.
    """

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    @property
    def pixel_format(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def cost(self) -> int: ...

    def submit(self, sample: Sample) -> Future[float]:
        """The score to come: 0 (as always) to 1. The future fails with what the detector raised, with `ModelBusy` when
        this camera has too many samples waiting, and is cancelled when the model goes away."""

    def forget(self, camera: str) -> None:
        """Forget what was seen of that camera, after what was submitted before and before what comes next."""

    def release(self) -> None:
        """Give the lease back; once is enough, more do no harm."""
