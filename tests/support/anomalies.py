"""Anomalies composed into real video, by kind: what stands, moves or happens there that never did before.

Made for the street of `tests.support.street`; the places are the same shares of any other picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tests.support.street import FRAME, Rgb, still, street

Composer = Callable[[Sequence[Rgb], int, np.random.Generator], list[Rgb]]
Field = NDArray[np.float32]  # height x width

STREET = (768, 576)  # pixels: width and height
ROAD = ((140, 210), (330, 250), (480, 330), (620, 300), (560, 390))  # x, y of places on the paths
GROUND = (*ROAD, (120, 380), (260, 440), (400, 500), (90, 150))  # and on the lawns
WALKER = (slice(214, 312), slice(250, 288))  # someone in the video's first picture: rows, columns


def object_left(frames: Sequence[Rgb], begin: int, rng: np.random.Generator) -> list[Rgb]:
    """A small thing (a box, a bag of fruit) lies on the ground."""
    name, width, height = (("box.png", 34, 26), ("fruits.jpg", 30, 30), ("stuff.jpg", 44, 32))[rng.integers(3)]
    return _pasted(frames, begin, still(name, width, height), GROUND[rng.integers(len(GROUND))])


def vehicle(frames: Sequence[Rgb], begin: int, rng: np.random.Generator) -> list[Rgb]:
    """A car stands on the path, where only people walk."""
    return _pasted(frames, begin, still("licenseplate_motion.jpg", 120, 96), ROAD[rng.integers(len(ROAD))])


def person_lying(frames: Sequence[Rgb], begin: int, rng: np.random.Generator) -> list[Rgb]:
    """Someone of the video lies on the ground: cut out and turned by 90 degrees."""
    sprite, alpha = _walker()
    return _pasted(frames, begin, np.rot90(sprite), GROUND[rng.integers(len(GROUND))], np.rot90(alpha))


def running(frames: Sequence[Rgb], begin: int, rng: np.random.Generator) -> list[Rgb]:
    """Everyone moves at three times the speed."""
    ahead = [begin + 3 * step for step in range(1, len(frames) - begin + 1)]
    last = len(frames) - 1
    return [*frames[:begin], *(frames[last - abs(last - index % (2 * last))] for index in ahead)]


def smoke(frames: Sequence[Rgb], begin: int, rng: np.random.Generator) -> list[Rgb]:
    """A grey cloud rises from one place and grows for seven seconds."""
    height, width = frames[0].shape[:2]
    noise = _clouds(rng, height, 2 * width)
    x, y = _at(ROAD[rng.integers(len(ROAD))], frames[0])
    rows, columns = np.mgrid[0:height, 0:width]
    out = list(frames[:begin])
    for step, frame in enumerate(frames[begin:]):
        size = 40 + 16 * step
        shape = np.exp(-(((columns - x - 3 * step) / size) ** 2 + ((rows - y + 5 * step) / (0.8 * size)) ** 2))
        drift = noise[:, 6 * step : 6 * step + width]
        out.append(_blend(frame, np.float32(185) + 30 * drift[..., None], 0.85 * shape * (0.4 + 0.6 * drift)))
    return out


def blocked(frames: Sequence[Rgb], begin: int, rng: np.random.Generator) -> list[Rgb]:
    """Something dark is held before the lens: most of the picture, from one side, within a second."""
    height, width = frames[0].shape[:2]
    cover = (45 + 25 * _clouds(rng, height, width))[..., None] * np.array([1.0, 0.9, 0.8], np.float32)
    columns = np.arange(width)[None, :]
    out = list(frames[:begin])
    for step, frame in enumerate(frames[begin:]):
        edge = 0.85 * width * min(1.0, (step + 1) * FRAME)
        alpha = np.broadcast_to(np.clip((edge - columns) / 40, 0, 1), (height, width))
        out.append(_blend(frame, cover, alpha))
    return out


def frozen(frames: Sequence[Rgb], begin: int, rng: np.random.Generator) -> list[Rgb]:
    """Repeat one frame from `begin` on, as a frozen camera does."""
    return [*frames[:begin], *(frames[begin] for _ in frames[begin:])]


def other_scene(frames: Sequence[Rgb], begin: int, rng: np.random.Generator) -> list[Rgb]:
    """Show another scene from `begin` on, as a moved camera does."""
    height, width = frames[0].shape[:2]
    name = ("tree.avi", "Megamind.avi", "home.jpg")[rng.integers(3)]
    other = still(name, width, height)
    return [*frames[:begin], *(_noisy(other, rng) for _ in frames[begin:])]


def moved(frames: Sequence[Rgb], begin: int, rng: np.random.Generator) -> list[Rgb]:
    """The camera was turned a little: the view is shifted by 40 to 80 of 768 pixels."""
    right, down = (int(rng.integers(40, 80)) * (1 if rng.random() < 0.5 else -1) for _ in range(2))
    return [*frames[:begin], *(_shifted(frame, right, down // 2) for frame in frames[begin:])]


def dark(frames: Sequence[Rgb], begin: int, rng: np.random.Generator) -> list[Rgb]:
    """The light goes out: a quarter of it is left."""
    return [*frames[:begin], *(_noisy((frame * np.float32(0.25)).astype(np.uint8), rng) for frame in frames[begin:])]


def blurred(frames: Sequence[Rgb], begin: int, rng: np.random.Generator) -> list[Rgb]:
    """The lens is out of focus or wet."""
    return [*frames[:begin], *(_blur(frame, 9) for frame in frames[begin:])]


KINDS: dict[str, Composer] = {
    "object left": object_left,
    "vehicle on the path": vehicle,
    "person lying": person_lying,
    "running": running,
    "smoke": smoke,
    "lens blocked": blocked,
    "out of focus": blurred,
    "light out": dark,
    "camera moved": moved,
    "other scene": other_scene,
    "frozen picture": frozen,
}


def _pasted(
    frames: Sequence[Rgb], begin: int, sprite: Rgb, position: tuple[int, int], alpha: Field | None = None
) -> list[Rgb]:
    height, width = sprite.shape[:2]
    if alpha is None:
        alpha = _blur(np.pad(np.ones((height - 2, width - 2), np.float32), 1)[..., None], 3)[..., 0]
    middle, bottom = _at(position, frames[0])
    left, top = middle - width // 2, bottom - height
    inside = (slice(top, top + height), slice(left, left + width))
    out = list(frames[:begin])
    for frame in frames[begin:]:
        copy = frame.copy()
        copy[inside] = _blend(copy[inside], sprite.astype(np.float32) * 0.8, alpha)  # 0.8: the street's duller light
        out.append(copy)
    return out


def _at(position: tuple[int, int], frame: Rgb) -> tuple[int, int]:
    """That place of the street in a picture of another size."""
    return position[0] * frame.shape[1] // STREET[0], position[1] * frame.shape[0] // STREET[1]


@cache
def _walker() -> tuple[Rgb, Field]:
    """Someone cut out of the street's first picture, by the difference from the empty street."""
    frames = [frame[WALKER] for frame in street(0, 30)[::4]]
    first = frames[0].astype(np.float32)
    empty = np.median(np.stack(frames), axis=0)
    mask = (np.abs(first - empty).max(axis=2) > 30).astype(np.float32)
    return first.astype(np.uint8), np.clip(1.5 * _blur(mask[..., None], 3)[..., 0], 0, 1)


