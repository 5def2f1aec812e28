"""Converts frames to a detector's input, and to JPEG for people.

Each conversion uses its own converter: the frame's own one (`image.reformat`) is not thread-safe, and a frame may be
scored while people look at it. Two threads in the same converter hang, or crash the process.
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from core.inference.models.detector import Picture


def convert(image: VideoFrame, width: int, height: int, pixel_format: str) -> Picture:
    """The frame scaled to that size and format, as uint8, height x width (x channels)."""
    small = VideoReformatter().reformat(image, width=width, height=height, format=pixel_format, interpolation="AREA")
    return np.asarray(small.to_ndarray(), dtype=np.uint8)


def encode_jpeg(image: VideoFrame) -> bytes:
    """The frame as a JPEG file, at full size."""
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = image.width, image.height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    picture = VideoReformatter().reformat(image, format="yuvj420p", dst_color_range="JPEG")
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
