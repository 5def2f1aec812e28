"""Pictures of parts for tests: real stills of the package opencv-doc with defects drawn into them, and made-up ones."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

STILLS = Path("/usr/share/doc/opencv-doc/examples")

_COLOURS = {"bolt": (180, 60, 40), "나사": (40, 160, 70), "lid": (50, 70, 190)}


def part(product: str, number: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A made-up picture of a part: the product's colour with noise of its own."""
    width, height = size
    noise = np.random.default_rng([number, len(product)]).normal(0, 12, (height, width, 3))
    ground = np.array(_COLOURS.get(product, (120, 120, 120)))
    return Image.fromarray((ground + noise).clip(0, 255).astype(np.uint8))


def scratched(image: Image.Image, number: int = 0) -> Image.Image:
    """The picture with a bright line across it."""
    copy = image.copy()
    y = 20 + number * 7 % (copy.height - 40)
    ImageDraw.Draw(copy).line([10, y, copy.width - 10, y + 15], fill=(250, 250, 250), width=5)
    return copy


def jpeg(image: Image.Image | NDArray[np.uint8], quality: int = 90) -> bytes:
    target = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(target, "JPEG", quality=quality)
    return target.getvalue()


def put(folder: Path, key: str, content: bytes | Image.Image) -> Path:
    """Store an object in a storage that is a folder."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else jpeg(content))
    return path


def fill(
    folder: Path,
    products: tuple[str, ...] = ("bolt", "나사"),
    count: int = 6,
    first: int = 0,
    size: tuple[int, int] = (160, 120),
) -> None:
    """Normal pictures of products, and half as many with a scratch."""
    for product in products:
        for number in range(first, first + count):
            picture = part(product, number, size)
            put(folder, f"normal/{product}/{number}.jpg", picture)
            if number % 2:
                put(folder, f"defect/{product}/scratch/{number}.jpg", scratched(picture, number))
