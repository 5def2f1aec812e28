"""Pictures of a product, as a camera above a line takes them: a brushed plate with four holes, never quite the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rgb = NDArray[np.uint8]


def plates(count: int, seed: int = 0, *, size: tuple[int, int] = (640, 400), defect: str = "") -> list[Rgb]:
    """`count` pictures (width, height); with a `defect` (scratch, blob or hole), each shows one at a random place."""
    rng = np.random.default_rng(seed)
    return [_plate(rng, *size, DEFECTS.get(defect)) for _ in range(count)]


def store(pictures: list[Rgb], folder: Path, name: str = "plate", suffix: str = ".jpg") -> list[Path]:
    """Write them as files `<name>-<number><suffix>`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}-{number:03}{suffix}" for number in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        Image.fromarray(picture).save(path, quality=92)
    return paths


def _plate(rng: np.random.Generator, width: int, height: int, spoil: Callable[..., None] | None) -> Rgb:
    lines = np.cumsum(rng.normal(0, 3, (height, 1)), axis=0)
    picture = 130 + lines - lines.mean() + rng.normal(0, 4, (height, width)) + rng.normal(0, 2)
    rows, columns = np.mgrid[:height, :width]
    dx, dy = rng.normal(0, 2, 2)
    for x, y in ((0.15, 0.2), (0.85, 0.2), (0.15, 0.8), (0.85, 0.8)):
        inside = (columns - x * width - dx) ** 2 + (rows - y * height - dy) ** 2 < (height / 14) ** 2
        picture[inside] = 40
    if spoil is not None:
        spoil(picture, rng)
    return np.clip(picture[..., None] + np.array([0, 2, 6]), 0, 255).astype(np.uint8)


def _place(picture: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float]:
    """Between the holes."""
    height, width = picture.shape
    return width * rng.uniform(0.35, 0.65), height * rng.uniform(0.3, 0.7)


def _scratch(picture: NDArray[np.float64], rng: np.random.Generator) -> None:
    x, y = _place(picture, rng)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    angle = rng.uniform(0.5, 2.6)
    along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    picture[(abs(along) < picture.shape[0] / 6) & (abs(across) < picture.shape[0] / 130)] += 90


def _blob(picture: NDArray[np.float64], rng: np.random.Generator) -> None:
    x, y = _place(picture, rng)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    distance = np.hypot(columns - x, 1.4 * (rows - y))
    picture -= 80 * np.exp(-((distance / (picture.shape[0] / 18)) ** 2))


def _hole(picture: NDArray[np.float64], rng: np.random.Generator) -> None:
    x, y = _place(picture, rng)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    picture[np.hypot(columns - x, rows - y) < picture.shape[0] / 16] = 40


DEFECTS: dict[str, Callable[..., None]] = {"scratch": _scratch, "blob": _blob, "hole": _hole}
