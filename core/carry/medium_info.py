"""Describes the medium that a folder lies on: its file system by name, its device, its room."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from core.carry.file_system_names import is_fuse, name_file_system
from core.carry.medium_errors import explain_medium_error
from core.carry.mounts import Mount, find_mount
from core.errors import InputError
from core.findings import Finding


@dataclass(frozen=True)
class MediumInfo:
    """What is known about a medium without writing to it."""

    path: Path
    file_system: str
    """As a person knows it: `exFAT`, `FAT32`, `NTFS`, `ext4`; an unknown type as the kernel names it."""
    through_fuse: bool
    """Whether a program serves the file system, and not the kernel."""
    mount: Mount
    total: int | None
    """None, as in `free`, when its file system does not say."""
    free: int | None
    read_only: bool
    findings: tuple[Finding, ...] = ()

    @property
    def summary(self) -> str:
        """One line: `exFAT (through FUSE) at /media/stick on /dev/sdb1`."""
        fuse = " (through FUSE)" if self.through_fuse else ""
        device = f" on {self.mount.device}" if self.mount.device else ""
        return f"{self.file_system}{fuse} at {self.mount.mount_point}{device}"


def describe_medium(folder: Path) -> MediumInfo:
    """Look at the medium that holds `folder`. Raises InputError for no such folder, XaivaError for a failing one."""
    try:
        state = os.stat(folder)
        os.listdir(folder)
        space = os.statvfs(folder)
    except FileNotFoundError as error:
        raise InputError(f"Medium {folder}", "there is no such folder", _MOUNT) from error
    except NotADirectoryError as error:
        raise InputError(f"Medium {folder}", "it is not a folder", _MOUNT) from error
    except OSError as error:
        raise explain_medium_error(error, f"{folder}", "", None) from error
    mount = find_mount(folder)
    return MediumInfo(
        path=folder,
        file_system=name_file_system(mount.kind, mount.device),
        through_fuse=is_fuse(mount.kind),
        mount=mount,
        total=space.f_blocks * space.f_frsize or None,
        free=free_bytes(space),
        read_only=bool(space.f_flag & os.ST_RDONLY),
        findings=(_plain_folder(folder),) if state.st_dev == os.stat("/").st_dev else (),
    )


def free_bytes(space: os.statvfs_result) -> int | None:
    """How much still fits; None when the file system does not say, as fusefat, for which everything is 0."""
    return space.f_bavail * space.f_frsize if space.f_blocks else None


def _plain_folder(folder: Path) -> Finding:
    why = "the folder lies on this machine's own disk; everything is written there"
    remedy = "if a stick is meant, mount it first, and name its mount point"
    return Finding.warning("medium-not-mounted", f"Nothing is mounted at {folder}", why, remedy)


_MOUNT = "mount the medium, and name the folder where it is mounted"
