"""Pictures as responses: JPEG, or a small PPM for clients without a decoder."""

from __future__ import annotations

from fastapi import Response

from core.inference.api.access import ResponseDocs
from core.inference.cameras.thumbnail import thumbnail
from core.inference.inspection.pictures import JPEG_START, decode, encode_jpeg, shrink

_PPM = "image/x-portable-pixmap"
_BYTES = {"schema": {"type": "string", "format": "binary"}}

PICTURE_DOCS: ResponseDocs = {200: {"description": "The picture", "content": {"image/jpeg": _BYTES, _PPM: _BYTES}}}


def picture_response(jpeg: bytes, width: int | None, headers: dict[str, str] | None = None) -> Response:
    """A JPEG response; with `width` in pixels, a PPM."""
    if width is None:
        return Response(jpeg, media_type="image/jpeg", headers=headers)
    return Response(thumbnail(jpeg, width), media_type=_PPM, headers=headers)


def any_picture_response(picture: bytes, width: int | None) -> Response:
    """As `picture_response`, for a picture of any format that an inspection takes. Raises BadPicture."""
    if width is None and picture.startswith(JPEG_START):
        return Response(picture, media_type="image/jpeg")
    if width is None:
        return Response(encode_jpeg(decode(picture)), media_type="image/jpeg")
    small = shrink(decode(picture, at_least=(width, 1)), width)
    return Response(b"P6 %d %d 255\n" % (small.shape[1], small.shape[0]) + small.tobytes(), media_type=_PPM)
