"""Uploads a file to the service, in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InputError, os_reason
from core.files import CHUNK_BYTES, describe_irregular_file
from core.service_client.download import ProgressCallback

if TYPE_CHECKING:
    import httpx

    from core.service_client.transport import HttpTransport

ANSWER_SECONDS = 600.0  # the service passes the file on before it answers


def send_file(
    transport: HttpTransport, path: str, source: Path, on_progress: ProgressCallback | None = None
) -> httpx.Response:
    """PUT the file to `path` and return the answer. Raises InputError if the file cannot be read."""
    try:
        status = source.stat()
        if kind := describe_irregular_file(status.st_mode):
            raise InputError(f"{source}", f"it is {kind}, not a file")
        size = status.st_size
        with open(source, "rb") as file:

            def pieces() -> Iterator[bytes]:
                file.seek(0)
                sent = 0
                while piece := file.read(min(CHUNK_BYTES, size - sent)):
                    yield piece
                    sent += len(piece)
                    if on_progress:
                        on_progress(sent, size)

            return transport.send_pieces("PUT", path, pieces, size, ANSWER_SECONDS)
    except OSError as error:
        raise InputError(f"{source}", os_reason(error)) from error
