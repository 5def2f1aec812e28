"""Lists the media of this machine: what is plugged in, and folders that a person named. No caller waits for one."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from core.carry.file_system_names import is_fuse, name_file_system
from core.carry.medium_contents import MediumContents, describe_shipments
from core.carry.medium_info import describe_medium, free_bytes
from core.carry.mounts import Mount, read_mounts
from core.carry.opened_shipment import shipment_ids
from core.carry.shipment import INDEX, MANIFEST, SHIPMENTS, SIGNATURE
from core.carry.trust_store import trust_folder
from core.errors import XaivaError, os_reason
from core.site import Site

DEADLINE_SECONDS = 2.0  # for all media together
NO_ANSWER = "it does not answer"
_OF_STICKS = frozenset(("exfat", "vfat", "msdos", "ntfs", "ntfs3", "hfsplus", "udf"))
# Programs that serve something else than a medium: a desktop, containers, packages, another machine's files.
_NOT_MEDIA = ("fuse.gvfsd-fuse", "fuse.portal", "fuse.lxcfs", "fuse.fuse-overlayfs", "fuse.snapfuse", "fuse.squashfuse")
_SYSTEM_FOLDERS = ("/boot", "/efi", "/proc", "/sys", "/dev", "/snap")


@dataclass(frozen=True)
class ListedMedium:
    """A medium, and what was learnt about it so far."""

    path: str
    """Where it is mounted, the folder that a person named, or `ssh://…`."""
    file_system: str
    """As a person knows it; as the kernel names it while the medium does not answer; empty when it is not known."""
    contents: MediumContents | None = None
    """None when nothing has been learnt yet."""
    problem: str = ""
    """Why nothing is known now, in words; `contents` is what was known before, if anything was."""
    remedy: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether it is a folder of another machine, into which only a pack looks."""
        return "://" in self.path


class MediaLister:
    """Lists media again and again. One that hangs keeps its own thread busy and nobody else."""

    def __init__(self, site: Site) -> None:
        self.named: tuple[str, ...] = ()
        """Folders and `ssh://…` to list besides what is mounted."""
        self._site = site
        self._looks: dict[str, _Look] = {}
        self._described: dict[str, tuple[object, ListedMedium]] = {}

    def list(self) -> list[ListedMedium]:
        """Every medium, the named ones last. Waits at most DEADLINE_SECONDS. For one thread."""
        listed = {f"{mount.mount_point}": name_file_system(mount.kind, "") for mount in mounted_media()}
        listed |= {name: "ssh" if "://" in name else "" for name in self.named if name not in listed}
        for path in [path for path, look in self._looks.items() if path not in listed and look.is_over]:
            del self._looks[path]
            self._described.pop(path, None)
        deadline = time.monotonic() + DEADLINE_SECONDS
        for path in listed:
            if "://" not in path and (path not in self._looks or self._looks[path].is_over):
                self._looks[path] = _Look(self, path)
        return [self._answer(path, file_system, deadline) for path, file_system in listed.items()]

    def _answer(self, path: str, file_system: str, deadline: float) -> ListedMedium:
        if "://" in path:
            return ListedMedium(path, file_system)
        look = self._looks[path]
        if not look.wait(deadline - time.monotonic()):
            _, before = self._described.get(path, (None, ListedMedium(path, file_system)))
            return replace(before, problem=NO_ANSWER)
        if look.problem is not None:
            return ListedMedium(path, file_system, None, look.problem.summary, look.problem.remedy)
        return self._described[path][1]

    def look(self, path: str) -> None:
        """Look at a medium, which may hang. Nothing signed is verified again as long as its files are the same."""
        folder = Path(path)
        if not folder.is_dir():
            describe_medium(folder)  # which says what is wrong with it
        marks = _marks(self._site, folder)
        if path in self._described and self._described[path][0] == marks:
            before, free = self._described[path][1].contents, free_bytes(os.statvfs(folder))
            contents = before.model_copy(update={"free_bytes": free}) if before else None
        else:
            contents = describe_shipments(self._site, folder)
        self._described[path] = marks, ListedMedium(path, contents.file_system if contents else "", contents)


class _Look:
    """One look at one medium, in a thread of its own."""

    def __init__(self, lister: MediaLister, path: str) -> None:
        self.problem: XaivaError | None = None
        self._done = threading.Event()
        threading.Thread(target=self._run, args=(lister, path), name=f"medium-{path}", daemon=True).start()

    def _run(self, lister: MediaLister, path: str) -> None:
        try:
            lister.look(path)
        except XaivaError as error:
            self.problem = error
        except OSError as error:
            self.problem = XaivaError(f"Medium {path}", os_reason(error))
        finally:
            self._done.set()

    @property
    def is_over(self) -> bool:
        return self._done.is_set()

    def wait(self, seconds: float) -> bool:
        """Whether it is over within that time."""
        return self._done.wait(max(seconds, 0))


def mounted_media() -> list[Mount]:
    """Mounts of what a person can plug in: the file systems of sticks, FUSE, and removable or USB disks.

    Each file system is listed once. Touches no medium.
    """
    mounts = list(read_mounts())
    own = {mount.number for mount in mounts if mount.mount_point == Path("/")}
    by_number: dict[str, Mount] = {}
    for mount in mounts:
        if mount.number in own or not _is_medium(mount):
            continue
        other = by_number.get(mount.number)
        if other is None or len(f"{mount.mount_point}") < len(f"{other.mount_point}"):
            by_number[mount.number] = mount
    return sorted(by_number.values())


def _is_medium(mount: Mount) -> bool:
    path = f"{mount.mount_point}"
    if mount.kind in _NOT_MEDIA or any(path == top or path.startswith(f"{top}/") for top in _SYSTEM_FOLDERS):
        return False
    return is_fuse(mount.kind) or mount.kind in _OF_STICKS or _is_pluggable(mount.number)


def _is_pluggable(number: str) -> bool:
    """Whether the kernel says that the disk can be taken out, or that it hangs on USB."""
    device = Path(os.path.realpath(f"/sys/dev/block/{number}"))
    if "/usb" in f"{device}":
        return True
    for folder in (device, device.parent):  # of a partition, its disk knows
        with suppress(OSError):
            return (folder / "removable").read_text().strip() == "1"
    return False


def _marks(site: Site, medium: Path) -> object:
    """What changes when another medium is there, and when its shipments or the keys that the site trusts do."""
    names = (MANIFEST, SIGNATURE, INDEX)
    paths = [medium / SHIPMENTS / shipment / name for shipment in shipment_ids(medium) for name in names]
    trusted = trust_folder(site)
    with suppress(OSError):
        paths += sorted(trusted.iterdir())
    return os.statvfs(medium).f_blocks, os.stat(medium).st_dev, [_mark(path) for path in paths]


def _mark(path: Path) -> tuple[str, int, int]:
    try:
        status = os.lstat(path)
    except OSError:
        return f"{path}", 0, 0
    return f"{path}", status.st_size, status.st_mtime_ns
