"""Decodes pictures from object storage, uploads and drop folders: any of five formats to 8-bit RGB, within bounds."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from core.errors import InputError
from core.inference.models.detector import Picture

MAX_PIXELS = 100_000_000  # 300 MB as RGB; a small file can declare any size
MAX_BYTES = 256 << 20
JPEG_START = b"\xff\xd8"
JPEG_QUALITY = 90
LARGE_PIXELS = 25_000_000  # larger pictures are decoded one after another, so that many threads need no more memory
MIN_SIDE = 8  # pixels; anything smaller is no picture of a part

_PLUGINS = (JpegImagePlugin, PngImagePlugin, BmpImagePlugin, WebPImagePlugin, TiffImagePlugin)  # registers them
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
_STARTS = ((JPEG_START, "JPEG"), (b"\x89PNG", "PNG"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"))
_ORIENTATION = 0x0112  # of EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPPED = (5, 6, 7, 8)  # orientations that exchange width and height
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_TWELVE_BITS = 1 << 12
_large = threading.Lock()

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is the bound


class BadPicture(InputError):
    """The bytes are no picture that can be used."""


def decode(data: bytes, *, at_least: tuple[int, int] | None = None) -> Picture:
    """A JPEG, PNG, BMP, WebP or TIFF picture as uint8 RGB, height x width x 3, turned as its EXIF says.

    Of several frames or pages the first is taken; transparent places become white; colour profiles are ignored. Grey
    values of 16 bits are divided by 256, or by 16 if none of them needs more than 12 bits, as cameras store them.
    With `at_least` (width, height) a JPEG may be decoded at a half, a quarter or an eighth of its size, which is much
    faster, as long as neither side becomes smaller than that. Raises BadPicture.
    """
    if not data:
        raise _bad("it is empty")
    if len(data) > MAX_BYTES:
        raise _bad(f"it has {len(data) >> 20} MB, and {MAX_BYTES >> 20} are allowed")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            _check_size(image)
            return _pixels(image, at_least)
    except BadPicture:
        raise
    except UnidentifiedImageError:
        raise _bad(_unknown_kind(data)) from None
    except Image.DecompressionBombError:
        raise _bad(f"it has more than the {MAX_PIXELS // 1_000_000} million pixels that are allowed") from None
    except MemoryError:
        raise _bad("there is not enough memory to decode it") from None
    except Exception as error:  # foreign bytes: Pillow's parsers raise almost anything
        raise _bad(_reason(error, data)) from error


def shrink(picture: Picture, width: int) -> Picture:
    """The RGB picture at most `width` pixels wide, with its aspect ratio."""
    wide = min(width, picture.shape[1])
    high = max(1, round(picture.shape[0] * wide / picture.shape[1]))
    return np.asarray(Image.fromarray(picture).resize((wide, high), Image.Resampling.BOX))


def encode_jpeg(picture: Picture) -> bytes:
    """The RGB picture as JPEG."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def encode_map(scores: NDArray[np.float32]) -> bytes:
    """A map of scores from 0 to 1 (rows x columns) as grey PNG, a pixel each."""
    file = io.BytesIO()
    Image.fromarray((np.clip(scores, 0, 1) * 255 + 0.5).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _pixels(image: Image.Image, at_least: tuple[int, int] | None) -> Picture:
    if at_least is not None:
        width, height = at_least
        image.draft(None, (height, width) if _orientation(image) in _SWAPPED else (width, height))
    with _large if image.width * image.height > LARGE_PIXELS else contextlib.nullcontext():
        return _decoded(image)


def _decoded(image: Image.Image) -> Picture:
    image.load()
    orientation = _orientation(image)  # upright by now in a TIFF file: Pillow turns these while it loads them
    turned = image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
    return np.ascontiguousarray(np.asarray(_to_rgb(turned), np.uint8))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image), image.mode)).convert("RGB")
    if image.mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(values: NDArray[Any], mode: str) -> Picture:
    low, high = float(values.min()), float(values.max())
    if mode == "F":
        if not 0 <= low <= high <= 1:  # false for NaN, too
            raise _bad("its values are floating-point numbers that are not all between 0 and 1")
        return (values * 255 + 0.5).astype(np.uint8)
    if low < 0 or high > 0xFFFF:
        raise _bad("its values are integers that do not fit into 16 bits")
    return (values.astype(np.uint16) >> (4 if high < _TWELVE_BITS else 8)).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation; 1, upright, where EXIF is missing or damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a picture with damaged EXIF data is a picture
        return 1


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _bad(f"it has {width} x {height} pixels, and {MAX_PIXELS // 1_000_000} million are allowed")
    if min(width, height) < MIN_SIDE:
        raise _bad(f"it has only {width} x {height} pixels")


def _unknown_kind(data: bytes) -> str:
    for start, form in _STARTS:
        if data.startswith(start):
            return f"it is damaged, or of a kind of {form} that cannot be read"
    return "it is not a JPEG, PNG, BMP, WebP or TIFF picture"


def _reason(error: Exception, data: bytes) -> str:
    text = " ".join(str(error).split())[:200]
    short_webp = data[:4] == b"RIFF" and len(data) < 8 + int.from_bytes(data[4:8], "little")
    if "truncated" in text.lower() or isinstance(error, EOFError) or short_webp:
        return "it is cut off: its end is missing"
    return f"it is damaged ({text or type(error).__name__})"


def _bad(why: str) -> BadPicture:
    return BadPicture("The picture", why)
