"""The input of any ONNX model as the JSON file beside it says: reads and checks that, and prepares pictures."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from core.errors import InputError
from core.files import read_regular
from core.inference.models.detector import Picture
from core.inference.models.onnx_engine import OnnxEngine, Tensor
from core.strict_json import RepeatedKey, unique_keys
from core.validation_errors import first_problem

MAX_BATCH = 8  # for a model whose first axis is free
MODEL_SUFFIX = ".onnx"

_TYPES = {"float32": "tensor(float)", "float16": "tensor(float16)", "uint8": "tensor(uint8)"}

Side = Annotated[int, Field(ge=8, le=4096)]
Description = TypeVar("Description", bound="DescriptionModel")


class DescriptionModel(BaseModel):
    """A part of a description. Unknown fields are errors, because they are misspelt ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InputDescription(DescriptionModel):
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


class DescribedModel:
    """A loaded model beside its description. `help_page` is the remedy of every error."""

    def __init__(self, engine: OnnxEngine, description: Path, help_page: str) -> None:
        self._engine = engine
        self._path = description
        self._help = help_page

    def check_input(self, declared: InputDescription) -> int:
        """Compare the input with its description. Returns how many pictures it takes at once. Raises InputError."""
        tensor = self._find(self._engine.inputs, "input.name", declared.name)
        others = [other.name for other in self._engine.inputs if other.name != declared.name]
        if others:
            raise self.error("input.name", f"the model needs more than one input: {', '.join(others)}")
        if tensor.type != _TYPES[declared.type]:
            raise self.error("input.type", f"{declared.type} is declared, the model takes {tensor.type}")
        if len(tensor.shape) != 4:
            why = f"the model takes {_format_tensor(tensor)}, which is not a batch of pictures"
            raise self.error("input.layout", why)
        fixed = [size if isinstance(size, int) else None for size in tensor.shape]
        if any(size not in (None, want) for size, want in zip(fixed[1:], declared.shape, strict=True)):
            why = f"{_format_shape(declared.shape)} is declared, the model takes {_format_tensor(tensor)}"
            raise self.error(_misfit_field(declared, fixed[1:]), why)
        if fixed[0] not in (None, 1):
            why = f"the model takes {fixed[0]} pictures at once; export it with a free first axis"
            raise self.error("input", why)
        return fixed[0] or MAX_BATCH

    def output(self, name: str, field: str = "output.name") -> Tensor:
        """The output of that name, which the field gives. Raises InputError."""
        return self._find(self._engine.outputs, field, name)

    def error(self, field: str, why: str) -> InputError:
        """An error about a field of the description."""
        return InputError(f"{self._path}: {field}", why, self._help)

    def _find(self, tensors: list[Tensor], field: str, name: str) -> Tensor:
        for tensor in tensors:
            if tensor.name == name:
                return tensor
        raise self.error(field, f"the model has no {name!r}; it has {', '.join(one.name for one in tensors)}")


def model_path(folder: Path, name: str, setting: str = "detection.model") -> Path:
    """The file that a setting names in the models folder. Raises InputError for one outside of it."""
    relative = relative_name(name, setting)
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"Model {name}", f"it is outside of {folder}", "copy it into the models folder")
    if not path.is_file():
        raise InputError(f"Model {name}", f"there is no such file in {folder}", "put it and its .json file there")
    return path


def relative_name(name: str, setting: str = "detection.model") -> PurePosixPath:
    """The value of that setting as a path relative to the models folder. Raises InputError."""
    relative = PurePosixPath(name)
    if not name or relative.is_absolute() or ".." in relative.parts or "\0" in name:
        why = f"{setting} must be a path under the models folder"
        raise InputError(f"Model {name}" if name else "Model", why, "name it as street/doors.onnx")
    if relative.suffix != MODEL_SUFFIX:
        raise InputError(f"Model {name}", f"{setting} must end in {MODEL_SUFFIX}", "export the model as ONNX")
    return relative


def read_json_description(path: Path, kind: type[Description], help_page: str) -> Description:
    """Read the JSON file beside a model. Raises InputError naming file and field, with `help_page` as the remedy."""
    try:
        return kind.model_validate(json.loads(read_regular(path), object_pairs_hook=unique_keys))
    except FileNotFoundError:
        raise InputError(f"{path}", "there is no such file beside the model", help_page) from None
    except ValidationError as error:
        field, why = first_problem(error)
        raise InputError(f"{path}: {field or 'content'}", why, help_page) from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}", f"not valid JSON: {error.msg}", help_page) from None
    except RepeatedKey as error:
        raise InputError(f"{path}", str(error), "remove one of the two") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}", f"cannot be read: {error}", help_page) from error


def convert_colour(declared: InputDescription, picture: Picture) -> Picture:
    """An RGB picture (uint8, height x width x 3) in the colours of the model: height x width x channels."""
    if declared.colour == "gray":
        return np.asarray(Image.fromarray(picture).convert("L"))[..., None]
    return picture if declared.colour == "rgb" else np.ascontiguousarray(picture[..., ::-1])


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
