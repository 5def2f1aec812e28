"""A camera's scorer: its lease of a model that cameras share."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from core.inference.models.detector import Sample


class Scorer(Protocol):
    """A lease of a shared detector. Thread-safe; no method blocks.

    Pictures must be uint8, `height` x `width` (x channels), in `pixel_format` (a libav name). `key` names the model in
    the pool, `cost` is its memory in bytes.
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
        """The future score, 0 (as usual) to 1. It fails with the detector's error, or with `ModelBusy` when too many
        samples of this camera wait, and is cancelled when the model is closed."""

    def forget(self, camera: str) -> None:
        """Forget the state of that camera, after the samples submitted so far and before the next ones."""

    def release(self) -> None:
        """Release the lease; further calls do nothing."""