def _blend(frame: Rgb, overlay: NDArray[np.float32], alpha: NDArray[np.floating]) -> Rgb:
    share = alpha[..., None]
    return np.clip(frame * (1 - share) + overlay * share, 0, 255).astype(np.uint8)


def _noisy(picture: Rgb, rng: np.random.Generator) -> Rgb:
    return np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)


def _shifted(frame: Rgb, right: int, down: int) -> Rgb:
    pad = ((abs(down), abs(down)), (abs(right), abs(right)), (0, 0))
    wide = np.pad(frame, pad, mode="reflect")
    height, width = frame.shape[:2]
    return wide[abs(down) - down : abs(down) - down + height, abs(right) - right : abs(right) - right + width]


def _blur(picture: NDArray, size: int) -> NDArray:
    """A box blur over both axes, in the picture's own type."""
    result = picture.astype(np.float32)
    for axis in (0, 1):
        pad = [(0, 0)] * 3
        pad[axis] = (size // 2, size // 2)
        wide = np.pad(result, pad, mode="edge")
        result = np.mean(
            [np.take(wide, range(at, at + result.shape[axis]), axis=axis) for at in range(size)],
            axis=0,
            dtype=np.float32,
        )
    return result.astype(picture.dtype)


def _clouds(rng: np.random.Generator, height: int, width: int) -> Field:
    """Smooth noise from 0 to 1, coarse and fine together."""
    total = np.zeros((height, width), np.float32)
    for cell, weight in ((96, 0.5), (48, 0.3), (24, 0.2)):
        grid = rng.random((height // cell + 2, width // cell + 2), dtype=np.float32)
        total += (
            weight * _blur(np.kron(grid, np.ones((cell, cell), np.float32))[:height, :width, None], cell | 1)[..., 0]
        )
    return (total - total.min()) / (total.max() - total.min())
