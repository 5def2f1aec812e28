"""Any ONNX model as a detector: a JSON file beside it describes its input, and how its output becomes a score."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from core.errors import InputError, XaivaError
from core.files import read_regular
from core.inference.models.detector import Picture, Sample
from core.inference.models.execution_providers import ExecutionProvider
from core.inference.models.onnx_engine import OnnxEngine, Tensor
from core.strict_json import RepeatedKey, unique_keys
from core.validation_errors import first_problem

MAX_BATCH = 8  # for a model whose first axis is free
MODEL_SUFFIX = ".onnx"
DESCRIPTION_HELP = "see docs/detectors.md"

_FORMATS = {"rgb": "rgb24", "bgr": "bgr24", "gray": "gray"}
_TYPES = {"float32": "tensor(float)", "float16": "tensor(float16)", "uint8": "tensor(uint8)"}

Side = Annotated[int, Field(ge=8, le=4096)]


class _DescriptionModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputDescription(_DescriptionModel):
    """The model's input: (pixel / `scale` - `mean`) / `std` for each channel, in the order of `colour`."""

    name: str
    width: Side
    height: Side
    layout: Literal["nchw", "nhwc"] = "nchw"
    colour: Literal["rgb", "bgr", "gray"] = "rgb"
    type: Literal["float32", "float16", "uint8"] = "float32"
    scale: Annotated[float, Field(gt=0)] = 255
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Field(gt=0)], ...] = ()

    @model_validator(mode="after")
    def _a_number_a_channel(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (0, self.channels):
                raise ValueError(f"{name} needs {self.channels} numbers, or none")
        if self.type == "uint8" and (self.mean or self.std or "scale" in self.model_fields_set):
            raise ValueError("a uint8 input takes the pixels as they are: leave scale, mean and std out")
        return self

    @property
    def channels(self) -> int:
        return 1 if self.colour == "gray" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one picture, in the model's layout."""
        if self.layout == "nchw":
            return (self.channels, self.height, self.width)
        return (self.height, self.width, self.channels)


class OutputDescription(_DescriptionModel):
    """How the named output becomes a score: after `activation` the number at `index` (none: the largest) is scaled so
    that `low` gives 0 and `high` gives 1; with `low` above `high`, small numbers are anomalous."""

    name: str
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    index: Annotated[int, Field(ge=0)] | None = None
    low: float = 0
    high: float = 1

    @model_validator(mode="after")
    def _a_range(self) -> Self:
        if self.low == self.high:
            raise ValueError("low and high must differ")
        return self


class ModelDescription(_DescriptionModel):
    """The content of the JSON file."""

    input: InputDescription
    output: OutputDescription


class OnnxDetector:
    """Scores pictures with the model file `path`. The constructor reads the description and raises InputError."""

    def __init__(self, path: Path, provider: ExecutionProvider | None = None) -> None:
        self._description_path = path.with_suffix(".json")
        self._description = read_description(self._description_path)
        self._engine = OnnxEngine(path, provider)
        self._batch = MAX_BATCH
        self.width = self._description.input.width
        self.height = self._description.input.height
        self.pixel_format = _FORMATS[self._description.input.colour]

    @property
    def provider(self) -> str:
        return self._engine.provider

    def load(self) -> None:
        """Load the model, compare it with its description, and run it once. Raises InputError, XaivaError."""
        self._engine.load()
        self._check_input()
        output = self._find_tensor(self._engine.outputs, "output.name", self._description.output.name)
        blank = np.zeros((self.height, self.width, self._description.input.channels), np.uint8)
        answer = self._run([blank] * self._batch)
        index = self._description.output.index
        if index is not None and index >= answer.shape[1]:
            why = f"output.index is {index}, but {output.name} has {answer.shape[1]} numbers a picture"
            raise InputError(f"{self._description_path}", why, DESCRIPTION_HELP)

    def score(self, batch: Sequence[Sample]) -> list[float]:
        """One score for each sample. Raises XaivaError when the model returns no finite number."""
        scores: list[float] = []
        for start in range(0, len(batch), self._batch):
            answer = self._run([sample.picture for sample in batch[start : start + self._batch]])
            scores += [self._score(values) for values in answer]
        return scores

    def forget(self, camera: str) -> None:
        """Do nothing: the model has no state."""

    def close(self) -> None:
        self._engine.close()

    def _run(self, pictures: list[Picture]) -> NDArray[np.float64]:
        """The model's output for the pictures: n x numbers."""
        description = self._description
        prepared = np.stack([prepare_input(description.input, picture) for picture in pictures])
        answer = self._engine.run_batch({description.input.name: prepared}, [description.output.name])[0]
        if answer.size % len(pictures) or (answer.ndim and answer.shape[0] != len(pictures) != 1):
            why = f"output.name: {description.output.name} gives {answer.shape} for {len(pictures)} pictures"
            raise InputError(f"{self._description_path}", why, "choose an output whose first axis counts the pictures")
        return answer.reshape(len(pictures), -1).astype(np.float64)

    def _score(self, values: NDArray[np.float64]) -> float:
        output = self._description.output
        with np.errstate(over="ignore"):
            if output.activation == "softmax":
                values = np.exp(values - values.max())
                values = values / values.sum()
            elif output.activation == "sigmoid":
                values = 1 / (1 + np.exp(-values))
        value = float(values.max() if output.index is None else values[output.index])
        if not np.isfinite(value):
            raise XaivaError(f"Model {self._engine.path.name}", "it returned no finite number for this picture")
        return min(1.0, max(0.0, (value - output.low) / (output.high - output.low)))

    def _check_input(self) -> None:
        declared = self._description.input
        tensor = self._find_tensor(self._engine.inputs, "input.name", declared.name)
        others = [other.name for other in self._engine.inputs if other.name != declared.name]
        if others:
            raise self._description_error("input.name", f"the model needs more than one input: {', '.join(others)}")
        if tensor.type != _TYPES[declared.type]:
            raise self._description_error("input.type", f"{declared.type} is declared, the model takes {tensor.type}")
        if len(tensor.shape) != 4:
            raise self._description_error(
                "input.layout", f"the model takes {_format_tensor(tensor)}, which is not a batch of pictures"
            )
        fixed = [size if isinstance(size, int) else None for size in tensor.shape]
        if any(size not in (None, want) for size, want in zip(fixed[1:], declared.shape, strict=True)):
            why = f"{_format_shape(declared.shape)} is declared, the model takes {_format_tensor(tensor)}"
            raise self._description_error(_misfit_field(declared, fixed[1:]), why)
        if fixed[0] not in (None, 1):
            raise self._description_error(
                "input", f"the model takes {fixed[0]} pictures at once; export it with a free first axis"
            )
        self._batch = fixed[0] or MAX_BATCH

    def _find_tensor(self, tensors: list[Tensor], field: str, name: str) -> Tensor:
        for tensor in tensors:
            if tensor.name == name:
                return tensor
        raise self._description_error(
            field, f"the model has no {name!r}; it has {', '.join(one.name for one in tensors)}"
        )

    def _description_error(self, field: str, why: str) -> InputError:
        return InputError(f"{self._description_path}: {field}", why, DESCRIPTION_HELP)


def model_path(folder: Path, name: str) -> Path:
    """The file that `Detection.model` names in the models folder. Raises InputError for one outside of it."""
    relative = relative_name(name)
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"Model {name}", f"it is outside of {folder}", "copy it into the models folder")
    if not path.is_file():
        raise InputError(f"Model {name}", f"there is no such file in {folder}", "put it and its .json file there")
    return path


