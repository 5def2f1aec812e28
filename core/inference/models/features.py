"""Feature extraction: backbones, which give one vector for each patch of a picture, and the one that xaiva ships."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.files import sha256_bytes, sha256_file
from core.inference.models.detector import Picture
from core.inference.models.execution_providers import ExecutionProvider
from core.inference.models.onnx_engine import OnnxEngine

WEIGHTS = Path(__file__).parent / "weights"
NETWORK = WEIGHTS / "features_lite0.onnx"
FEATURE_BATCH = 8  # largest batch, also for the warm-up

MAX_BANK_PATCHES = 1500  # size of a coreset; measured: more vectors cost time and find no more

NEIGHBOURS = 3  # for banks of products each patch is the mean of so many times so many
EDGE_EXPONENT = 0.7  # see edge_weights()

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


@cache
def shipped_network() -> NetworkIdentity:
    """The identity of the network that xaiva ships, with the averages that banks of products are built from."""
    averaged = f"{network_sha256()} averaged {NEIGHBOURS} {EDGE_EXPONENT}"
    return NetworkIdentity(NETWORK.stem, sha256_bytes(averaged.encode()))


def averaging(size: int, neighbours: int) -> Features:
    """The matrix (size x size) that replaces each place of a line by the mean of the `neighbours` around it.

    At an edge, it is the mean of those that exist.
    """
    near = _near(size, neighbours)
    matrix: Features = (near / near.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


def edge_weights(size: int, neighbours: int) -> Features:
    """How much each place of a line counts after `averaging`: less at an edge, whose mean is one of fewer places.

    A mean of fewer varies more, and without this the worst place of nearly every picture lies at its edge. PatchCore
    pads with zeros instead, which hides defects at edges. The exponent was measured: see docs/memory-banks.md.
    """
    averaged = _near(size, neighbours).sum(axis=1)
    weights: Features = ((averaged / averaged.max()) ** EDGE_EXPONENT).astype(np.float32)
    return weights


def _near(size: int, neighbours: int) -> NDArray[np.bool_]:
    places = np.arange(size)
    near: NDArray[np.bool_] = np.abs(places[:, None] - places) <= neighbours // 2
    return near


class Backbone(ABC):
    """A network of patch features, and the distances between them. Thread-safe; one call at a time is computed.

    `width` and `height` are the pixels of its input; `rows` and `columns` of patches and the `channels` of each are
    known once it is loaded. `weights` (patches x channels, or x 1 for all channels) say how much standardised features
    count in banks of products.
    """

    identity: NetworkIdentity
    width: int
    height: int
    rows: int
    columns: int
    channels: int
    weights: Features

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
    """The backbone that xaiva ships, as cameras use it: the first layers of EfficientNet-Lite0.

    Cameras see things from afar: averages over neighbours would hide a bag of one patch.
    """

    width, height = 384, 224  # fixed in the file
    rows, columns = 14, 24  # one patch for each 16 x 16 pixels
    channels = 152
    weights = np.outer(edge_weights(rows, NEIGHBOURS), edge_weights(columns, NEIGHBOURS)).reshape(-1, 1)
    _down, _across = averaging(rows, NEIGHBOURS), averaging(columns, NEIGHBOURS)

    def __init__(self, provider: ExecutionProvider | None = None) -> None:
        super().__init__(NETWORK, provider)
        self.identity = NetworkIdentity(NETWORK.stem, network_sha256())

    def extract(self, pictures: list[Picture]) -> Features:
        features: list[Features] = []
        for start in range(0, len(pictures), FEATURE_BATCH):
            with self._running:
                features += self._engine.run_batch({"picture": np.stack(pictures[start : start + FEATURE_BATCH])})
        return np.concatenate(features)

    def average(self, features: Features) -> Features:
        """The same features (n x patches x channels), each patch averaged with its neighbours."""
        grid = (len(features), self.rows, self.columns, self.channels)
        down = self._down @ features.reshape(len(features), self.rows, -1)
        averaged: Features = self._across @ down.reshape(grid)
        return averaged.reshape(features.shape)

    def _prepare(self) -> None:
        pass


class AveragedFeatures(PatchFeatures):
    """The backbone that xaiva ships, as banks of products use it: each patch is averaged with its neighbours."""

    def __init__(self, provider: ExecutionProvider | None = None) -> None:
        super().__init__(provider)
        self.identity = shipped_network()

    def extract(self, pictures: list[Picture]) -> Features:
        return self.average(super().extract(pictures))
