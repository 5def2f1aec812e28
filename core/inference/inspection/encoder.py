"""The image encoder: turns pictures into unit vectors, with any CLIP-like ONNX model or the network that we ship."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from core.errors import InputError, TransientError, XaivaError
from core.files import sha256_bytes
from core.inference.model_pool.pool import ModelSpec
from core.inference.models.detector import Picture
from core.inference.models.execution_providers import ExecutionProvider
from core.inference.models.features import NETWORK
from core.inference.models.model_files import FileStamp, declared_memory, file_stamp, hash_model
from core.inference.models.onnx_engine import OnnxEngine
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
from core.inference.models.registry import execution_provider
from core.inference.settings import ServiceSettings

SHIPPED = "features-lite0"  # the name of the encoder that needs no file in the models folder
HELP_PAGE = "see docs/indexes.md"
_PREPARATION = 1  # counts changes of this module that change vectors
_UNIT_TOLERANCE = 0.01

Vectors = NDArray[np.float32]  # n x dimension, each of length 1


class OutputDescription(DescriptionModel):
    """How the named output becomes a vector. `pool` joins the vectors of a picture's patches (n x patches x channels):
    `mean_max_min` lines up each channel's mean, largest and smallest value."""

    name: str
    pool: Literal["none", "mean_max_min"] = "none"
    normalise: bool = True
    """Scale vectors to length 1; false: the model does that."""


class EncoderDescription(DescriptionModel):
    """The content of the JSON file beside the model."""

    input: InputDescription
    resize: Literal["shorter", "stretch", "pad"] = "shorter"
    """`shorter`: scale the shorter side and cut the middle out; `pad`: scale the longer side and add black."""
    filter: Literal["bicubic", "bilinear"] = "bicubic"
    output: OutputDescription


class EncoderIdentity(BaseModel):
    """What vectors must have in common to be compared."""

    model_config = ConfigDict(frozen=True)

    name: str
    dimension: int
    sha256: str
    """Of the model file, its description, and how pictures are prepared."""


@dataclass(frozen=True)
class EncoderFiles:
    """A model file with its description, as they were when they were read."""

    name: str
    path: Path
    description: EncoderDescription
    sha256: str
    stamp: FileStamp

    @property
    def key(self) -> str:
        """Its key in the model pool. A changed file is another model."""
        return f"encoder:{self.name}:{self.sha256[:12]}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the model's input: what `pictures.decode` needs as `at_least`."""
        return self.description.input.width, self.description.input.height

    @property
    def memory(self) -> int:
        """Bytes to charge until it was measured."""
        return declared_memory(self.stamp)


class ImageEncoder:
    """A loaded encoder. Thread-safe; one batch at a time is computed."""

    def __init__(self, files: EncoderFiles, provider: ExecutionProvider | None = None) -> None:
        self.files = files
        self._engine = OnnxEngine(files.path, provider)
        self._batch = MAX_BATCH
        self._dimension = 0
        self._running = threading.Lock()

    @property
    def provider(self) -> str:
        return self._engine.provider

    @property
    def size(self) -> tuple[int, int]:
        """As `EncoderFiles.size`."""
        return self.files.size

    @property
    def batch(self) -> int:
        """How many pictures are best given at once."""
        return self._batch

    @cached_property
    def identity(self) -> EncoderIdentity:
        """The identity of its vectors, once it is loaded."""
        return EncoderIdentity(name=self.files.name, dimension=self._dimension, sha256=self.files.sha256)

    def load(self) -> None:
        """Load the model, compare it with its description, and run it once with the largest batch.

        Raises InputError, XaivaError, and TransientError when the file was replaced meanwhile.
        """
        self._engine.load()
        if file_stamp(self.files.path) != self.files.stamp:
            raise TransientError(f"Model {self.files.path}", "it was replaced while it was loaded")
        described = DescribedModel(self._engine, self.files.path.with_suffix(".json"), HELP_PAGE)
        self._batch = described.check_input(self.files.description.input)
        described.output(self.files.description.output.name)
        width, height = self.size
        noise = np.random.default_rng(0).integers(0, 256, (self._batch, height, width, 3), np.uint8)
        self._dimension = self.embed(list(noise)).shape[1]

    def prepare(self, picture: Picture) -> Picture:
        """An RGB picture of any size as the model sees it: resized, in the colours of the description."""
        description = self.files.description
        image = Image.fromarray(picture)
        filter_ = Image.Resampling.BICUBIC if description.filter == "bicubic" else Image.Resampling.BILINEAR
        resized = _resize(image, self.size, description.resize, filter_)
        return convert_colour(description.input, np.asarray(resized))

    def embed(self, pictures: Sequence[Picture]) -> Vectors:
        """The vectors of RGB pictures of any size (uint8, height x width x 3). Raises XaivaError."""
        return self.embed_prepared([self.prepare(picture) for picture in pictures])

    def embed_prepared(self, prepared: Sequence[Picture]) -> Vectors:
        """The vectors of pictures that `prepare` returned. Raises XaivaError, also if one of them has none."""
        vectors, usable = self.embed_usable(prepared)
        if not usable.all():
            raise XaivaError(f"Model {self.files.path.name}", "it returned no usable vector for a picture", HELP_PAGE)
        return vectors

    def embed_usable(self, prepared: Sequence[Picture]) -> tuple[Vectors, NDArray[np.bool_]]:
        """As `embed_prepared`, and for which pictures the model returned a vector; the others have zeros."""
        parts = [self._run(prepared[start : start + self._batch]) for start in range(0, len(prepared), self._batch)]
        if not parts:
            return np.zeros((0, self._dimension), np.float32), np.zeros(0, np.bool_)
        vectors, usable = zip(*parts, strict=True)
        return np.concatenate(vectors), np.concatenate(usable)

    def close(self) -> None:
        self._engine.close()

    def _run(self, prepared: Sequence[Picture]) -> tuple[Vectors, NDArray[np.bool_]]:
        declared = self.files.description
        inputs = {declared.input.name: np.stack([prepare_input(declared.input, picture) for picture in prepared])}
        with self._running:
            answer = np.asarray(self._engine.run_batch(inputs, [declared.output.name])[0], np.float32)
        wanted = 2 if declared.output.pool == "none" else 3
        if answer.ndim != wanted or answer.shape[0] != len(prepared):
            why = f"{declared.output.name} gives {answer.shape} for {len(prepared)} pictures"
            remedy = "choose an output with one vector a picture, or set output.pool"
            raise InputError(f"{self.files.path.with_suffix('.json')}: output.name", why, remedy)
        if wanted == 3:
            answer = np.concatenate([answer.mean(axis=1), answer.max(axis=1), answer.min(axis=1)], axis=1)
        return self._to_unit(answer)

    def _to_unit(self, answer: Vectors) -> tuple[Vectors, NDArray[np.bool_]]:
        lengths = np.linalg.norm(answer, axis=1)
        usable = np.isfinite(lengths) & (lengths > 0)
        answer, lengths = np.where(usable[:, None], answer, 0), np.where(usable, lengths, 1)
        if self.files.description.output.normalise:
            return np.asarray(answer / lengths[:, None], np.float32), usable
        if np.abs(lengths - 1).max() > _UNIT_TOLERANCE:
            why = f"it is false, but a vector has the length {float(lengths[0]):.3g}"
            raise InputError(f"{self.files.path.with_suffix('.json')}: output.normalise", why, "set it to true")
        return answer, usable


