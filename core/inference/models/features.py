"""Feature extraction: one vector per patch of a picture, from the first layers of EfficientNet-Lite0."""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.files import sha256_file
from core.inference.models.detector import Picture
from core.inference.models.execution_providers import ExecutionProvider
from core.inference.models.onnx_engine import OnnxEngine

WEIGHTS = Path(__file__).parent / "weights"
NETWORK = WEIGHTS / "features_lite0.onnx"
FEATURE_BATCH = 8  # pictures at once, at most: what `load` warms up with

MAX_BANK_PATCHES = 1500  # vectors that stand for a camera's normal pictures: measured; more cost time and find no more

Features = NDArray[np.float32]  # patches x CHANNELS, of one picture; or of several, with their number in front


@cache
def network_sha256() -> str:
    """Which network it is: features of another one mean something else."""
    return sha256_file(NETWORK)


class PatchFeatures:
    """The network behind the memory of normal pictures. Any thread may call; one at a time is served."""

    WIDTH, HEIGHT = 384, 224  # pixels; fixed in the file
    PATCHES, CHANNELS = 24 * 14, 152  # one vector for each 16 x 16 pixels

    def __init__(self, provider: ExecutionProvider | None = None) -> None:
        self._engine = OnnxEngine(NETWORK, provider)
        self._nearest = OnnxEngine(WEIGHTS / "nearest.onnx", provider)
        self._running = threading.Lock()

    @property
    def provider(self) -> str:
        """What it runs on."""
        return self._engine.provider

    def load(self) -> None:
        """Read the weights and run once at the largest batch. Raises XaivaError."""
        self._engine.load()
        self._nearest.load()
        features = self.extract([np.zeros((self.HEIGHT, self.WIDTH, 3), np.uint8)] * FEATURE_BATCH)
        self.distances(features[0], np.zeros((MAX_BANK_PATCHES, self.CHANNELS), np.float32))

    def extract(self, pictures: list[Picture]) -> Features:
        """The vectors of those RGB pictures (each HEIGHT x WIDTH x 3): n x PATCHES x CHANNELS, row by row."""
        features: list[Features] = []
        for start in range(0, len(pictures), FEATURE_BATCH):
            with self._running:
                features += self._engine.run_batch({"picture": np.stack(pictures[start : start + FEATURE_BATCH])})
        return np.concatenate(features)

    def distances(self, patches: Features, bank: Features) -> Features:
        """How far each of the patches (p x CHANNELS) is from the nearest of the bank (m x CHANNELS): p numbers."""
        with self._running:
            distances: Features = self._nearest.run({"patches": patches, "bank": bank})[0]
        return distances

    def close(self) -> None:
        """Give the memory back."""
        self._engine.close()
        self._nearest.close()
