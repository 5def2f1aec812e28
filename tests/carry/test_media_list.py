"""The list of media: real sticks, what they hold, and one that hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.carry import media_list
from core.carry.media_list import NO_ANSWER, ListedMedium, MediaLister, mounted_media
from core.carry.mounts import Mount
from core.carry.signing import create_key, public_key
from core.carry.trust_store import add_signer, revoke_signer
from core.site import Site
from tests.support import until
from tests.support.media import EXFAT, FAT32, MEBI, StickMedium, medium_of
from tests.support.shipments import HandMade


def listed(lister: MediaLister, path: Path) -> ListedMedium:
    return next(medium for medium in lister.list() if medium.path == f"{path}")


@contextmanager
def hanging(stick: StickMedium) -> Iterator[None]:
    """Every access to the stick waits."""
    process = until(stick.fuse_process)  # it is 0 for a moment now and then, which would stop the tests themselves
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_a_stick_is_listed_with_what_it_holds(there: Site, shipment: HandMade, tmp_path: Path) -> None:
    lister = MediaLister(there)
    with medium_of(EXFAT, tmp_path / "stick") as stick:
        empty = listed(lister, stick.mount)
        assert empty.file_system == "exFAT"
        assert empty.contents is not None
        assert empty.contents.shipments == []
        shipment.write(stick.mount)
        full = listed(lister, stick.mount)
        assert full.contents is not None
        assert [summary.signer for summary in full.contents.shipments] == [public_key(shipment.office).fingerprint]
        (tmp_path / "other").mkdir()
        add_signer(there, create_key(Site.open(tmp_path / "other")))
        revoke_signer(there, public_key(shipment.office).fingerprint, "a test")
        revoked = listed(lister, stick.mount)
        assert revoked.contents is not None
        assert "cannot be used" in revoked.contents.shipments[0].state
        (stick.mount / "more").write_bytes(bytes(8 * MEBI))
        smaller = listed(lister, stick.mount)
        assert smaller.contents is not None
        assert (smaller.contents.free_bytes or 0) <= (full.contents.free_bytes or 0) - 8 * MEBI
    assert f"{stick.mount}" not in [medium.path for medium in lister.list()]


def test_a_stick_whose_free_space_nobody_knows(there: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As older programs that serve FAT: every number is 0."""
    space = os.statvfs(tmp_path)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*space[:2], 0, 0, 0, *space[5:])))
    with medium_of(FAT32, tmp_path / "stick") as stick:
        lister = MediaLister(there)
        for _ in range(2):  # also when nothing has changed
            medium = listed(lister, stick.mount)
            assert (medium.file_system, medium.problem) == ("FAT32", "")
            assert medium.contents is not None
            assert medium.contents.free_bytes is None


def test_a_stick_that_hangs_holds_nobody_up(there: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_list, "DEADLINE_SECONDS", 0.3)
    lister = MediaLister(there)
    (tmp_path / "folder").mkdir()
    lister.named = (f"{tmp_path}/folder",)
    with medium_of(EXFAT, tmp_path / "stick") as stick:
        with hanging(stick):
            assert listed(lister, stick.mount).problem == NO_ANSWER
            assert listed(lister, tmp_path / "folder").problem == ""
        monkeypatch.setattr(media_list, "DEADLINE_SECONDS", 30.0)
        lister.list()  # ends the look that hung
        assert listed(lister, stick.mount).problem == ""


def test_named_folders(there: Site, tmp_path: Path) -> None:
    lister = MediaLister(there)
    lister.named = (f"{tmp_path}", f"{tmp_path}/none", "ssh://edge-7/srv")
    folder, missing, remote = lister.list()[-3:]
    assert folder.contents is not None
    assert (missing.contents, "there is no such folder" in missing.problem) == (None, True)
    assert missing.remedy
    assert (remote.is_remote, remote.problem) == (True, "")


@pytest.mark.parametrize(
    ("mount", "is_medium"),
    [
        (Mount(Path("/media/a"), "exfat", "/dev/sdb1", "8:17"), True),
        (Mount(Path("/media/a"), "fuseblk", "/dev/sdb1", "0:90"), True),
        (Mount(Path("/boot/efi"), "vfat", "/dev/nvme0n1p1", "259:1"), False),
        (Mount(Path("/data"), "ext4", "/dev/nvme0n1p2", "0:0"), False),
        (Mount(Path("/run/user/0/gvfs"), "fuse.gvfsd-fuse", "gvfsd-fuse", "0:91"), False),
    ],
)
def test_what_is_a_medium(mount: Mount, is_medium: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Mount(Path("/"), "ext4", "/dev/nvme0n1p3", "259:3")
    again = mount._replace(mount_point=mount.mount_point / "again")
    own = Mount(Path("/media/c"), "exfat", "/dev/nvme0n1p3", "259:3")  # the system's own, once more
    monkeypatch.setattr(media_list, "read_mounts", lambda: iter([root, again, mount, own]))
    assert mounted_media() == ([mount] if is_medium else [])
