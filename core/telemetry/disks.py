"""Free space of folders and mounts. A mount that hangs (a network share whose server is gone) blocks no caller."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.errors import os_reason

DEADLINE_SECONDS = 1.0  # for all disks together …
MIN_SECONDS_PER_DISK = 0.1  # … but each gets at least this, even after one that hangs

# File systems of the kernel, in memory, or mounted read-only from images: their free space means nothing.
# fmt: off
_PSEUDO = frozenset((
    "autofs", "bdev", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs", "devpts",
    "devtmpfs", "efivarfs", "fusectl", "fuse.lxcfs", "fuse.gvfsd-fuse", "fuse.portal", "hugetlbfs", "iso9660",
    "mqueue", "nsfs", "overlay", "proc", "pstore", "ramfs", "rpc_pipefs", "securityfs", "selinuxfs",
    "squashfs", "sysfs", "tmpfs", "tracefs",
))
# fmt: on


class DiskState(str, Enum):
    """HUNG: the mount does not answer; the figures are the last known ones."""

    OK = "ok"
    HUNG = "hung"
    ERROR = "error"


class Disk(BaseModel):
    """The space of one folder or mount, in bytes."""

    model_config = ConfigDict(frozen=True)

    path: str
    label: str = ""
    """The label of a watched folder; empty for a mount."""
    device: str = ""
    file_system: str = ""
    total: int = 0
    used: int = 0
    free: int = 0
    """What this user may still write."""
    state: DiskState = DiskState.OK
    detail: str = ""


class DiskSampler:
    """Reads the space of each path in a worker thread, and abandons a thread that hangs."""

    def __init__(self, deadline: float = DEADLINE_SECONDS) -> None:
        self._deadline = deadline
        self._last: dict[str, Disk] = {}
        self._stuck: set[str] = set()
        self._lock = threading.Lock()
        self._worker = _Worker(self._lock, self._stuck)

    def close(self) -> None:
        """End the worker."""
        self._worker.end()

    def sample(self, watched: Mapping[str, Path]) -> list[Disk]:
        """The watched folders (label → path; for a missing folder its nearest parent), then every real mount."""
        disks = [Disk(path=str(path), label=label) for label, path in watched.items()] + _mounts()
        deadline = time.monotonic() + self._deadline
        sampled = [self._sample_disk(disk, deadline) for disk in disks]
        self._last = {disk.path: disk for disk in sampled}
        return sampled

    def _sample_disk(self, disk: Disk, deadline: float) -> Disk:
        with self._lock:
            stuck = disk.path in self._stuck
        if stuck:
            return self._hung(disk)
        answer = self._worker.ask(disk.path)
        try:
            result = answer.get(timeout=max(deadline - time.monotonic(), MIN_SECONDS_PER_DISK))
        except queue.Empty:
            self._worker.abandon(disk.path)
            self._worker = _Worker(self._lock, self._stuck)
            return self._hung(disk)
        if isinstance(result, OSError):
            return disk.model_copy(update={"state": DiskState.ERROR, "detail": os_reason(result)})
        size = result.f_frsize
        used = (result.f_blocks - result.f_bfree) * size
        return disk.model_copy(update={"total": result.f_blocks * size, "used": used, "free": result.f_bavail * size})

    def _hung(self, disk: Disk) -> Disk:
        last = self._last.get(disk.path, disk)
        return last.model_copy(update={"state": DiskState.HUNG, "detail": "it does not answer"})


_Answer = queue.SimpleQueue[os.statvfs_result | OSError]


class _Worker:
    """One thread that reads one path after another."""

    def __init__(self, lock: threading.Lock, stuck: set[str]) -> None:
        self._lock = lock
        self._stuck = stuck
        self._questions: queue.SimpleQueue[tuple[str, _Answer | None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="disk-space", daemon=True).start()

    def ask(self, path: str) -> _Answer:
        """Request the space of a path; returns the queue that gets the answer."""
        answer: _Answer = queue.SimpleQueue()
        self._questions.put((path, answer))
        return answer

    def abandon(self, path: str) -> None:
        """Mark `path` as stuck until the hanging thread returns from it, which then ends."""
        with self._lock:
            self._stuck.add(path)
        self._questions.put((path, None))

    def end(self) -> None:
        """End the thread after the requests so far."""
        self._questions.put(("", None))

    def _run(self) -> None:
        while True:
            path, answer = self._questions.get()
            if answer is None:
                with self._lock:
                    self._stuck.discard(path)
                return
            try:
                answer.put(_nearest_statvfs(Path(path)))
            except OSError as error:
                answer.put(error)


def _nearest_statvfs(path: Path) -> os.statvfs_result:
    """The space of the path, or of its nearest existing parent."""
    while True:
        try:
            return os.statvfs(path)
        except FileNotFoundError:
            if path == path.parent:
                raise
            path = path.parent


def _mounts() -> list[Disk]:
    """Real mounts, one per device. Reads only the mount table, which never blocks."""
    import psutil

    by_device: dict[str, Disk] = {}
    for part in psutil.disk_partitions(all=True):
        if part.fstype in _PSEUDO and part.mountpoint != "/":
            continue
        disk = Disk(path=part.mountpoint, device=part.device, file_system=part.fstype)
        current = by_device.get(part.device)
        if current is None or len(disk.path) < len(current.path):
            by_device[part.device] = disk
    return sorted(by_device.values(), key=lambda disk: disk.path)
