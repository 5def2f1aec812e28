"""Decoding pictures: every format, depth and turn becomes the same RGB array, and bad bytes become a sentence."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.inference.inspection.pictures import BadPicture, decode

FORMATS = {"JPEG": {"quality": 100, "subsampling": 0}, "PNG": {}, "BMP": {}, "WEBP": {"lossless": True}, "TIFF": {}}
BLOCKS = np.kron(np.arange(24).reshape(4, 6, 1) * 10, np.ones((16, 16, 3))).astype(np.uint8)  # 64 x 96, each differs
TURNED = {
    1: BLOCKS,
    2: BLOCKS[:, ::-1],
    3: BLOCKS[::-1, ::-1],
    4: BLOCKS[::-1],
    5: BLOCKS.transpose(1, 0, 2),
    6: np.rot90(BLOCKS, -1),
    7: np.rot90(BLOCKS, 2).transpose(1, 0, 2),
    8: np.rot90(BLOCKS),
}


def _file(picture: Image.Image | NDArray[Any], form: str, **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    target = io.BytesIO()
    image.save(target, form, **options)
    return target.getvalue()


def _png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG of parts that Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _why(data: bytes) -> str:
    with pytest.raises(BadPicture) as caught:
        decode(data)
    return caught.value.why


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_picture(form: str) -> None:
    picture = decode(_file(BLOCKS, form, **FORMATS[form]))
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    assert np.abs(picture.astype(int) - BLOCKS).max() <= 1


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_is_turned_as_its_exif_says(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode(_file(BLOCKS, form, exif=exif, **FORMATS[form]))
    assert picture.shape == TURNED[orientation].shape
    assert np.abs(picture.astype(int) - TURNED[orientation]).max() <= 1


def test_a_large_jpeg_is_decoded_smaller_but_never_below_what_is_needed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _file(np.zeros((1440, 1920, 3), np.uint8), "JPEG", exif=exif)
    assert decode(data).shape == (1920, 1440, 3)
    assert decode(data, at_least=(300, 450)).shape == (480, 360, 3)
    assert decode(data, at_least=(400, 450)).shape == (960, 720, 3)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_grey_of_16_bits_keeps_its_upper_8_and_grey_of_12_bits_is_recognised(form: str) -> None:
    values = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 32
    for stored in (values, values >> 4):
        picture = decode(_file(stored, form))
        assert np.array_equal(picture, np.repeat((values >> 8)[..., None], 3, axis=2))


def test_colour_of_16_bits_and_floating_point_grey_become_8_bits() -> None:
    colour = np.arange(20 * 20 * 3, dtype=np.uint16).reshape(20, 20, 3) * 50
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colour)
    assert np.array_equal(decode(_png(20, 20, 16, 2, rows)), colour >> 8)
    grey = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    assert np.abs(decode(_file(grey, "TIFF"))[..., 0] - grey * 255).max() <= 0.5
    assert "between 0 and 1" in _why(_file(grey * np.float32(np.nan), "TIFF"))


def test_palettes_masks_and_cmyk_become_rgb_and_transparent_places_white() -> None:
    picture = Image.fromarray(BLOCKS)
    for mode in ("P", "1", "L", "LA", "CMYK", "YCbCr"):
        form = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
        assert decode(_file(picture.convert(mode), form)).shape == BLOCKS.shape
    assert np.abs(decode(_file(picture.convert("CMYK"), "JPEG", quality=100)).astype(int) - BLOCKS).max() <= 2
    half = np.dstack([BLOCKS, np.where(np.arange(96) < 48, 0, 255)[None].repeat(64, 0)]).astype(np.uint8)
    white = decode(_file(half, "PNG"))
    assert (white[:, :48] == 255).all()
    assert np.array_equal(white[:, 48:], BLOCKS[:, 48:])
    palette = picture.convert("P", palette=Image.Palette.ADAPTIVE)
    assert (decode(_file(palette, "PNG", transparency=palette.getpixel((0, 0))))[:16, :16] == 255).all()


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_of_several_frames_or_pages_the_first_is_taken(form: str) -> None:
    other = Image.fromarray(255 - BLOCKS)
    data = _file(BLOCKS, form, save_all=True, append_images=[other, other], **FORMATS[form])
    assert np.array_equal(decode(data), BLOCKS)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_refused_and_called_so(form: str, share: float) -> None:
    data = _file(np.random.default_rng(1).integers(0, 255, (60, 100, 3), np.uint8), form)
    assert _why(data[: int(len(data) * share)]) == "it is cut off: its end is missing"


def test_what_is_no_picture_is_refused_with_the_reason() -> None:
    assert _why(b"") == "it is empty"
    assert "not a JPEG, PNG, BMP, WebP or TIFF" in _why(b"%PDF-1.7 " + bytes(1000))
    assert "not a JPEG, PNG, BMP, WebP or TIFF" in _why(_file(BLOCKS, "GIF"))
    assert _why(_file(BLOCKS[:3, :5].copy(), "PNG")) == "it has only 5 x 3 pixels"
    assert _why(_png(20, 20, 8, 2, bytes(10))).startswith("it is")


def test_a_kind_of_tiff_that_cannot_be_read_is_not_called_another_format() -> None:
    floats = _file(np.zeros((20, 20), np.float32), "TIFF")
    bits, odd = (struct.pack("<HHII", 258, 3, 1, number) for number in (32, 24))  # BitsPerSample
    assert floats.count(bits) == 1
    assert _why(floats.replace(bits, odd)) == "it is damaged, or of a kind of TIFF that cannot be read"
    assert "of a kind of JPEG" in _why(b"\xff\xd8 and nothing that follows makes sense")


@pytest.mark.filterwarnings("ignore:Image size")
def test_a_small_file_that_declares_an_enormous_picture_is_refused_before_it_is_decoded() -> None:
    assert "100 million" in _why(_png(12_000, 12_000, 8, 2, bytes(100)))
    assert "100 million" in _why(_png(30_000, 30_000, 8, 2, bytes(100)))


def test_large_pictures_are_decoded_by_many_threads_alike() -> None:
    large = _file(np.zeros((5001, 5001, 3), np.uint8), "JPEG")
    with ThreadPoolExecutor(3) as pool:
        assert [picture.shape for picture in pool.map(decode, [large] * 3)] == [(5001, 5001, 3)] * 3


def test_random_damage_never_raises_anything_else() -> None:
    random = np.random.default_rng(7)
    for form, options in FORMATS.items():
        good = np.frombuffer(_file(BLOCKS, form, **options), np.uint8)
        for _ in range(60):
            damaged = good.copy()
            damaged[random.integers(0, len(good), 8)] = random.integers(0, 256, 8)
            with contextlib.suppress(BadPicture):
                assert decode(damaged.tobytes()).shape[2] == 3
