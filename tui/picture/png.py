"""Reads the PNG files that the service makes of heat maps: grey, eight bits, not interlaced; nothing else is needed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from core.errors import XaivaError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 1 << 20  # of a heat map, which has one for each patch
_GREY_8_BIT = (8, 0, 0, 0, 0)  # bit depth, colour type, compression, filter, interlace


def read_grey_png(data: bytes) -> tuple[int, int, bytes]:
    """Width, height and the values row by row. Raises XaivaError for anything else."""
    try:
        chunks = dict(_merged_chunks(data))
        width, height, *form = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
        if tuple(form) != _GREY_8_BIT or not 0 < width * height <= MAX_PIXELS:
            raise ValueError("not an 8-bit grey picture")
        size = (width + 1) * height
        rows = zlib.decompressobj().decompress(chunks[b"IDAT"], size)
        if len(rows) != size:
            raise ValueError("too short")
        return width, height, _unfiltered(rows, width)
    except (KeyError, ValueError, struct.error, zlib.error) as error:
        raise XaivaError("Heat map", f"the service sent something that is not one: {error}") from error


def _merged_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each kind of chunk with the data of all its chunks."""
    if not data.startswith(SIGNATURE):
        raise ValueError("not a PNG file")
    found: dict[bytes, bytes] = {}
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        found[kind] = found.get(kind, b"") + data[at + 8 : at + 8 + size]
        at += size + 12
    yield from found.items()


def _unfiltered(rows: bytes, width: int) -> bytes:
    """The values of rows that each begin with the number of their filter."""
    out = bytearray()
    above = bytes(width)
    for start in range(0, len(rows), width + 1):
        above = _unfiltered_row(rows[start], rows[start + 1 : start + 1 + width], above)
        out += above
    return bytes(out)


def _unfiltered_row(kind: int, row: bytes, above: bytes) -> bytes:
    if kind == 0:
        return row
    if kind == 2:
        return bytes((value + up) & 255 for value, up in zip(row, above, strict=True))
    if kind not in (1, 3, 4):
        raise ValueError(f"filter {kind}")
    out = bytearray()
    left = corner = 0
    for value, up in zip(row, above, strict=True):
        predicted = left if kind == 1 else (left + up) // 2 if kind == 3 else _paeth(left, up, corner)
        left, corner = (value + predicted) & 255, up
        out.append(left)
    return bytes(out)


def _paeth(left: int, up: int, corner: int) -> int:
    """The neighbour that is nearest to left + up - corner."""
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))
