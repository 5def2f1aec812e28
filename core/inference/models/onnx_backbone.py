"""Backbones of memory banks from the models folder: an ONNX model, and a JSON file beside it that names its layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from core.errors import TransientError, XaivaError
from core.files import sha256_bytes
from core.inference.models.detector import Picture
from core.inference.models.execution_providers import ExecutionProvider
from core.inference.models.features import (
    NETWORK,
    AveragedFeatures,
    Backbone,
    Features,
    NetworkIdentity,
    averaging,
    edge_weights,
    shipped_network,
)
from core.inference.models.memory_bank import WORST_PATCHES
from core.inference.models.model_files import FileStamp, declared_memory, file_stamp, hash_model
from core.inference.models.onnx_input import (
    MAX_BATCH,
    DescribedModel,
    DescriptionModel,
    InputDescription,
    convert_colour,
    model_path,
    prepare_input,
    read_json_description,
)
from core.inference.settings import MIB, ServiceSettings

HELP_PAGE = "see docs/memory-banks.md"
MAX_GRID = 4096  # patches of a picture: their distances to a bank of 6000 take 98 MB
_PREPARATION = 3  # counts changes of this module and of features.py that change features or their weights
_LARGEST = float(np.finfo(np.float16).max)  # features are stored with 16 bits


class BackboneDescription(DescriptionModel):
    """The content of the JSON file beside the model."""

    input: InputDescription
    layers: Annotated[tuple[str, ...], Field(min_length=1)]
    """The outputs that are feature maps: 1 x channels x height x width for a picture."""
    average: Literal[1, 3, 5] = 3
    """Each place of a feature map becomes the mean of so many times so many neighbours."""

    @field_validator("layers")
    @classmethod
    def _each_once(cls, layers: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(layers)) < len(layers):
            raise ValueError("name each output once")
        return layers


@dataclass(frozen=True)
class BackboneFiles:
    """A backbone as its files were when they were read. `description` is None for the one that xaiva ships."""

    identity: NetworkIdentity
    path: Path = NETWORK
    description: BackboneDescription | None = None
    stamp: FileStamp = ()

    @property
    def key(self) -> str:
        """Its name with the beginning of its SHA-256. A changed file is another model."""
        return f"{self.identity.name}:{self.identity.sha256[:12]}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of its input."""
        if self.description is None:
            return AveragedFeatures.width, AveragedFeatures.height
        return self.description.input.width, self.description.input.height

    @property
    def memory(self) -> int:
        """Bytes to charge until it was measured."""
        return 200 * MIB if self.description is None else declared_memory(self.stamp)

    def make(self, provider: ExecutionProvider | None = None) -> Backbone:
        """The backbone, not loaded yet."""
        if self.description is None:
            return AveragedFeatures(provider)
        return OnnxBackbone(self, self.description, provider)


class OnnxBackbone(Backbone):
    """Joins the feature maps of the named layers, as PatchCore does: averaged, and scaled to the largest grid."""

    def __init__(
        self, files: BackboneFiles, description: BackboneDescription, provider: ExecutionProvider | None = None
    ) -> None:
        super().__init__(files.path, provider)
        self.identity = files.identity
        self.width, self.height = files.size
        self._files = files
        self._description = description
        self._batch = MAX_BATCH
        self._scaling: list[tuple[Features, Features]] = []  # of each layer, for its columns and its rows

    def extract(self, pictures: list[Picture]) -> Features:
        parts = [self._join(pictures[at : at + self._batch]) for at in range(0, len(pictures), self._batch)]
        features = np.concatenate(parts)
        if not np.abs(features).max() <= _LARGEST:
            why = f"its layers gave a number that is not finite, or larger than {_LARGEST:.0f}"
            raise XaivaError(f"Model {self._files.path.name}", why, HELP_PAGE)
        return features

    def _prepare(self) -> None:
        """Compare the model with its description. Raises InputError, TransientError for a file that was replaced."""
        path, description = self._files.path, self._description
        if file_stamp(path) != self._files.stamp:
            raise TransientError(f"Model {path}", "it was replaced while it was loaded")
        described = DescribedModel(self._engine, path.with_suffix(".json"), HELP_PAGE)
        self._batch = described.check_input(description.input)
        for name in description.layers:
            described.output(name, "layers")
        maps = self._run([np.zeros((self.height, self.width, 3), np.uint8)])
        for name, values in zip(description.layers, maps, strict=True):
            if values.ndim != 4 or len(values) != 1 or not values.size:
                why = f"{name} gives {values.shape} for a picture, and 1 x channels x height x width is needed"
                raise described.error("layers", why)
        self.rows, self.columns = (max(values.shape[axis] for values in maps) for axis in (2, 3))
        self.channels = sum(values.shape[1] for values in maps)
        if not WORST_PATCHES <= self.patches <= MAX_GRID:
            why = f"they give {self.columns} x {self.rows} patches, and {WORST_PATCHES} to {MAX_GRID} can be used"
            raise described.error("layers", why)
        self._scaling = [
            (self._spread(values.shape[2], self.rows), self._spread(values.shape[3], self.columns).T) for values in maps
        ]
        self.weights = np.concatenate([self._weights(values) for values in maps], axis=1)

    def _spread(self, size: int, wanted: int) -> Features:
        """The matrix (wanted x size) that averages neighbours, and then interpolates between places."""
        spread: Features = _interpolation(size, wanted) @ averaging(size, self._description.average)
        return spread

    def _weights(self, values: NDArray[Any]) -> Features:
        """The weights of a layer's channels: patches x channels."""
        down, across = (
            _interpolation(size, wanted) @ edge_weights(size, self._description.average)
            for size, wanted in zip(values.shape[2:], (self.rows, self.columns), strict=True)
        )
        return np.repeat(np.outer(down, across).reshape(-1, 1), values.shape[1], axis=1)

    def _join(self, pictures: list[Picture]) -> Features:
        """The features of a batch: n x patches x channels."""
        maps = zip(self._run(pictures), self._scaling, strict=True)
        joined = np.concatenate([down @ values @ across for values, (down, across) in maps], axis=1)
        return np.ascontiguousarray(joined.reshape(len(pictures), self.channels, -1).transpose(0, 2, 1))

    def _run(self, pictures: list[Picture]) -> list[NDArray[Any]]:
        """The feature map of each layer: n x channels x height x width."""
        declared = self._description.input
        prepared = np.stack([prepare_input(declared, convert_colour(declared, picture)) for picture in pictures])
        with self._running:
            maps = self._engine.run_batch({declared.name: prepared}, self._description.layers)
        return [np.asarray(values, np.float32) for values in maps]


def find_backbone(settings: ServiceSettings) -> BackboneFiles:
    """The backbone of the settings; its file is hashed when it has changed. Raises InputError for a wrong file."""
    if not settings.backbone:
        return BackboneFiles(shipped_network())
    path = model_path(settings.models, settings.backbone, "XAIVA_BACKBONE")
    description = read_json_description(path.with_suffix(".json"), BackboneDescription, HELP_PAGE)
    stamp, digests = hash_model(path)
    sha256 = sha256_bytes(f"{_PREPARATION} {digests} {description.model_dump_json()}".encode())
    return BackboneFiles(NetworkIdentity(settings.backbone, sha256), path, description, stamp)


def _interpolation(size: int, wanted: int) -> Features:
    """The matrix (wanted x size) that interpolates linearly between places."""
    places = np.arange(size)
    at = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
    matrix: Features = np.maximum(0, 1 - np.abs(at[:, None] - places)).astype(np.float32)
    return matrix
