"""Feature extraction: backbones, which give one vector for each patch of a picture, and the one that xaiva ships."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
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

Features = NDArray[np.float32]  # patches x channels of one picture, or pictures x patches x channels


@dataclass(frozen=True)
class NetworkIdentity:
    """What features must have in common to be compared: the SHA-256. The name is for people."""

    name: str
    sha256: str


@cache
def network_sha256() -> str:
    """The SHA-256 of the network that xaiva ships."""
    return sha256_file(NETWORK)


def shipped_network() -> NetworkIdentity:
    """The identity of the network that xaiva ships."""
    return NetworkIdentity(NETWORK.stem, network_sha256())


class Backbone(ABC):
    """A network of patch features, and the distances between them. Thread-safe; one call at a time is computed.

    `width` and `height` are the pixels of its input; `rows` and `columns` of patches and the `channels` of each are
    known once it is loaded.
    """

    identity: NetworkIdentity
    width: int
    height: int
    rows: int
    columns: int
    channels: int

    def __init__(self, path: Path, provider: ExecutionProvider | None = None) -> None:
        self._engine = OnnxEngine(path, provider)
        self._nearest = OnnxEngine(WEIGHTS / "nearest.onnx", provider)
        self._running = threading.Lock()

    @property
    def provider(self) -> str:
        return self._engine.provider

    @property
    def patches(self) -> int:
        """Patches of a picture."""
        return self.rows * self.columns

    def load(self) -> None:
        """Load the weights and run once with the largest batch. Raises XaivaError."""
        self._engine.load()
        self._nearest.load()
        self._prepare()
        features = self.extract([np.zeros((self.height, self.width, 3), np.uint8)] * FEATURE_BATCH)
        self.distances(features[0], np.zeros((MAX_BANK_PATCHES, self.channels), np.float32))

    @abstractmethod
    def extract(self, pictures: list[Picture]) -> Features:
        """The features of RGB pictures (uint8, height x width x 3): n x patches x channels, patches row by row."""

    def distances(self, patches: Features, bank: Features) -> Features:
        """The distance of each patch (p x channels) to the nearest vector of the bank (m x channels): p numbers."""
        with self._running:
            distances: Features = self._nearest.run({"patches": patches, "bank": bank})[0]
        return distances

    def close(self) -> None:
        self._engine.close()
        self._nearest.close()

    @abstractmethod
    def _prepare(self) -> None:
        """Check the loaded model, and find out what is not known before. Raises XaivaError."""


class PatchFeatures(Backbone):
    """The backbone that xaiva ships: the first layers of EfficientNet-Lite0."""

    width, height = 384, 224  # fixed in the file
    rows, columns = 14, 24  # one patch for each 16 x 16 pixels
    channels = 152

    def __init__(self, provider: ExecutionProvider | None = None) -> None:
        super().__init__(NETWORK, provider)
        self.identity = shipped_network()

    def extract(self, pictures: list[Picture]) -> Features:
        features: list[Features] = []
        for start in range(0, len(pictures), FEATURE_BATCH):
            with self._running:
                features += self._engine.run_batch({"picture": np.stack(pictures[start : start + FEATURE_BATCH])})
        return np.concatenate(features)

    def _prepare(self) -> None:
        pass
