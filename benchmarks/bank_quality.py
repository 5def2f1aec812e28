"""How well memory banks of products find defects, beside PatchCore as it was published, on the same features.

    python -m benchmarks.bank_quality

The pictures are crops of the textures brick, grass and gravel of scikit-image, whose wheel is fetched into a temporary
folder. Training takes them from two opposite quarters of a texture and testing from the two others, so no pixel is in
both.
The settings of the bank were chosen on the quarters the other way round, with another seed.
Defects are composed into some of the test pictures: a scratch, a soft blob, an island of another texture, a blurred
place; once in the middle of the picture and once at one of its edges. Figures are AUROC of pictures and of pixels
(`core.inference.models.auroc` says by which formula).

"plain" is PatchCore of Roth et al. 2022 (arXiv 2106.08265) with the same network: each patch averaged over 3 x 3 with
zeros around the picture, no standardising, a greedy coreset of 10 %, the score of the farthest patch weighted by its 9
neighbours in the bank (equation 7), maps scaled linearly and blurred with a deviation of 4 pixels.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from uv import find_uv_bin

from benchmarks.coreset import plain_greedy
from core.api_schema import Region
from core.inference.models.auroc import auroc
from core.inference.models.detector import Picture
from core.inference.models.execution_providers import select_provider
from core.inference.models.features import AveragedFeatures, Features, PatchFeatures
from core.inference.models.fit_product_bank import ProductPictures, fit_product_bank
from core.inference.models.product_bank import ProductBank, picture_features

TEXTURES = ("brick", "grass", "gravel")
CROP = (240, 140)  # pixels of a texture, scaled to the network's input
TRAINED, NORMAL, EACH = 48, 24, 12  # pictures; the last: of each kind of defect
TRAINING, TESTING = ((0, 1), (1, 0)), ((0, 0), (1, 1))  # quarters: row, column
SEEDS = (101, 102, 103)
PLACES = ("middle", "edge")
TOLERANCE = 0.01  # of a mean AUROC below the plain one's

Grey = NDArray[np.float64]
Map = NDArray[np.float64]
Mask = NDArray[np.bool_]
Row = tuple[float, float, float, float]
"""AUROC of pictures, ours and plain, and of pixels, ours and plain."""


@dataclass(frozen=True)
class TestPicture:
    """A picture, the kind of its defect (empty: normal), and its pixels that belong to it."""

    pixels: Picture
    kind: str
    mask: Mask


@dataclass(frozen=True)
class Judgement:
    """What one method says about a picture: its score, and a score of each pixel."""

    score: float
    map: Map


def main() -> int:
    """Print a table; 1 when a mean is below the plain one's by more than the tolerance."""
    network, cameras = AveragedFeatures(select_provider("cpu")), PatchFeatures(select_provider("cpu"))
    network.load()
    cameras.load()
    print("texture  defect              picture: ours  plain   pixels: ours  plain")
    rows: dict[str, list[Row]] = {place: [] for place in PLACES}
    with tempfile.TemporaryDirectory() as folder:
        textures = fetch_textures(Path(folder))
    for name, texture in textures.items():
        others = [other for other in textures.values() if other is not texture]
        for seed in SEEDS:
            _measure(name, texture, others, _Networks(network, cameras), seed, rows)
    missed = False
    for place in PLACES:
        means = [float(mean) for mean in np.mean(rows[place], axis=0)]
        print(_line("mean", place, means))
        missed |= means[0] < means[1] - TOLERANCE or means[2] < means[3] - TOLERANCE
    return int(missed)


def _line(name: str, what: str, figures: Sequence[float]) -> str:
    ours, plain, our_pixels, plain_pixels = figures
    return f"{name:8} {what:20}      {ours:.3f}  {plain:.3f}           {our_pixels:.3f}  {plain_pixels:.3f}"


def fetch_textures(folder: Path) -> dict[str, Grey]:
    """The textures, from scikit-image's wheel."""
    command = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
    subprocess.run([*command, "--target", str(folder), "scikit-image"], check=True)
    data = folder / "skimage" / "data"
    return {name: np.asarray(Image.open(data / f"{name}.png").convert("L"), np.float64) for name in TEXTURES}


