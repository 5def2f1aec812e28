"""Makes small uncompressed pictures (binary PPM) for the console, which has no codec."""

from __future__ import annotations

import io

import av

from core.errors import XaivaError

NARROWEST, WIDEST = 8, 1280  # pixels


def thumbnail(jpeg: bytes, width: int) -> bytes:
    """The JPEG as PPM (P6), at most `width` pixels wide, with its aspect ratio.

    Raises XaivaError when it cannot be decoded.
    """
    try:
        with av.open(io.BytesIO(jpeg), format="mjpeg") as container:
            frame = next(container.decode(video=0))
    except (av.FFmpegError, StopIteration) as error:
        raise XaivaError("Picture", "it cannot be decoded", "the file may be damaged") from error
    wide = min(width, frame.width)
    high = max(round(frame.height * wide / frame.width), 1)
    small = frame.reformat(width=wide, height=high, format="rgb24", interpolation="AREA")
    pixels: bytes = small.to_ndarray().tobytes()
    return b"P6 %d %d 255\n" % (wide, high) + pixels
