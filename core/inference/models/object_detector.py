"""Object detection: finds persons and vehicles with their boxes, as facts for the analyser and for people."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from core.api_schema import Fact
from core.errors import InputError
from core.inference.models.detector import Picture
from core.inference.models.execution_providers import ExecutionProvider
from core.inference.models.features import WEIGHTS
from core.inference.models.onnx_engine import OnnxEngine

INPUT_PIXELS = 416  # side of the network's square input
STRIDES = (8, 16, 32)  # pixels between the grid points of each output
DISTANCES = np.arange(11, dtype=np.float32)  # of a box's side from a grid point, in strides
CHANNEL_MEAN = np.array([103.53, 116.28, 123.675], np.float32)  # of ImageNet, in the order BGR, as in training
CHANNEL_DEVIATION = np.array([57.375, 57.12, 58.395], np.float32)
CLASSES = {0: "person", 1: "bicycle", 2: "car", 3: "motorcycle", 5: "bus", 6: "train", 7: "truck"}  # of COCO's 80
MIN_SCORE = 0.4  # measured; below it, poles and signs are found, too
MAX_OVERLAP = 0.5  # intersection over union, from which two boxes are the same object
MAX_FACTS = 50  # of one picture


@dataclass(frozen=True)
class _Candidate:
    name: str
    score: float
    box: tuple[float, float, float, float]  # left, top, right, bottom in fractions of the picture


class ObjectDetector:
    """NanoDet-g. Called by one thread at a time."""

    def __init__(self, provider: ExecutionProvider | None = None) -> None:
        self._engine = OnnxEngine(WEIGHTS / "things_nanodet.onnx", provider)

    @property
    def provider(self) -> str:
        return self._engine.provider

    def load(self) -> None:
        """Load the model and run it once. Raises XaivaError."""
        self._engine.load()
        self.detect(np.zeros((INPUT_PIXELS, INPUT_PIXELS, 3), np.uint8))

    def detect(self, picture: Picture | bytes) -> list[Fact]:
        """The persons and vehicles in an RGB picture (uint8, height x width x 3) or a JPEG file, highest score first.

        Raises InputError for bytes that cannot be decoded, XaivaError when the model fails.
        """
        frame = (
            _decode_jpeg(picture) if isinstance(picture, bytes) else VideoFrame.from_ndarray(picture, format="rgb24")
        )
        pixels = frame.reformat(
            width=INPUT_PIXELS, height=INPUT_PIXELS, format="bgr24", interpolation="AREA"
        ).to_ndarray()
        values = (pixels.astype(np.float32) - CHANNEL_MEAN) / CHANNEL_DEVIATION
        names = [f"{kind}{stride}" for stride in STRIDES for kind in ("scores", "sides")]
        outputs = self._engine.run({"picture": values.transpose(2, 0, 1)[None]}, names)
        candidates = [
            candidate
            for index, stride in enumerate(STRIDES)
            for candidate in _parse_output(outputs[2 * index][0], outputs[2 * index + 1][0], stride)
        ]
        return [
            Fact(label=one.name, score=one.score, box=one.box) for one in _suppress_duplicates(candidates)[:MAX_FACTS]
        ]

    def close(self) -> None:
        self._engine.close()


def _parse_output(scores: NDArray[np.float32], sides: NDArray[np.float32], stride: int) -> list[_Candidate]:
    """The candidates in one output (scores: places x 80, sides: places x 44)."""
    classes = np.array(list(CLASSES))
    places, columns = np.nonzero(scores[:, classes] >= MIN_SCORE)
    likely = np.exp(sides[places].reshape(-1, 4, len(DISTANCES)))
    away = stride * (likely @ DISTANCES) / likely.sum(axis=2)  # the expected distance of each side
    row, column = np.divmod(places, INPUT_PIXELS // stride)
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    edges = np.stack([x - away[:, 0], y - away[:, 1], x + away[:, 2], y + away[:, 3]], axis=1) / INPUT_PIXELS
    return [
        _Candidate(CLASSES[int(kind)], round(float(score), 3), _box(edge))
        for kind, score, edge in zip(classes[columns], scores[places, classes[columns]], edges, strict=True)
    ]


def _box(edges: NDArray[np.float32]) -> tuple[float, float, float, float]:
    left, top, right, bottom = (round(float(side), 4) for side in edges.clip(0, 1))
    return left, top, right, bottom


def _suppress_duplicates(candidates: Sequence[_Candidate]) -> list[_Candidate]:
    """Non-maximum suppression, over all vehicle classes: a van may look like a truck and a bus at once."""
    best: list[_Candidate] = []
    for one in sorted(candidates, key=lambda one: -one.score):
        alike = (other for other in best if (other.name == "person") == (one.name == "person"))
        if all(_overlap(one.box, other.box) < MAX_OVERLAP for other in alike):
            best.append(one)
    return best


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def _decode_jpeg(jpeg: bytes) -> VideoFrame:
    """The picture in a JPEG file. Raises InputError."""
    try:
        with av.open(io.BytesIO(jpeg), format="mjpeg") as container:
            frame: VideoFrame = next(container.decode(video=0))
            return frame
    except (av.error.FFmpegError, StopIteration) as error:
        raise InputError("The picture", "it cannot be decoded", "give a JPEG file") from error
