"""A product's memory bank: the features of its pictures, and the score and the map of a picture.

It is the cameras' memory bank (`MemoryBank`) with three differences: patches are averaged with their neighbours, and
count less at an edge; only the worst place of a picture counts, not the picture as a whole; and the picture may be cut
to a region and into tiles, each of which the network sees by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from core.api_schema import Region
from core.inference.models.auroc import auroc
from core.inference.models.detector import Picture
from core.inference.models.features import NETWORK, Backbone, NetworkIdentity
from core.inference.models.memory_bank import MemoryBank, Values
from core.inference.models.tiles import ScoreMap, cut_tiles, join_maps

LIMIT = 0.5  # the score at which normal ends
BINS = 20  # of the histogram of scores
MIN_DEFECTS = 5  # known defects from which on their AUROC says something

PictureFeatures = NDArray[np.float16]
"""tiles * patches x channels of one picture, tile by tile."""


class BankFacts(BaseModel):
    """What a generation says about its bank, in its manifest."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    product: str
    pictures: int
    patches: int
    network: str
    """SHA-256."""
    network_name: str = NETWORK.stem
    region: Region = Region()
    tiles: tuple[int, int] = (1, 1)
    threshold: float = LIMIT
    held_out: list[float]
    """The scores of normal pictures, each from a bank that had not seen it."""
    defects: dict[str, list[float]]
    """The scores of known defects, by type."""
    inputs: str = ""
    """A hash of the pictures and of everything else that the bank was made from; empty when that is not known."""
    typical: float
    """The median distance of the held-out pictures' worst places, and the distance at which normal ends."""
    limit: float

    @property
    def defect_scores(self) -> list[float]:
        return [score for scores in self.defects.values() for score in scores]

    @property
    def auroc(self) -> float | None:
        """Of known defects against held-out normals; None with fewer than MIN_DEFECTS of them."""
        return auroc(self.held_out, self.defect_scores) if len(self.defect_scores) >= MIN_DEFECTS else None

    @property
    def false_alarms(self) -> float:
        """The share of held-out normals at or above the threshold."""
        return float(np.mean(np.array(self.held_out) >= self.threshold)) if self.held_out else 0.0

    @property
    def width(self) -> float:
        """How far the limit is from what is typical, as a factor: the less the normal pictures differ, the lower."""
        return self.limit / self.typical if self.typical > 0 else float("inf")

    def histogram(self) -> tuple[list[int], list[int]]:
        """Counts of the held-out normals and of the known defects, in BINS equal bins from 0 to 1."""
        normal, defect = (
            np.histogram(np.clip(scores, 0, 1), BINS, (0, 1))[0].tolist()
            for scores in (self.held_out, self.defect_scores)
        )
        return normal, defect

    def network_trouble(self, network: NetworkIdentity) -> str:
        """Why the bank cannot be used with that network; empty when it was built with it."""
        if self.network == network.sha256:
            return ""
        if self.network_name == network.name:
            return f"it was built with another version of the network {network.name}"
        return f"it was built with the network {self.network_name}, not with {network.name}"


@dataclass(frozen=True)
class PictureScore:
    """`score`: 0 to 1, normal ends at 0.5. `map`: the same for each place of the picture, 0 outside of the region."""

    score: float
    map: ScoreMap


@dataclass(frozen=True)
class ProductBank:
    """A memory bank, and how it was made."""

    bank: MemoryBank
    facts: BankFacts

    def score(self, picture: Picture, network: Backbone) -> PictureScore:
        """Score a picture (uint8 RGB, any size). Raises InputError for one that is too small for the tiles."""
        features = picture_features(picture, network, self.facts.region, self.facts.tiles)
        return self.score_features(features, network)

    def score_features(self, features: PictureFeatures, network: Backbone) -> PictureScore:
        """Score a picture by its features."""
        nearest = self.distances(features, network)
        maps = self.bank.place_scores(nearest).reshape(-1, network.rows, network.columns)
        return PictureScore(self.bank.score(nearest), join_maps(list(maps), self.facts.region, self.facts.tiles))

    def distances(self, features: PictureFeatures | Values, network: Backbone) -> Values:
        """The distance of each patch to the nearest one of the bank."""
        return bank_distances(
            standardise(features, self.bank.mean, self.bank.spread, network), self.bank.patches, network
        )


def picture_features(picture: Picture, network: Backbone, region: Region, tiles: tuple[int, int]) -> PictureFeatures:
    """The features of a picture (uint8 RGB, any size). Raises InputError for one that is too small for the tiles."""
    return tile_features(scaled_tiles(picture, region, tiles, (network.width, network.height)), network)


def scaled_tiles(picture: Picture, region: Region, tiles: tuple[int, int], size: tuple[int, int]) -> list[Picture]:
    """The picture's tiles in the `size` (width, height) of the network's input.

    Raises InputError for a picture that is too small for them.
    """
    return [
        np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.BILINEAR))
        for tile in cut_tiles(picture, region, tiles)
    ]


def tile_features(tiles: list[Picture], network: Backbone) -> PictureFeatures:
    """The features of scaled tiles, of one picture or of several."""
    return np.concatenate(list(network.extract(tiles))).astype(np.float16)


def standardise(features: PictureFeatures | Values, mean: Values, spread: Values, network: Backbone) -> Values:
    """The features as banks compare them: by channels, and weighted by places."""
    standardised = (features.astype(np.float32) - mean) / spread
    tiles = standardised.reshape(-1, network.patches, network.channels)
    tiles *= network.weights
    return standardised


def bank_distances(patches: Values, bank: Values, network: Backbone) -> Values:
    """The distance of each standardised patch to the nearest one of the bank, tile by tile."""
    parts = [network.distances(part, bank) for part in np.split(patches, len(patches) // network.patches)]
    return np.concatenate(parts)


def least_size(region: Region, tiles: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of a picture whose tiles have the `size` of the network's input: a larger one shows no more."""
    width = size[0] * tiles[0] / (region.right - region.left)
    height = size[1] * tiles[1] / (region.bottom - region.top)
    return round(width), round(height)