def find_encoder(settings: ServiceSettings, name: str | None = None) -> EncoderFiles:
    """The encoder of that name, by default the one of the settings; its file is hashed when it has changed.

    Raises InputError for a missing or wrong file.
    """
    name = settings.encoder if name is None else name
    if name in ("", SHIPPED):
        name, path = SHIPPED, NETWORK
    else:
        path = model_path(settings.models, name, "XAIVA_ENCODER")
    description = read_json_description(path.with_suffix(".json"), EncoderDescription, HELP_PAGE)
    stamp, digests = hash_model(path)
    what = f"{_PREPARATION} {digests} {description.model_dump_json()}"
    return EncoderFiles(name, path, description, sha256_bytes(what.encode()), stamp)


def find_encoder_of(settings: ServiceSettings, identity: EncoderIdentity) -> EncoderFiles:
    """The encoder that an index was made with, which may be another one than that of the settings.

    Raises InputError when it is no longer there, or has changed: then nothing can be compared with the index.
    """
    files = find_encoder(settings, identity.name)
    if files.sha256 != identity.sha256:
        why = "its file or its description has changed since the index was built"
        raise InputError(f"The encoder {identity.name}", why, "rebuild the index")
    return files


def encoder_spec(files: EncoderFiles, settings: ServiceSettings) -> ModelSpec[ImageEncoder]:
    """How the pool creates the encoder; its key is `files.key`."""
    return ModelSpec(make=lambda: ImageEncoder(files, execution_provider(settings)), declared=files.memory)


def _resize(image: Image.Image, size: tuple[int, int], rule: str, resampling: Image.Resampling) -> Image.Image:
    width, height = size
    if rule == "stretch":
        return image.resize(size, resampling)
    if rule == "shorter":
        return image.resize(size, resampling, _middle(image.size, size))
    scale = min(width / image.width, height / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    padded = Image.new("RGB", size)
    padded.paste(image.resize(inner, resampling), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded


def _middle(picture: tuple[int, int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The part of a picture that is left when it is scaled so that it covers `size`, and the middle is cut out.

    The scaled picture has whole pixels, as in the preparation that CLIP models were trained with.
    """
    width, height = size
    if width * picture[1] >= height * picture[0]:
        scaled = width, max(height, width * picture[1] // picture[0])
    else:
        scaled = max(width, height * picture[0] // picture[1]), height
    left, top = round((scaled[0] - width) / 2), round((scaled[1] - height) / 2)
    across, down = picture[0] / scaled[0], picture[1] / scaled[1]
    right, bottom = min((left + width) * across, picture[0]), min((top + height) * down, picture[1])
    return left * across, top * down, right, bottom
