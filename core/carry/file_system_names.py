"""Names the file system of a medium as a person knows it, also where FUSE hides its type.

The kernel names a file system behind FUSE `fuseblk`, or `fuse.` and the program. What lies on the device then comes
from udev's database, or from the device's first bytes.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_NAMES = {
    "exfat": "exFAT",
    "vfat": "FAT",
    "msdos": "FAT",
    "fusefat": "FAT",
    "ntfs": "NTFS",
    "ntfs3": "NTFS",
    "ntfs-3g": "NTFS",
    "hfsplus": "HFS+",
    "apfs": "APFS",
    "xfs": "XFS",
    "btrfs": "Btrfs",
    "f2fs": "F2FS",
    "iso9660": "ISO 9660",
    "udf": "UDF",
}
_UDEV = Path("/run/udev/data")
_FAT32, _FAT16, _EXT_MAGIC = 0x52, 0x36, 0x438  # where their marks stand on the device
_HEAD_BYTES = 2048


def is_fuse(kind: str) -> bool:
    """Whether the kernel's type of a file system says that a program serves it."""
    return kind in ("fuse", "fuseblk") or kind.startswith("fuse.")


def name_file_system(kind: str, device: str) -> str:
    """The name of a mounted file system, from the kernel's type and the device or image that it lies on (or "")."""
    if is_fuse(kind) or kind in ("vfat", "msdos"):  # vfat is FAT12, FAT16 or FAT32
        name = _name_by_udev(device) or _name_by_content(device)
        if name:
            return name
    kind = kind.partition("fuse.")[2] or kind
    return _NAMES.get(kind, kind)


def _name_by_udev(device: str) -> str:
    try:
        state = os.stat(device)
        number = f"b{os.major(state.st_rdev)}:{os.minor(state.st_rdev)}"
        lines = (_UDEV / number).read_text(errors="replace").splitlines() if stat.S_ISBLK(state.st_mode) else []
    except OSError:
        return ""  # no udev here, as in a container
    values = dict(line[2:].partition("=")[::2] for line in lines if line.startswith("E:"))
    kind, version = values.get("ID_FS_TYPE", ""), values.get("ID_FS_VERSION", "")
    return version if version.startswith("FAT") else _NAMES.get(kind, kind)


def _name_by_content(device: str) -> str:
    try:
        with open(device, "rb", buffering=0) as file:
            head = file.read(_HEAD_BYTES) or b""
    except OSError:
        return ""  # a plain user may not read the device
    if head[3:11] in (b"EXFAT   ", b"NTFS    "):
        return _NAMES[head[3:11].decode().strip().lower()]
    if head[_FAT32 : _FAT32 + 5] == b"FAT32":
        return "FAT32"
    if head[_FAT16 : _FAT16 + 3] == b"FAT":
        return head[_FAT16 : _FAT16 + 5].decode(errors="replace").strip()
    return "ext4" if head[_EXT_MAGIC : _EXT_MAGIC + 2] == b"\x53\xef" else ""
