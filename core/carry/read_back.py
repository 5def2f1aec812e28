"""Reads files back from a medium, on all cores, and compares them with their hashes.

What was just written lies in this machine's memory, so reading it proves nothing about the medium. Direct reads go
around the memory that holds files. Behind FUSE the program that serves the file system reads the device through memory
of its own kind, which is emptied first. Where that is not allowed, the result says so.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from core.carry.file_system_names import is_fuse
from core.carry.mounts import Mount
from core.carry.target import OnBytes, ReadBack
from core.errors import Cancelled, os_reason

_BUFFER_BYTES = 4 << 20  # of each core
_FLUSH_DEVICE = 0x1261  # BLKFLSBUF: write and forget what memory holds of a block device
_IN_MEMORY = ("tmpfs", "ramfs")
_OF_THE_FILE = (
    *(errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.EACCES, errno.EBADMSG),
    errno.EPERM,  # fusefat's answer when its device fails
)
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def read_back(
    root: int,
    mount: Mount,
    blobs: Mapping[str, tuple[str, int]],
    on_read: OnBytes,
    cancelled: Callable[[], bool],
) -> ReadBack:
    """Compare files below the open folder `root`; everything must have been synced. OSError: the medium is gone."""
    reader = _Reader(root, on_read, cancelled)
    result = ReadBack(why_not=forget_device(mount))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "check", initializer=reader.prepare) as threads:
        paths = {threads.submit(reader.problem, path, *blobs[path]): path for path in blobs}
        try:
            for future in as_completed(paths):
                if problem := future.result():
                    result.problems[paths[future]] = problem
        except BaseException:
            reader.stop()
            threads.shutdown(cancel_futures=True)
            raise
    result.why_not = result.why_not or reader.why_not
    result.from_medium = not result.why_not
    return result


def forget_device(mount: Mount) -> str:
    """Make memory forget what a FUSE program has read of its device; why that was not possible, else empty."""
    if mount.kind in _IN_MEMORY:
        return f"{mount.kind} has no device: its files are in memory"
    if not is_fuse(mount.kind):
        return ""
    try:
        _forget(mount.device)
    except OSError as error:
        device = mount.device or "an unknown device"
        return _forget_everything(f"it lies behind FUSE on {device}, which this user may not read ({os_reason(error)})")
    return ""


def _forget(device: str) -> None:
    handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
        if stat.S_ISBLK(os.fstat(handle).st_mode):
            try:
                fcntl.ioctl(handle, _FLUSH_DEVICE, 0)
                return
            except PermissionError:
                pass  # only root may; the next call does the same for what is not in use
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _forget_everything(reason: str) -> str:
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("1\n")
    except OSError:
        return reason
    return ""


class _Reader:
    """Reads files with a buffer for each thread, aligned as direct reads need it."""

    def __init__(self, root: int, on_read: OnBytes, cancelled: Callable[[], bool]) -> None:
        self._root = root
        self._on_read = on_read
        self._cancelled = cancelled
        self._lock = threading.Lock()  # a listener gets one block at a time
        self._own = threading.local()
        self._stopped = False
        self.why_not = ""

    def prepare(self) -> None:
        """Called once in each thread."""
        self._own.buffer = memoryview(mmap.mmap(-1, _BUFFER_BYTES))

    def stop(self) -> None:
        """Let all threads end soon."""
        self._stopped = True

    def problem(self, path: str, sha256: str, size: int) -> str:
        """What is wrong with a file, else empty."""
        try:
            with self._open(path) as handle:
                state = os.fstat(handle)
                if not stat.S_ISREG(state.st_mode):
                    return "it is not a file"
                if state.st_size != size:
                    return f"it has {state.st_size} bytes instead of {size}"
                actual = self._hash(handle, size)
        except FileNotFoundError:
            return "it is missing"
        except OSError as error:
            if error.errno not in _OF_THE_FILE:
                raise
            return f"it cannot be read: {os_reason(error)}"
        return "" if actual == sha256 else f"its content is damaged: its SHA-256 is {actual}"

    @contextmanager
    def _open(self, path: str) -> Iterator[int]:
        try:
            handle = os.open(path, _FLAGS | os.O_DIRECT, dir_fd=self._root)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            handle = os.open(path, _FLAGS, dir_fd=self._root)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            self.why_not = "its file system has no direct reads, so that memory may have answered"
        try:
            yield handle
        finally:
            os.close(handle)

    def _hash(self, handle: int, size: int) -> str:
        digest = hashlib.sha256()
        done = 0
        while done < size:
            if self._stopped or self._cancelled():
                raise Cancelled()
            count = os.readv(handle, [self._own.buffer])
            if not count:
                break
            digest.update(self._own.buffer[:count])
            done += count
            with self._lock:
                self._on_read(count)
        return digest.hexdigest()
