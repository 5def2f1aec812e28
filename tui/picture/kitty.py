"""The kitty graphics protocol: RGB, deflated, in pieces, placed over some cells. The terminal scales it."""

from __future__ import annotations

import base64
import zlib

from tui.picture.raster import Raster

PIECE = 4096  # bytes of base64 in one escape sequence: the protocol's limit
_FEWER_SHADES = bytes(value & 0xF8 for value in range(256))  # 5 bits a colour: nobody sees it, deflate halves it
_UNDER_TEXT = -1  # a message over the picture stays legible


def encode(raster: Raster, identifier: int, columns: int, rows: int) -> str:
    """The sequences that show the picture at the cursor, `columns` x `rows` cells large; the cursor stays."""
    deflated = zlib.compress(raster.rgb.translate(_FEWER_SHADES), 6)
    payload = base64.b64encode(deflated).decode()
    pieces = [payload[at : at + PIECE] for at in range(0, len(payload), PIECE)]
    head = (
        f"a=T,f=24,o=z,s={raster.width},v={raster.height},i={identifier},p=1,c={columns},r={rows},"
        f"C=1,z={_UNDER_TEXT},q=2,m={int(len(pieces) > 1)}"
    )
    out = [f"\x1b_G{head};{pieces[0]}\x1b\\"]
    for number, piece in enumerate(pieces[1:], 2):
        out.append(f"\x1b_Gm={int(number < len(pieces))},q=2;{piece}\x1b\\")
    return "".join(out)


def delete(identifier: int) -> str:
    """The sequence that takes the picture away and frees its memory."""
    return f"\x1b_Ga=d,d=I,i={identifier},q=2\x1b\\"