@dataclass(frozen=True)
class _Networks:
    """The same one with averages over neighbours, and without for the plain way."""

    averaged: AveragedFeatures
    bare: PatchFeatures


def _measure(
    name: str, texture: Grey, others: list[Grey], networks: _Networks, seed: int, rows: dict[str, list[Row]]
) -> None:
    rng = np.random.default_rng(seed)
    training = [_render(_crop(texture, TRAINING, rng), rng) for _ in range(TRAINED)]
    network = networks.averaged
    bank = fit_product_bank(
        ProductPictures(name, [picture_features(picture, network, Region(), (1, 1)) for picture in training]), network
    )
    plain = PlainPatchCore(networks.bare.extract(training))
    scores: list[tuple[bool, float]] = []
    for place in PLACES:
        tests = list(inspected_pictures(texture, others, place, rng))
        ours = [_ours(bank, test.pixels, network) for test in tests]
        theirs = [plain.judge(networks.bare.extract([test.pixels])) for test in tests]
        for kind in DEFECTS:
            (picture, pixels), (plain_picture, plain_pixels) = (_aurocs(tests, way, kind) for way in (ours, theirs))
            rows[place].append((picture, plain_picture, pixels, plain_pixels))
            print(_line(name, f"{kind}, {place}", rows[place][-1]), flush=True)
        scores += [(bool(test.kind), one.score) for one, test in zip(ours, tests, strict=True)]
    false, found = (np.mean([score >= 0.5 for defect, score in scores if defect is wanted]) for wanted in (False, True))
    print(f"{name:8} at the limit: {false:.0%} of the normal pictures and {found:.0%} of the defects score 0.5 or more")


def _aurocs(tests: list[TestPicture], judged: list[Judgement], kind: str) -> tuple[float, float]:
    """AUROC of pictures, and of the pixels of the same pictures."""
    chosen = [(test, one) for test, one in zip(tests, judged, strict=True) if test.kind in ("", kind)]
    pictures = auroc(
        [one.score for test, one in chosen if not test.kind], [one.score for test, one in chosen if test.kind]
    )
    maps, masks = np.stack([one.map for _, one in chosen]), np.stack([test.mask for test, _ in chosen])
    return pictures, auroc(maps[~masks], maps[masks])


def _ours(bank: ProductBank, picture: Picture, network: AveragedFeatures) -> Judgement:
    found = bank.score(picture, network)
    return Judgement(found.score, _resize(found.map.astype(np.float64)))


