"""Downloads a file from the service. Broken connections are resumed; an incomplete file is never left behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from core.files import CHUNK_BYTES
from core.service_client.errors import BrokenConnection, ServiceError
from core.service_client.output_file import open_output_file

if TYPE_CHECKING:
    import httpx

    from core.service_client.transport import HttpTransport

MAX_SILENCE_SECONDS = 20.0  # without data, after which the connection counts as broken
MAX_FAILURES_IN_A_ROW = 5  # without any data received in between

ProgressCallback = Callable[[int, int], None]  # bytes so far, total bytes (0: unknown)


def save(
    transport: HttpTransport,
    path: str,
    target: Path,
    on_progress: ProgressCallback | None = None,
    *,
    query: Mapping[str, str] | None = None,
    silence: float = MAX_SILENCE_SECONDS,
) -> Path:
    """Download `path` to `target`, replacing it, and return `target`. `silence`: seconds without data that break it.

    Raises ServiceError if the connection keeps breaking, InputError if the target cannot be written.
    """
    with open_output_file(target) as file:
        _download(transport, path, query or {}, file, on_progress or (lambda _done, _all: None), silence)
    return target


def _download(
    transport: HttpTransport,
    path: str,
    query: Mapping[str, str],
    file: BinaryIO,
    on_progress: ProgressCallback,
    silence: float,
) -> None:
    """Request the missing bytes until the file is complete."""
    tag, failures = "", 0
    while True:
        before = file.tell()
        resume = {"Range": f"bytes={before}-", "If-Range": tag} if before and tag else {}
        try:
            headers = {**resume, "Accept-Encoding": "identity"}
            with transport.stream(path, query, headers, silence) as response:
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
    """Append the body to the file. A body that is too short raises a connection error."""
    length = response.headers.get("content-length", "")
    total = file.tell() + int(length) if length.isdecimal() else 0
    for piece in response.iter_bytes(CHUNK_BYTES):
        file.write(piece)
        on_progress(file.tell(), total)
