"""Metadata that a lock needs from servers: sizes, and the SHA-256 of files for which no index has one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import urllib3

from core.artifacts.http_responses import explain_connection_error, remedy_for_status, total_size
from core.artifacts.lockfile import LockedFile
from core.artifacts.network import Network
from core.content import HEAD_BYTES, check_content, recognise, wrong_content_error
from core.errors import Cancelled, XaivaError
from core.files import TEMPORARY_PREFIX, move_into_place
from core.progress import Progress, stop_if_cancelled
from core.redaction import redact_address

READ_BYTES = 256 << 10
POLL_SECONDS = 0.2
ATTEMPTS = 3
T = TypeVar("T")


class SourceUnreachable(XaivaError):
    """The URL of a file does not provide it now; the rest can still be locked."""


def with_sizes(files: Sequence[LockedFile], network: Network, progress: Progress, threads: int) -> list[LockedFile]:
    """The files with their sizes, requested from their servers where unknown; 0 when the server does not report it.

    Raises SourceUnreachable, Cancelled.
    """
    unknown = [file for file in files if not file.size]
    sizes = in_threads(unknown, lambda file: size_of(file, network), network, progress, threads)
    return [file.model_copy(update={"size": sizes[file.path]}) if file.path in sizes else file for file in files]


def in_threads(
    files: Sequence[LockedFile], work: Callable[[LockedFile], T], network: Network, progress: Progress, threads: int
) -> dict[str, T]:
    """Path → result of `work`, for each file. Raises what `work` raises, and Cancelled."""
    pool = ThreadPoolExecutor(threads)
    try:
        futures = {file.path: pool.submit(work, file) for file in files}
        while wait(futures.values(), timeout=POLL_SECONDS).not_done:
            if progress.cancelled():
                network.close()
                raise Cancelled()
        return {path: future.result() for path, future in futures.items()}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def size_of(file: LockedFile, network: Network) -> int:
    """The size in bytes of the file at its URL; 0 when the server does not report it. Raises SourceUnreachable."""
    if file.url.startswith("file://"):
        return local_path(file.url).stat().st_size
    headers = network.credentials(file, file.url)
    failure, exists = ("", ""), False
    for _ in range(ATTEMPTS):
        for method, extra in (("HEAD", {}), ("GET", {"Range": "bytes=0-0"})):
            try:
                response = network.request(method, file.url, {**headers, **extra})
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failure = explain_connection_error(error)
                continue
            size, status = total_size(response), response.status
            network.release(response, method == "HEAD")
            if size is not None:
                return size
            failure = f"the server answers {status}", remedy_for_status(status)
            exists = exists or (method == "GET" and status in (200, 206))
        if exists:
            return 0
    raise SourceUnreachable(redact_address(file.url), *failure)


def with_size(file: LockedFile, folder: Path, network: Network, progress: Progress) -> LockedFile:
    """The file with its size. If the server does not report it, the file is downloaded to its place in `folder`.

    Raises SourceUnreachable, Cancelled, and XaivaError when the SHA-256 differs from that of `file`.
    """
    size = file.size or size_of(file, network)
    if not size:
        progress.log(f"{file.path}: the server does not report its size; downloading the file to measure it")
        _, _, size = download_for_hash(file, lambda _: file.under(folder), network, progress)
    return file.model_copy(update={"size": size})


def download_for_hash(
    file: LockedFile, target_of: Callable[[str], Path], network: Network, progress: Progress
) -> tuple[Path, str, int]:
    """Download `file` to `target_of(sha256)` to compute its SHA-256.

    Returns path, SHA-256 and size. Raises SourceUnreachable, Cancelled, WrongContent when the content is not what its
    name promises, and XaivaError when `file` has another SHA-256.
    """
    digest = hashlib.sha256()
    folder = target_of("0" * 64).parent
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{TEMPORARY_PREFIX}{os.getpid()}"
    try:
        with open(temporary, "wb") as out:
            _download(file, out.write, digest.update, network, progress)
            size = out.tell()
        if file.sha256 and digest.hexdigest() != file.sha256:
            raise XaivaError(
                f"{file.path} from {redact_address(file.url)}",
                f"its SHA-256 is {digest.hexdigest()}, not {file.sha256}",
                "the origin or a proxy on the way changed the file; try again, or correct the hash",
            )
        check_content(temporary, file.path if Path(file.path).suffix else urlsplit(file.url).path, file.url)
        target = target_of(digest.hexdigest())
        move_into_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target, digest.hexdigest(), size


def check_head(file: LockedFile, network: Network) -> None:
    """Check the first bytes of the file at its URL. Raises WrongContent when they are of something else.

    Ignores a server that does not answer.
    """
    headers = {**network.credentials(file, file.url), "Range": f"bytes=0-{HEAD_BYTES - 1}"}
    try:
        response = network.request("GET", file.url, headers)
    except (urllib3.exceptions.HTTPError, OSError):
        return
    try:
        empty = response.status == 416 and response.headers.get("content-range") == "bytes */0"
        if response.status not in (200, 206) and not empty:
            return
        head = b"" if empty else response.read(HEAD_BYTES, decode_content=False)
        placeholder = recognise(head, total_size(response) or 0, file.path)
    except (urllib3.exceptions.HTTPError, OSError):
        return
    finally:
        network.release(response, False)
    if placeholder is not None:
        raise wrong_content_error(file.path, placeholder, file.url)


def _download(
    file: LockedFile,
    write: Callable[[bytes], object],
    update: Callable[[bytes], object],
    network: Network,
    progress: Progress,
) -> None:
    try:
        response = network.request("GET", file.url, network.credentials(file, file.url))
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise SourceUnreachable(redact_address(file.url), *explain_connection_error(error)) from error
    whole = False
    try:
        if response.status != 200:
            raise SourceUnreachable(
                redact_address(file.url), f"the server answers {response.status}", remedy_for_status(response.status)
            )
        for data in response.stream(READ_BYTES, decode_content=False):
            stop_if_cancelled(progress)
            write(data)
            update(data)
        whole = True
    except urllib3.exceptions.HTTPError as error:
        raise SourceUnreachable(redact_address(file.url), *explain_connection_error(error)) from error
    finally:
        network.release(response, whole)


def local_path(url: str) -> Path:
    """The path of a `file://` URL."""
    return Path(unquote(urlsplit(url).path))
