"""Makes what is written to a medium durable, in batches, and reports it only then.

A long file gets one `fdatasync` a batch; a batch of many small ones gets one `syncfs`. Behind FUSE neither is enough:
`syncfs` does not reach the program that serves the file system, and some programs (fusefat) do nothing when a file is
synced. So one file is synced, which reaches the program, and then the device below it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from concurrent.futures import Future, ThreadPoolExecutor

from core.carry.file_system_names import is_fuse
from core.carry.mounts import Mount
from core.carry.target import BATCH_BYTES, BATCH_FILES, OnBytes

_CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)  # of a folder, on some file systems


class DurableWrites:
    """What was written below an open folder and is not durable yet. While one batch is synced, the next is written."""

    def __init__(self, root: int, mount: Mount) -> None:
        self._root = root
        self._mount = mount
        self._thread = ThreadPoolExecutor(1, "sync")
        self._batch: list[tuple[OnBytes, int]] = []
        self._bytes = 0
        self._files: set[str] = set()
        self._running: Future[None] | None = None
        self._running_batch: list[tuple[OnBytes, int]] = []

    def add(self, path: str, handle: int, count: int, on_durable: OnBytes) -> None:
        """`count` bytes more were written to the open file; raises OSError when an earlier batch was not written."""
        if self._batch and self._batch[-1][0] is on_durable:
            count_before = self._batch.pop()[1]
            self._batch.append((on_durable, count_before + count))
        else:
            self._batch.append((on_durable, count))
        self._files.add(path)
        self._bytes += count
        if self._bytes >= BATCH_BYTES or len(self._files) >= BATCH_FILES:
            self._start(handle)

    def flush(self) -> None:
        """Make all of it durable, and report it."""
        if self._batch:
            self._start(self._root)
        self._wait()

    def sync(self, handle: int | None = None) -> None:
        """Make everything durable, also names. `handle` is an open file of the medium, if there is one."""
        self.flush()
        self._sync(self._root if handle is None else handle, single=False)

    def close(self) -> None:
        """End the thread; what was not flushed is not reported."""
        self._thread.shutdown()

    def _start(self, handle: int) -> None:
        self._wait()
        single = len(self._files) == 1 and handle != self._root
        self._running_batch, self._batch = self._batch, []
        self._bytes, self._files = 0, set()
        self._running = self._thread.submit(self._sync_and_close, os.dup(handle), single)

    def _wait(self) -> None:
        running, self._running = self._running, None
        batch, self._running_batch = self._running_batch, []
        if running is not None:
            running.result()
        for on_durable, count in batch:
            on_durable(count)

    def _sync_and_close(self, handle: int, single: bool) -> None:
        try:
            self._sync(handle, single)
        finally:
            os.close(handle)

    def _sync(self, handle: int, single: bool) -> None:
        if not is_fuse(self._mount.kind):
            if single:
                os.fdatasync(handle)
            else:
                _sync_file_system(self._root)
            return
        sync_device(self._mount.device)  # first: while the program syncs, it takes no more writes
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise
        if not sync_device(self._mount.device):
            _sync_file_system(self._root)  # reaches the device below fuseblk
            if self._mount.kind != "fuseblk":
                os.sync()  # the device is unknown: all devices


def sync_device(device: str) -> bool:
    """Write what memory holds of a device or image; False when this user may not open it."""
    with contextlib.suppress(PermissionError, FileNotFoundError):
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return True
    return False


def _sync_file_system(handle: int) -> None:
    if ctypes.CDLL(None, use_errno=True).syncfs(handle):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
