"""Reads which bytes of a file a request asks for: all of them, or a single range."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header

from core.inference.api.errors import RangeNotSatisfiable

ByteRange = Annotated[str | None, Header(alias="Range", max_length=100)]
IfRange = Annotated[str | None, Header(max_length=200)]

_RANGE = re.compile(r"^bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))$", re.ASCII)


def read_range(byte_range: str | None, if_range: str | None, etag: str, size: int) -> range | None:
    """The positions of the wanted bytes; None: no range is asked for, or only one of a file with another ETag.

    Raises RangeNotSatisfiable unless it is a single range that starts before `size`.
    """
    if byte_range is None or if_range not in (None, etag):
        return None
    match = _RANGE.match(byte_range)
    if match is None or (match[2] and int(match[1]) > int(match[2])):
        raise RangeNotSatisfiable(size, "it is not a single byte range", "write it as bytes=FIRST-LAST")
    first = int(match[1]) if match[1] else max(0, size - int(match[3]))
    if first >= size:
        raise RangeNotSatisfiable(size, f"there are {size} bytes", "request bytes before its end")
    return range(first, min(int(match[2]) + 1 if match[2] else size, size))
