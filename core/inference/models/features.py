"""Feature extraction: one vector per patch of a picture, from the first layers of EfficientNet-Lite0."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.files import sha256_file
from core.inference.models.detector import Picture
from core.inference.models.engine_onnx import OnnxEngine
from core.inference.models.providers import Choice

WEIGHTS = Path(__file__).parent / "weights"
NETWORK = WEIGHTS / "features_lite0.onnx"
BATCH = 8  # pictures at once, at most: what `load` warms up with

LARGEST_BANK = 1500  # vectors that stand for a camera's normal pictures: measured; more cost time and find no more

Features = NDArray[np.float32]  # patches x CHANNELS, of one picture; or of several, with their number in front


@cache
def network_sha256() -> str:
    """Which network it is: features of another one mean something else."""
    return sha256_file(NETWORK)


class PatchFeatures:
    """The network behind the memory of normal pictures. Any thread may call; one at a time is served."""

    WIDTH, HEIGHT = 384, 224  # pixels; fixed in the file
    PATCHES, CHANNELS = 24 * 14, 152  # one vector for each 16 x 16 pixels

    def __init__(self, choice: Choice | None = None) -> None:
        self._engine = OnnxEngine(NETWORK, choice)
        self._nearest = OnnxEngine(WEIGHTS / "nearest.onnx", choice)
        self._running = threading.Lock()

    @property
    def provider(self) -> str:
        """What it runs on."""
        return self._engine.provider

    def load(self) -> None:
        """Read the weights and run once at the largest batch. Raises XaivaError."""
        self._engine.load()
        self._nearest.load()
        features = self.of([np.zeros((self.HEIGHT, self.WIDTH, 3), np.uint8)] * BATCH)
        self.distances(features[0], np.zeros((LARGEST_BANK, self.CHANNELS), np.float32))

    def of(self, pictures: list[Picture]) -> Features:
        """The vectors of those RGB pictures (each HEIGHT x WIDTH x 3): n x PATCHES x CHANNELS, row by row."""
        found: list[Features] = []
        for start in range(0, len(pictures), BATCH):
            with self._running:
                found += self._engine.run_batch({"picture": np.stack(pictures[start : start + BATCH])})
        return np.concatenate(found)

    def distances(self, patches: Features, bank: Features) -> Features:
        """How far each of the patches (p x CHANNELS) is from the nearest of the bank (m x CHANNELS): p numbers."""
        with self._running:
            found: Features = self._nearest.run({"patches": patches, "bank": bank})[0]
        return found

    def close(self) -> None:
        """Give the memory back."""
        self._engine.close()
        self._nearest.close()
