"""Stores a stream, whose length is not known before its end, as blobs of a part each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from core.carry.hashed_copy import Digest, wrong_source
from core.carry.shipment import Blob, Content, blob_path
from core.carry.target import UNFINISHED


def put_parts(
    sha256: str | None,
    name: str,
    part_bytes: int,
    put_part: Callable[[Digest], Blob],
    remove: Callable[[Iterable[str]], None],
) -> Content:
    """Call `put_part` with the hash of the whole until it gives a part that is not full.

    Raises WrongContent, and removes the parts, when the stream `name` has not the announced hash.
    """
    whole, parts = hashlib.sha256(), list[Blob]()
    while not parts or parts[-1].size == part_bytes:
        blob = put_part(whole)
        if parts and not blob.size:
            remove([blob_path(blob.sha256) + UNFINISHED])
            break
        parts.append(blob)
    size = sum(part.size for part in parts)
    if sha256 is not None and whole.hexdigest() != sha256:
        remove(blob_path(part.sha256) + UNFINISHED for part in parts)
        raise wrong_source(name, sha256, whole.hexdigest(), size, size)
    return Content(sha256=whole.hexdigest(), size=size, parts=parts if len(parts) > 1 else [])
