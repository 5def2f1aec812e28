"""Who is in a picture: persons with their boxes, as facts for the analyser and for people."""

from __future__ import annotations

import io

import av
import numpy as np

from core.errors import InputError
from core.inference.models.detector import Picture
from core.inference.models.engine_onnx import OnnxEngine
from core.inference.models.features import WEIGHTS
from core.inference.models.providers import Choice
from core.inference.schemas import Fact

LIKELY = 0.4  # score from which on a box is a fact: below it, poles and tripods are persons too
MOST = 50  # facts of one picture


class FactFinder:
    """SSDLite trained on pedestrians; one instance for all cameras, called by one thread at a time."""

    def __init__(self, choice: Choice | None = None) -> None:
        self._engine = OnnxEngine(WEIGHTS / "persons_ssdlite.onnx", choice)

    @property
    def provider(self) -> str:
        """What it runs on."""
        return self._engine.provider

    def load(self) -> None:
        """Load the model and run once. Raises XaivaError."""
        self._engine.load()
        self.find(np.zeros((300, 300, 3), np.uint8))

    def find(self, picture: Picture | bytes) -> list[Fact]:
        """The persons in an RGB picture (uint8, height x width x 3) or a JPEG file, surest first.

        Raises InputError for bytes that are no picture, XaivaError when the model fails.
        """
        pixels = decoded(picture) if isinstance(picture, bytes) else picture
        boxes, scores = self._engine.run({"picture": pixels[None]}, ["boxes", "scores"])
        found = []
        for (top, left, bottom, right), score in zip(boxes[0].clip(0, 1), scores[0], strict=True):
            if score >= LIKELY and right > left and bottom > top:
                box = tuple(round(float(side), 4) for side in (left, top, right, bottom))
                found.append(Fact(label="person", score=round(min(1.0, float(score)), 3), box=box))
        return sorted(found, key=lambda fact: -fact.score)[:MOST]

    def close(self) -> None:
        """Give the memory back."""
        self._engine.close()


def decoded(jpeg: bytes) -> Picture:
    """A JPEG file's pixels, RGB. Raises InputError."""
    try:
        with av.open(io.BytesIO(jpeg), format="mjpeg") as container:
            frame = next(container.decode(video=0))
            return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    except (av.error.FFmpegError, StopIteration) as error:
        raise InputError("The picture", "it cannot be decoded", "give a JPEG file") from error