class PlainPatchCore:
    """PatchCore without anything that this project changed."""

    NEIGHBOURS = 9

    def __init__(self, pictures: Features) -> None:
        features = np.concatenate(self._averaged(pictures))
        first = int(np.random.default_rng(0).integers(len(features)))
        self._bank = features[plain_greedy(features, len(features) // 10, first)].astype(np.float64)
        self._squares = (self._bank**2).sum(axis=1)

    def judge(self, picture: Features) -> Judgement:
        """The score and the map of a picture."""
        features = self._averaged(picture)[0]
        distances = self._distances(features.astype(np.float64))
        nearest = distances.min(axis=1)
        worst = int(nearest.argmax())
        closest = self._bank[distances[worst].argmin()]
        neighbours = self._distances(closest[None])[0].argsort()[: self.NEIGHBOURS]
        to_neighbours = np.linalg.norm(self._bank[neighbours] - features[worst], axis=1)
        largest = to_neighbours.max()
        weight = 1 - np.exp(nearest[worst] - largest) / np.exp(to_neighbours - largest).sum()
        enlarged = _resize(nearest.reshape(PatchFeatures.rows, PatchFeatures.columns))
        return Judgement(float(weight * nearest[worst]), _blur(enlarged, 4))

    @staticmethod
    def _averaged(pictures: Features) -> Features:
        grid = pictures.reshape(len(pictures), PatchFeatures.rows, PatchFeatures.columns, -1)
        padded = np.pad(grid, [(0, 0), (1, 1), (1, 1), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        averaged: Features = windows.mean(axis=(-2, -1), dtype=np.float32).reshape(pictures.shape)
        return averaged

    def _distances(self, points: Grey) -> Grey:
        squares = (points**2).sum(axis=1)[:, None] + self._squares - 2 * points @ self._bank.T
        return np.sqrt(np.maximum(squares, 0))


# -- pictures and their defects ----------------------------------------------------------------------------------------


def inspected_pictures(
    texture: Grey, others: list[Grey], place: str, rng: np.random.Generator
) -> Iterator[TestPicture]:
    """Normal pictures, and some of each defect with its centre in the `middle` or at an `edge` of the picture."""
    nothing = np.zeros((PatchFeatures.height, PatchFeatures.width), np.bool_)
    for _ in range(NORMAL):
        yield TestPicture(_render(_crop(texture, TESTING, rng), rng), "", nothing)
    for kind, spoil in DEFECTS.items():
        for number in range(EACH):
            crop, foreign = _crop(texture, TESTING, rng), _crop(others[number % len(others)], TESTING, rng)
            x, y = rng.uniform(0.2, 0.8), rng.uniform(0.25, 0.75)
            if place == "edge":
                x, y = ((x, 0.02), (x, 0.98), (0.02, y), (0.98, y))[number % 4]
            strength = spoil(PatchFeatures.width * x, PatchFeatures.height * y, rng)
            changed = {"foreign": foreign, "blur": _blur(crop, 4), "scratch": crop + 90, "blob": crop - 70}[kind]
            pixels = crop + strength * (changed - crop)
            yield TestPicture(_render(pixels, rng), kind, strength > 0.3)


def _crop(texture: Grey, quarters: tuple[tuple[int, int], ...], rng: np.random.Generator) -> Grey:
    """A crop of one of the quarters (row, column), in the size of the network's input, mirrored or not."""
    half = len(texture) // 2
    row, column = quarters[int(rng.integers(len(quarters)))]
    left, top = (int(rng.integers(0, half - crop + 1)) for crop in CROP)
    quarter = texture[row * half : (row + 1) * half, column * half : (column + 1) * half]
    return _resize(quarter[top : top + CROP[1], left : left + CROP[0]][:, :: int(rng.choice([-1, 1]))])


def _render(pixels: Grey, rng: np.random.Generator) -> Picture:
    """A camera's picture of it: a bit brighter or darker, with noise."""
    seen = pixels * rng.uniform(0.97, 1.03) + rng.normal(0, 3, pixels.shape)
    return np.repeat(np.clip(seen, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _scratch(x: float, y: float, rng: np.random.Generator) -> Grey:
    along, across = _turned(x, y, rng.uniform(0, np.pi))
    return np.clip(2 - abs(across) / 1.5, 0, 1) * (abs(along) < rng.uniform(40, 80))


def _blob(x: float, y: float, rng: np.random.Generator) -> Grey:
    along, across = _turned(x, y, rng.uniform(0, np.pi))
    size = rng.uniform(18, 30)
    return np.exp(-((along / size) ** 2) - (across / size * 1.4) ** 2)


def _island(x: float, y: float, rng: np.random.Generator) -> Grey:
    along, across = _turned(x, y, rng.uniform(0, np.pi))
    size = rng.uniform(28, 45)
    return np.clip(4 * (1.1 - np.hypot(along, 1.4 * across) / size), 0, 1)


DEFECTS: dict[str, Callable[[float, float, np.random.Generator], Grey]] = {
    "scratch": _scratch,
    "blob": _blob,
    "foreign": _island,
    "blur": _island,
}


def _turned(x: float, y: float, angle: float) -> tuple[Grey, Grey]:
    """Coordinates along and across a direction, from a point."""
    rows, columns = np.mgrid[: PatchFeatures.height, : PatchFeatures.width].astype(np.float64)
    along = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    return along, (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)


def _resize(values: Grey) -> Grey:
    image = Image.fromarray(values.astype(np.float32))
    size = (PatchFeatures.width, PatchFeatures.height)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float64)


def _blur(values: Grey, deviation: float) -> Grey:
    """A Gaussian blur with edges repeated."""
    reach = int(3 * deviation)
    kernel = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(values, [(reach, reach) if one == axis else (0, 0) for one in (0, 1)], mode="edge")
        values = np.apply_along_axis(np.convolve, axis, padded, kernel, "valid")
    return values


if __name__ == "__main__":
    sys.exit(main())
