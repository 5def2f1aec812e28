"""Real media: exFAT, FAT32 and NTFS behind FUSE, ext4 of the kernel, each on a loop device over a file."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support import require, until

MEBI = 1 << 20
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class FileSystem:
    """How a medium is made and mounted."""

    name: str
    make: tuple[str, ...]
    mount: tuple[str, ...]
    fuse: bool = True


EXFAT = FileSystem("exFAT", ("mkfs.exfat",), ("mount.exfat-fuse",))
FAT32 = FileSystem("FAT32", ("mkfs.vfat", "-F", "32"), ("fusefat", "-o", "rw+"))
NTFS = FileSystem("NTFS", ("mkfs.ntfs", "--fast", "--force", "--quiet"), ("ntfs-3g",))
EXT4 = FileSystem("ext4", ("mkfs.ext4", "-q", "-F"), ("mount", "-t", "ext4"), fuse=False)


class StickMedium:
    """A mounted medium. `backing` is the file that holds all its bytes, `device` the loop device over it."""

    def __init__(self, kind: FileSystem, folder: Path, size: int, backing: Path) -> None:
        self.kind = kind
        self.backing = backing
        self.mount = folder / "mount"
        self.mount.mkdir(parents=True)
        with self.backing.open("wb") as file:
            file.truncate(size)
        _run([*kind.make, f"{self.backing}"])
        self.device = ""
        self.remount()

    def remount(self, *options: str) -> None:
        """Mount it, as after plugging it in: on a new device, because something may still hold the old one."""
        self.device = _run(["losetup", "--find", "--show", f"{self.backing}"]).strip()
        try:
            _run([*self.kind.mount, *options, self.device, f"{self.mount}"])
        except BaseException:
            self._detach_device()
            raise

    def unmount(self) -> None:
        """Unmount it properly; the program that serves it has ended afterwards."""
        process = self.fuse_process()
        _run(["umount", f"{self.mount}"])
        if process:  # it would go on as long as an engine that was started meanwhile has a copy of the mount
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)
        until(lambda: not _is_running(process))
        self._detach_device()

    def kill(self) -> None:
        """End the program that serves it without warning, as if the medium was pulled out; the mount stays, broken."""
        process = self.fuse_process()
        assert process
        os.kill(process, signal.SIGKILL)
        until(lambda: not _is_running(process))

    def detach(self) -> None:
        """Pull it out: only the empty mount point is left."""
        if self.fuse_process():
            self.kill()
        _run(["umount", "--lazy", f"{self.mount}"])
        self._detach_device()

    def pull_out(self) -> None:
        """Pull it out: what has not reached its file by then is lost."""
        if self.fuse_process():
            self.kill()
        reached = self.backing.with_name("reached")
        shutil.copyfile(self.backing, reached)
        self.detach()
        reached.replace(self.backing)

    def fuse_process(self) -> int:
        """The process that serves it; 0 when the kernel does, or it has ended."""
        for process in Path("/proc").glob("[0-9]*") if self.kind.fuse and self.device else ():
            if {"/dev/fuse", self.device} <= _open_files(process):
                return int(process.name)
        return 0

    def written_bytes(self) -> int:
        """How many bytes have reached the device since it was made."""
        fields = Path(f"/sys/block/{Path(self.device).name}/stat").read_text().split()
        return int(fields[6]) * 512

    def close(self) -> None:
        """Unmount and detach, whatever state it is in."""
        if self.fuse_process():
            self.kill()
        while _is_mount_point(self.mount):
            subprocess.run(["umount", "--lazy", self.mount], check=True)
        self._detach_device()

    def _detach_device(self) -> None:
        """What reached the device is in its file; the device ends when nothing uses it any more."""
        device, self.device = self.device, ""
        if device:
            with suppress(OSError), open(device, "rb", buffering=0) as file:
                os.fsync(file.fileno())
            subprocess.run(["losetup", "--detach", device], check=True)


@contextmanager
def medium_of(
    kind: FileSystem, folder: Path, size: int = 300 * MEBI, backing: Path | None = None
) -> Iterator[StickMedium]:
    """An empty medium, which is mounted below `folder`. Its bytes are in memory, so that other tests do not slow it."""
    require(os.geteuid() == 0, "root, to make loop devices")
    for program in (kind.make[0], kind.mount[0], "losetup"):
        require(shutil.which(program), program)
    require(not kind.fuse or Path("/dev/fuse").exists(), "FUSE")
    with TemporaryDirectory(prefix="xaiva-medium-", dir=_MEMORY if _MEMORY.is_dir() else None) as memory:
        medium = StickMedium(kind, folder, size, backing or Path(memory) / "backing")
        try:
            yield medium
        finally:
            medium.close()


@contextmanager
def throttled(medium: StickMedium, bytes_a_second: int) -> Iterator[None]:
    """The device of a medium writes no faster than that for a while."""
    throttle = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")
    require(throttle.exists(), "a kernel that throttles block devices")
    number = os.stat(medium.device).st_rdev
    device = f"{os.major(number)}:{os.minor(number)}"
    throttle.write_text(f"{device} {bytes_a_second}")
    try:
        yield
    finally:
        throttle.write_text(f"{device} 0")


def _open_files(process: Path) -> set[str]:
    """What a process has open. A handle that is closed meanwhile does not hide the others."""
    targets = set()
    with suppress(OSError):
        for handle in (process / "fd").iterdir():
            with suppress(OSError):
                targets.add(os.readlink(handle))
    return targets


def _is_running(process: int) -> bool:
    """Whether it has not ended; its parent may collect it late."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _is_mount_point(folder: Path) -> bool:
    return bool(re.search(f" {re.escape(os.fspath(folder))} ", Path("/proc/self/mountinfo").read_text()))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
