"""Free space of folders and mounts. A mount that hangs (a network share whose server is gone) blocks nobody."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

DEADLINE_SECONDS = 1.0  # of one look at all disks …
MIN_SECONDS_PER_DISK = 0.1  # … and what each has at least: that one hangs says nothing of those after it

# Kernel views and memory, and images mounted read-only: their free space tells nothing.
# fmt: off
_PSEUDO = frozenset((
    "autofs", "bdev", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs", "devpts",
    "devtmpfs", "efivarfs", "fusectl", "fuse.lxcfs", "fuse.gvfsd-fuse", "fuse.portal", "hugetlbfs", "iso9660",
    "mqueue", "nsfs", "overlay", "proc", "pstore", "ramfs", "rpc_pipefs", "securityfs", "selinuxfs",
    "squashfs", "sysfs", "tmpfs", "tracefs",
))
# fmt: on


class DiskState(str, Enum):
    """HUNG: the mount does not answer; the figures are the last known."""

    OK = "ok"
    HUNG = "hung"
    ERROR = "error"


class Disk(BaseModel):
    """One folder or mount. Bytes; `free` is what this user may still write. `label` names a watched folder."""

    model_config = ConfigDict(frozen=True)

    path: str
    label: str = ""
    device: str = ""
    file_system: str = ""
    total: int = 0
    used: int = 0
    free: int = 0
    state: DiskState = DiskState.OK
    detail: str = ""


class DiskSampler:
    """Asks for the space of each path in a worker thread, and leaves a worker that hangs to its mount."""

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
        """The watched folders (label → path; a missing one counts as its nearest parent), then every real mount."""
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
            return disk.model_copy(update={"state": DiskState.ERROR, "detail": result.strerror or str(result)})
        size = result.f_frsize
        used = (result.f_blocks - result.f_bfree) * size
        return disk.model_copy(update={"total": result.f_blocks * size, "used": used, "free": result.f_bavail * size})

    def _hung(self, disk: Disk) -> Disk:
        last = self._last.get(disk.path, disk)
        return last.model_copy(update={"state": DiskState.HUNG, "detail": "it does not answer"})


_Answer = queue.SimpleQueue[os.statvfs_result | OSError]


class _Worker:
    """One thread that asks for one path after the other."""

    def __init__(self, lock: threading.Lock, stuck: set[str]) -> None:
        self._lock = lock
        self._stuck = stuck
        self._questions: queue.SimpleQueue[tuple[str, _Answer | None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="disk-space", daemon=True).start()

    def ask(self, path: str) -> _Answer:
        """Where the answer will be."""
        answer: _Answer = queue.SimpleQueue()
        self._questions.put((path, answer))
        return answer

    def abandon(self, path: str) -> None:
        """The thread hangs at `path`: that is remembered until it comes back, and the thread then ends."""
        with self._lock:
            self._stuck.add(path)
        self._questions.put((path, None))

    def end(self) -> None:
        """No more questions."""
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
    """Space of the path, or of its nearest parent that exists."""
    while True:
        try:
            return os.statvfs(path)
        except FileNotFoundError:
            if path == path.parent:
                raise
            path = path.parent


def _mounts() -> list[Disk]:
    """Real mounts, one a device: the mount table alone is read, which never blocks."""
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
