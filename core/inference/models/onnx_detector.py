"""Any ONNX model as a detector: a JSON file beside it describes its input, and how its output becomes a score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from typing_extensions import Self

from core.errors import InputError, XaivaError
from core.inference.models.detector import Picture, Sample
from core.inference.models.execution_providers import ExecutionProvider
from core.inference.models.onnx_engine import OnnxEngine
from core.inference.models.onnx_input import (
    MAX_BATCH,
    DescribedModel,
    DescriptionModel,
    InputDescription,
    prepare_input,
    read_json_description,
)

DESCRIPTION_HELP = "see docs/detectors.md"

_FORMATS = {"rgb": "rgb24", "bgr": "bgr24", "gray": "gray"}


class OutputDescription(DescriptionModel):
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


class ModelDescription(DescriptionModel):
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
        described = DescribedModel(self._engine, self._description_path, DESCRIPTION_HELP)
        self._batch = described.check_input(self._description.input)
        output = described.output(self._description.output.name)
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


def read_description(path: Path) -> ModelDescription:
    """Read the JSON file beside a detector's model. Raises InputError naming file and field."""
    return read_json_description(path, ModelDescription, DESCRIPTION_HELP)
