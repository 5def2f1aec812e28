"""A film: the pictures of a generated camera, drawn one by one, which can be repeated seamlessly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.demo.cameras.canvas import Rgb

FPS = 10


@dataclass(frozen=True)
class Film:
    """So many pictures; `draw` draws the one with that number, counted from 0."""

    pictures: int
    draw: Callable[[int], Rgb]
