"""SHA-256 of many files on all cores: hashlib releases the interpreter lock while it works."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from core.errors import Cancelled
from core.files import CHUNK_BYTES


def hash_files(
    paths: Iterable[Path],
    on_read: Callable[[Path, int], None],
    on_done: Callable[[Path, str, os.stat_result | None, OSError | None], None],
    cancelled: Callable[[], bool],
) -> None:
    """Hash every file. Calls `on_read(path, bytes)` on the way and `on_done(path, sha256, stat, error)` once for each
    file, both from any thread. `stat` is from before the first byte was read. Raises Cancelled.
    """
    queue = sorted(paths, key=_size)  # the largest first, so that no core is left alone with it
    lock = threading.Lock()
    stopped = threading.Event()
    errors: list[BaseException] = []

    def work() -> None:
        buffer = memoryview(bytearray(CHUNK_BYTES))
        while not stopped.is_set():
            with lock:
                if not queue:
                    return
                path = queue.pop()
            try:
                _hash_file(path, buffer, on_read, on_done, stopped)
            except BaseException as error:  # the caller raises it; a thread would only end silently
                errors.append(error)
                stopped.set()

    workers = [threading.Thread(target=work, daemon=True) for _ in range(os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        while worker.is_alive():
            worker.join(0.1)
            if cancelled():
                stopped.set()
    if errors:
        raise errors[0]
    if stopped.is_set():
        raise Cancelled()


def _hash_file(
    path: Path,
    buffer: memoryview,
    on_read: Callable[[Path, int], None],
    on_done: Callable[[Path, str, os.stat_result | None, OSError | None], None],
    stopped: threading.Event,
) -> None:
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            stat = os.fstat(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
                on_read(path, count)
                if stopped.is_set():
                    return
    except OSError as error:
        on_done(path, "", None, error)
        return
    on_done(path, digest.hexdigest(), stat, None)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