def relative_name(name: str) -> PurePosixPath:
    """`Detection.model` as a path relative to the models folder. Raises InputError."""
    relative = PurePosixPath(name)
    if not name or relative.is_absolute() or ".." in relative.parts or "\0" in name:
        why = "detection.model must be a path under the models folder"
        raise InputError(f"Model {name}" if name else "Model", why, "name it as street/doors.onnx")
    if relative.suffix != MODEL_SUFFIX:
        raise InputError(f"Model {name}", f"detection.model must end in {MODEL_SUFFIX}", "export the model as ONNX")
    return relative


def read_description(path: Path) -> ModelDescription:
    """Read the JSON file beside a model. Raises InputError naming file and field."""
    try:
        return ModelDescription.model_validate(json.loads(read_regular(path), object_pairs_hook=unique_keys))
    except FileNotFoundError:
        raise InputError(f"{path}", "there is no such file beside the model", DESCRIPTION_HELP) from None
    except ValidationError as error:
        field, why = first_problem(error)
        raise InputError(f"{path}: {field or 'content'}", why, DESCRIPTION_HELP) from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}", f"not valid JSON: {error.msg}", DESCRIPTION_HELP) from None
    except RepeatedKey as error:
        raise InputError(f"{path}", str(error), "remove one of the two") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}", f"cannot be read: {error}", DESCRIPTION_HELP) from error


def prepare_input(declared: InputDescription, picture: Picture) -> NDArray[Any]:
    """One picture (uint8, height x width (x channels)) as the model's input."""
    pixels: NDArray[Any] = picture.reshape(declared.height, declared.width, declared.channels)
    if declared.type != "uint8":
        values = pixels.astype(np.float32) / np.float32(declared.scale)
        if declared.mean:
            values -= np.array(declared.mean, np.float32)
        if declared.std:
            values /= np.array(declared.std, np.float32)
        pixels = values.astype(declared.type)
    return pixels.transpose(2, 0, 1) if declared.layout == "nchw" else pixels


def _misfit_field(declared: InputDescription, sizes: list[int | None]) -> str:
    """The field of the description that does not match the model's sizes of one picture."""
    fields = ("colour", "height", "width") if declared.layout == "nchw" else ("height", "width", "colour")
    misfits = [name for name, want, size in zip(fields, declared.shape, sizes, strict=True) if size not in (None, want)]
    return f"input.{misfits[0]}" if len(misfits) == 1 else "input.layout"


def _format_shape(sizes: tuple[int | str | None, ...]) -> str:
    return " x ".join("?" if size is None else str(size) for size in sizes)


def _format_tensor(tensor: Tensor) -> str:
    return f"{tensor.name} {_format_shape(tensor.shape)}"
