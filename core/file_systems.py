"""Finds out which file system a folder is on, and lists those on which a database is not safe."""

from __future__ import annotations

import os
from pathlib import Path

# SQLite's locks and shared memory are not reliable there.
NETWORK_FILE_SYSTEMS = frozenset(
    (
        *(
            "9p",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "glusterfs",
            "gpfs",
            "lustre",
            "ncpfs",
            "nfs",
            "nfs4",
            "smb3",
            "smbfs",
        ),
        *("fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
    )
)


def file_system_type(folder: Path) -> str:
    """The type of the file system that holds `folder`, as /proc/self/mountinfo names it ("" when unknown)."""
    target = os.fspath(folder.resolve())
    best, kind = "", ""
    for line in _mounts().splitlines():
        before, _, after = line.partition(" - ")
        mount_point = before.split()[4].encode().decode("unicode_escape")  # spaces are written as \040
        inside = target == mount_point or target.startswith(mount_point.rstrip("/") + "/")
        if inside and len(mount_point) >= len(best):
            best, kind = mount_point, after.split()[0]
    return kind


def _mounts() -> str:
    return Path("/proc/self/mountinfo").read_text(errors="replace")
