"""Reads the mount table, and finds the mount that a folder lies on and the device below it, also through FUSE."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from core.carry.file_system_names import is_fuse


class Mount(NamedTuple):
    """One line of /proc/self/mountinfo."""

    mount_point: Path
    kind: str
    """The type of the file system, as the kernel names it."""
    device: str
    """The path of the device or image below; empty when there is none, or this user cannot learn it."""
    number: str
    """The number of its file system, as `8:17`; every mount of one file system has the same."""


def read_mounts() -> Iterator[Mount]:
    """Every mount in the order of the table, with its source for a device. Touches no file system, so never waits."""
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, source) = before.split(), after.split()[:2]
        yield Mount(Path(_unescape(fields[4])), kind, _unescape(source), fields[2])


def find_mount(folder: Path) -> Mount:
    """The mount that holds `folder`. Of several on one mount point the last one hides the others."""
    target = os.fspath(folder.resolve())
    best = Mount(Path("/"), "", "", "")
    for mount in read_mounts():
        mount_point = os.fspath(mount.mount_point)
        inside = target == mount_point or target.startswith(mount_point.rstrip("/") + "/")
        if inside and len(mount_point) >= len(os.fspath(best.mount_point)):
            best = mount
    return best._replace(device=_find_device(best))


def _unescape(text: str) -> str:
    """A space is written as \\040."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _find_device(mount: Mount) -> str:
    if mount.device.startswith("/") and _is_backing(mount.device):
        return mount.device
    return _device_of_fuse_program(mount.mount_point) if is_fuse(mount.kind) else ""


def _is_backing(path: str) -> bool:
    with suppress(OSError):
        mode = os.stat(path).st_mode
        return stat.S_ISBLK(mode) or stat.S_ISREG(mode)
    return False


def _device_of_fuse_program(mount_point: Path) -> str:
    """What the program that serves a FUSE mount has open for it; only root and its own user can see that."""
    try:
        connection = os.stat(mount_point).st_dev
    except OSError:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if _serves(process, connection):
                targets = [os.readlink(handle) for handle in (process / "fd").iterdir()]
                backing = [path for path in targets if path.startswith("/") and _is_backing(path)]
                return min(backing, key=lambda path: not stat.S_ISBLK(os.stat(path).st_mode), default="")
    return ""


def _serves(process: Path, connection: int) -> bool:
    for handle in (process / "fd").iterdir():
        if os.readlink(handle) == "/dev/fuse":
            text = (process / "fdinfo" / handle.name).read_text()
            if match := re.search(r"^fuse_connection:\s*(\d+)$", text, re.MULTILINE):
                return int(match[1]) == _kernel_device_number(connection)
    return False


def _kernel_device_number(number: int) -> int:
    """`st_dev` as the kernel counts devices itself: 20 bits for the minor number."""
    return os.major(number) << 20 | os.minor(number)
