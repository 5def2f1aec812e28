"""Top-level modules of wheels, from their tables of contents. Of a remote wheel, only the last bytes are fetched."""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path
from typing import IO

import urllib3

from core.artifacts.lock_store import LOCAL_WHEELS
from core.artifacts.locked_wheels import LockedWheels
from core.artifacts.lockfile import Lock, LockedFile
from core.artifacts.network import Network
from core.artifacts.remote_metadata import download_for_hash, in_threads, local_path
from core.errors import XaivaError
from core.progress import Progress

SERVICE_PACKAGES = {"core", "tui"}  # xaiva's own
THREADS = 8
TAIL_BYTES = 64 << 10  # usually has the whole table of contents
_MODULE = re.compile(r"(?:[^/]+\.data/(?:purelib|platlib)/)?([^/.]+)(?:/|\.(?:[^/]*\.)?(?:py|pyc|so)$)")


class _NoRanges(Exception):
    """The server does not send a part of a file."""


def top_level_modules(wheel: Path | IO[bytes]) -> set[str]:
    """The modules and packages that a wheel installs. Raises zipfile.BadZipFile, OSError."""
    with zipfile.ZipFile(wheel) as archive:
        return {match[1] for name in archive.namelist() if (match := _MODULE.match(name))}


def refuse_service_packages(
    wheels: LockedWheels, previous: Lock | None, folder: Path, network: Network, progress: Progress
) -> None:
    """Raise XaivaError for a wheel that has a package of xaiva: it would overwrite the service in the image.

    Wheels of a `previous` lock with the service are read only if they are on disk. A wheel that cannot be read is
    skipped, because the lock or a sync reports that. Raises Cancelled.
    """
    layers = {path: layer for layer, paths in wheels.layers for path in paths}
    locked = previous.files if previous else []
    verified = {file.sha256 for file in locked} if any(file.url.startswith("wheel:") for file in locked) else set()
    files = [wheel for wheel in wheels.files if wheel.sha256 not in verified or _find(wheel, folder)]
    modules = in_threads(files, lambda wheel: _modules_of(wheel, folder, network), network, progress, THREADS)
    for wheel in files:
        names = modules[wheel.path]
        if names is None:
            progress.log(f"{wheel.path}: the server sends no ranges; downloading the file to list its packages")
            names = _download_modules(wheel, folder, network, progress)
        for package in sorted(names & SERVICE_PACKAGES):
            raise XaivaError(
                f"{wheel.name} {wheel.version} (layer {layers[wheel.path]}) has a top-level package {package}",
                "in the image, it would overwrite the package of that name in the inference service",
                f'remove {wheel.name}, and what needs it, from the layers; or set "inference_service": false',
            )


def _find(wheel: LockedFile, folder: Path) -> Path | None:
    """The wheel on disk; None if it is only on a server."""
    paths = [wheel.under(folder), folder / LOCAL_WHEELS / Path(wheel.path).name]
    if wheel.url.startswith("file://"):
        paths.append(local_path(wheel.url))
    return next((path for path in paths if path.is_file()), None)


def _modules_of(wheel: LockedFile, folder: Path, network: Network) -> set[str] | None:
    """The modules of a wheel, empty if it cannot be read; None if its server sends no ranges."""
    try:
        return top_level_modules(_find(wheel, folder) or _RemoteFile(wheel, network))
    except _NoRanges:
        return None
    except (urllib3.exceptions.HTTPError, zipfile.BadZipFile, OSError, XaivaError):
        return set()


def _download_modules(wheel: LockedFile, folder: Path, network: Network, progress: Progress) -> set[str]:
    path = wheel.under(folder)
    download_for_hash(wheel, lambda _: path, network, progress)
    return top_level_modules(path)


class _RemoteFile(io.BytesIO):
    """A file on a server whose end is fetched as far as it is read."""

    def __init__(self, file: LockedFile, network: Network) -> None:
        super().__init__()
        self._file, self._network = file, network
        self._position = self._start = file.size
        self._tail = b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        end = self._file.size if size is None or size < 0 else min(self._file.size, self._position + size)
        if self._position < self._start:
            start = max(0, min(self._position, self._file.size - TAIL_BYTES))
            self._tail = self._fetch(start, self._start) + self._tail
            self._start = start
        data = self._tail[self._position - self._start : end - self._start]
        self._position += len(data)
        return data

    def _fetch(self, start: int, end: int) -> bytes:
        headers = {**self._network.credentials(self._file, self._file.url), "Range": f"bytes={start}-{end - 1}"}
        response = self._network.request("GET", self._file.url, headers)
        try:
            if response.status == 200:
                raise _NoRanges
            data = response.read(end - start, decode_content=False) if response.status == 206 else b""
        finally:
            self._network.release(response, whole=False)
        if len(data) != end - start:
            raise OSError(f"{self._file.url} answers {response.status}")
        return data
