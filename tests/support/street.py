"""Real video for measuring detectors, above all `vtest.avi` of the Debian package opencv-doc: 79 s of a street camera.

People walk on the paths; from `LAWN` on one also crosses the lawn, where nobody was before: an anomaly nobody composed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from core.inference.cameras.conversion import convert

PACKAGE = "opencv-doc"
FRAME = 0.2  # seconds between two pictures that are used
WIDTH = 768  # pixels of a picture
LAWN = (51.0, 74.0)  # seconds of the video: someone is on the lawn

Rgb = NDArray[np.uint8]  # height x width x 3


@cache
def find(name: str) -> Path | None:
    """A file of the package by its name; None where the package is not installed."""
    try:
        listed = subprocess.run(["dpkg", "-L", PACKAGE], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return None
    paths = (Path(line) for line in listed.splitlines() if line.endswith(f"/{name}"))
    return next((path for path in paths if path.is_file()), None)


def needed(name: str) -> Path:
    """As `find`. Raises FileNotFoundError naming the package."""
    path = find(name)
    if path is None:
        raise FileNotFoundError(f"{name}: install the Debian package {PACKAGE}")
    return path


def street(start: float, end: float) -> list[Rgb]:
    """The pictures of those seconds of the street, 768 x 576."""
    return pictures_of(needed("vtest.avi"), start, end)


def pictures_of(video: Path, start: float, end: float) -> list[Rgb]:
    """The pictures of those seconds of a video, one each `FRAME`, `WIDTH` wide."""
    pictures: list[Rgb] = []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            seconds = (frame.time or 0.0) + 1e-3  # a container rounds its times
            if seconds >= end:
                break
            if seconds >= start + len(pictures) * FRAME:
                pictures.append(convert(frame, WIDTH, round(WIDTH * frame.height / frame.width), "rgb24"))
    return pictures


def still(name: str, width: int, height: int) -> Rgb:
    """A photograph of the package, or a video's first picture, scaled to that size."""
    with av.open(str(needed(name))) as container:
        return convert(next(container.decode(video=0)), width, height, "rgb24")


def scaled(pictures: Sequence[Rgb], width: int, height: int, pixel_format: str) -> list[NDArray[np.uint8]]:
    """The pictures as a camera's pipeline would hand them to a detector."""
    return [
        convert(VideoFrame.from_ndarray(picture, format="rgb24"), width, height, pixel_format) for picture in pictures
    ]
