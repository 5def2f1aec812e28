"""Downloads a file of the service: streamed, resumed where the line broke, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from core.files import CHUNK_BYTES
from core.service_client.errors import BrokenConnection, ServiceError
from core.service_client.target import opened

if TYPE_CHECKING:
    import httpx

    from core.service_client.wire import Wire

SILENCE = 20.0  # seconds without a byte after which the line counts as broken
TRIES = 5  # lines that broke one after the other without a byte in between

Told = Callable[[int, int], None]  # bytes so far, bytes in all (0: not known)


def save(wire: Wire, path: str, target: Path, told: Told | None = None) -> Path:
    """Write what the service has at `path` to `target`, replacing it; returns it.

    Raises ServiceError when the line breaks again and again, InputError for a target that cannot be written.
    """
    with opened(target) as file:
        _fill(wire, path, file, told or (lambda _done, _all: None))
    return target


def _fill(wire: Wire, path: str, file: BinaryIO, told: Told) -> None:
    """Ask for what is missing until all is there."""
    tag, broken = "", 0
    while True:
        before = file.tell()
        resume = {"Range": f"bytes={before}-", "If-Range": tag} if before and tag else {}
        try:
            with wire.streamed(path, {}, {**resume, "Accept-Encoding": "identity"}, SILENCE) as response:
                if response.status_code != 206:
                    file.seek(0)
                    file.truncate()
                tag = response.headers.get("etag", "")
                _append(response, file, told)
                return
        except ServiceError as error:
            if type(error) not in (ServiceError, BrokenConnection) or not tag:
                raise  # refused, not broken
            broken = 0 if file.tell() > before else broken + 1
            if broken >= TRIES:
                raise


def _append(response: httpx.Response, file: BinaryIO, told: Told) -> None:
    """Append the body; one that ends before its length is an error of the line."""
    length = response.headers.get("content-length", "")
    total = file.tell() + int(length) if length.isdecimal() else 0
    for piece in response.iter_bytes(CHUNK_BYTES):
        file.write(piece)
        told(file.tell(), total)
