"""Feature extraction: one vector for each patch of a picture, from the first layers of EfficientNet-Lite0."""

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
FEATURE_BATCH = 8  # largest batch, also for the warm-up

MAX_BANK_PATCHES = 1500  # size of a coreset; measured: more vectors cost time and find no more

Features = NDArray[np.float32]  # patches x CHANNELS of one picture, or pictures x patches x CHANNELS


@cache
def network_sha256() -> str:
    """The SHA-256 of the network; features of different networks cannot be compared."""
    return sha256_file(NETWORK)


class PatchFeatures:
    """The backbone of the PatchCore detector. Thread-safe; one call at a time is computed."""

    WIDTH, HEIGHT = 384, 224  # pixels; fixed in the file
    ROWS, COLUMNS = 14, 24  # of patches: one for each 16 x 16 pixels
    PATCHES, CHANNELS = ROWS * COLUMNS, 152

    def __init__(self, provider: ExecutionProvider | None = None) -> None:
        self._engine = OnnxEngine(NETWORK, provider)
        self._nearest = OnnxEngine(WEIGHTS / "nearest.onnx", provider)
        self._running = threading.Lock()

    @property
    def provider(self) -> str:
        return self._engine.provider

    def load(self) -> None:
        """Load the weights and run once with the largest batch. Raises XaivaError."""
        self._engine.load()
        self._nearest.load()
        features = self.extract([np.zeros((self.HEIGHT, self.WIDTH, 3), np.uint8)] * FEATURE_BATCH)
        self.distances(features[0], np.zeros((MAX_BANK_PATCHES, self.CHANNELS), np.float32))

    def extract(self, pictures: list[Picture]) -> Features:
        """The features of RGB pictures (uint8, HEIGHT x WIDTH x 3): n x PATCHES x CHANNELS, patches row by row."""
        features: list[Features] = []
        for start in range(0, len(pictures), FEATURE_BATCH):
            with self._running:
                features += self._engine.run_batch({"picture": np.stack(pictures[start : start + FEATURE_BATCH])})
        return np.concatenate(features)

    def distances(self, patches: Features, bank: Features) -> Features:
        """The distance of each patch (p x CHANNELS) to the nearest vector of the bank (m x CHANNELS): p numbers."""
        with self._running:
            distances: Features = self._nearest.run({"patches": patches, "bank": bank})[0]
        return distances

    def close(self) -> None:
        self._engine.close()
        self._nearest.close()
