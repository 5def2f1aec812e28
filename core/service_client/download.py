"""Downloads a file of the service: streamed, resumed where the line broke, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from core.files import CHUNK_BYTES
from core.service_client.errors import BrokenConnection, ServiceError
from core.service_client.output_file import open_output_file

if TYPE_CHECKING:
    import httpx

    from core.service_client.transport import HttpTransport

MAX_SILENCE_SECONDS = 20.0  # seconds without a byte after which the line counts as broken
MAX_FAILURES_IN_A_ROW = 5  # lines that broke one after the other without a byte in between

ProgressCallback = Callable[[int, int], None]  # bytes so far, bytes in all (0: not known)


def save(transport: HttpTransport, path: str, target: Path, on_progress: ProgressCallback | None = None) -> Path:
    """Write what the service has at `path` to `target`, replacing it; returns it.

    Raises ServiceError when the line breaks again and again, InputError for a target that cannot be written.
    """
    with open_output_file(target) as file:
        _download(transport, path, file, on_progress or (lambda _done, _all: None))
    return target


def _download(transport: HttpTransport, path: str, file: BinaryIO, on_progress: ProgressCallback) -> None:
    """Ask for what is missing until all is there."""
    tag, failures = "", 0
    while True:
        before = file.tell()
        resume = {"Range": f"bytes={before}-", "If-Range": tag} if before and tag else {}
        try:
            with transport.stream(path, {}, {**resume, "Accept-Encoding": "identity"}, MAX_SILENCE_SECONDS) as response:
                if response.status_code != 206:
                    file.seek(0)
                    file.truncate()
                tag = response.headers.get("etag", "")
                _append(response, file, on_progress)
                return
        except ServiceError as error:
            if type(error) not in (ServiceError, BrokenConnection) or not tag:
                raise  # refused, not broken
            failures = 0 if file.tell() > before else failures + 1
            if failures >= MAX_FAILURES_IN_A_ROW:
                raise


def _append(response: httpx.Response, file: BinaryIO, on_progress: ProgressCallback) -> None:
    """Append the body; one that ends before its length is an error of the line."""
    length = response.headers.get("content-length", "")
    total = file.tell() + int(length) if length.isdecimal() else 0
    for piece in response.iter_bytes(CHUNK_BYTES):
        file.write(piece)
        on_progress(file.tell(), total)
