"""Pictures as responses: JPEG, or a small PPM for clients without a decoder."""

from __future__ import annotations

from fastapi import Response

from core.inference.api.access import ResponseDocs
from core.inference.cameras.thumbnail import thumbnail

_PPM = "image/x-portable-pixmap"
_BYTES = {"schema": {"type": "string", "format": "binary"}}

PICTURE_DOCS: ResponseDocs = {200: {"description": "The picture", "content": {"image/jpeg": _BYTES, _PPM: _BYTES}}}


def picture_response(jpeg: bytes, width: int | None, headers: dict[str, str] | None = None) -> Response:
    """A JPEG response; with `width` in pixels, a PPM."""
    if width is None:
        return Response(jpeg, media_type="image/jpeg", headers=headers)
    return Response(thumbnail(jpeg, width), media_type=_PPM, headers=headers)
