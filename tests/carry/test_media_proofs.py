"""Real media that are cut off while a shipment is written: what lay there opens, and the same pack goes on."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.audit import MEDIUM_FOLDER
from core.carry import medium_check, pack, signing, unpack
from core.carry.console_files import console_files
from core.carry.incoming import Incoming
from core.carry.medium_contents import describe_shipments
from core.carry.opened_shipment import open_shipment
from core.carry.shipment import SHIPMENTS, SIGNATURE, UNFINISHED
from core.carry.trust_store import add_signer
from core.errors import XaivaError
from core.files import sha256_bytes
from core.site import Site
from tests.carry.conftest import empty_site
from tests.support.artifacts import RecordingProgress, write_preset
from tests.support.console_medium import small_checkout
from tests.support.cut_pack import ITSELF, run_pack
from tests.support.media import EXFAT, FAT32, MEBI, FileSystem, StickMedium, medium_of
from tests.support.proofs import full
from tests.support.shipments import tree

BEHIND_FUSE = pytest.mark.parametrize("kind", [EXFAT, FAT32], ids=lambda kind: kind.name)
CUTS = 10 if full("carry") else 1  # killed, and as many times pulled out
SIZE = 96 * MEBI


@dataclass
class Bench:
    """An office whose first shipment lies on a medium, and which packs a second one."""

    office: Site
    stick: StickMedium
    first: str
    folder: Path

    def __post_init__(self) -> None:
        self._before = self.folder / "before"
        self._numbers = itertools.count()
        self.stick.unmount()
        shutil.copyfile(self.stick.backing, self._before)
        self.stick.remount()

    def restore(self) -> None:
        """The medium as it was with the first shipment alone."""
        self.stick.unmount()
        shutil.copyfile(self._before, self.stick.backing)
        self.stick.remount()

    def site(self) -> Site:
        """An empty site that trusts the office."""
        site = empty_site(self.folder / f"site-{next(self._numbers)}")
        add_signer(site, signing.public_key(self.office))
        return site

    def check_cut(self, *, complete: bool) -> None:
        """A shipment opens, the new one if its pack said so, and no file with a final name is short or wrong."""
        opened = open_shipment(self.site(), self.stick.mount)
        assert opened.manifest.presets == ["second"] or (opened.manifest.shipment == self.first and not complete)
        for path in (self.stick.mount / "blobs").rglob("*"):
            if path.is_file() and not path.name.endswith(UNFINISHED):
                assert sha256_bytes(path.read_bytes()) == path.name
        for path in (self.stick.mount / SHIPMENTS).rglob("*.json"):
            json.loads(path.read_bytes())

    def check_complete(self) -> None:
        """What a site unpacks is what the office has, and nothing is left of the cut."""
        site = self.site()
        assert describe_shipments(site, self.stick.mount).shipments[0].state == "signed by a trusted key"
        unpack.run(site, f"{self.stick.mount}", {}, RecordingProgress())
        expected = {path: data for path, data in tree(self.office.root).items() if "first" not in path}
        assert tree(site.root) == expected
        assert not [path for path in self.stick.mount.rglob("*") if path.name.endswith(UNFINISHED)]
        assert all((path / SIGNATURE).exists() for path in (self.stick.mount / SHIPMENTS).iterdir())


@pytest.fixture
def bench(office: Site, kind: FileSystem, tmp_path: Path) -> Iterator[Bench]:
    write_preset(office, "first")
    write_preset(office, "second", count=12, size=200_000)
    with medium_of(kind, tmp_path / "stick", SIZE) as stick:
        status, output = run_pack(office, stick.mount, "first")
        assert status == 0, output
        [first] = [path.name for path in (stick.mount / SHIPMENTS).iterdir()]
        yield Bench(office, stick, first, tmp_path)


@BEHIND_FUSE
@pytest.mark.proof("carry")
@pytest.mark.parametrize("pulled", [False, True], ids=["killed", "pulled-out"])
def test_cut_off_anywhere_nothing_is_spoiled_and_it_goes_on(bench: Bench, pulled: bool) -> None:
    """Pulled out, the medium also loses every byte that was not made durable."""
    status, steps = run_pack(bench.office, bench.stick.mount, "second")
    assert status == 0, steps
    for at in random.Random(f"{bench.stick.kind.name} {pulled}").sample(range(1, int(steps)), CUTS):
        bench.restore()
        status, output = run_pack(
            bench.office, bench.stick.mount, "second", at, bench.stick.fuse_process() if pulled else ITSELF
        )
        if pulled:
            assert status == 0 or "goes on" in output, f"step {at}: {output}"
            bench.stick.pull_out()
        else:
            assert status == -signal.SIGKILL
            bench.stick.unmount()
        bench.stick.remount()
        bench.check_cut(complete=status == 0)
        status, output = run_pack(bench.office, bench.stick.mount, "second")
        assert status == 0, f"after step {at}: {output}"
        bench.check_complete()


def test_a_flipped_bit_is_found_and_the_file_is_named(
    office: Site, there: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every file of a whole medium: artifacts, presets, the console's, documents, signature, top folder.

    Only the audit log is not signed, because everybody adds to it.
    """
    checkout = small_checkout(tmp_path / "checkout")
    monkeypatch.setattr("core.carry.preparation.console_files", lambda site: console_files(site, checkout))
    write_preset(office, "first", count=2)
    with medium_of(EXFAT, tmp_path / "stick", 200 * MEBI) as stick:
        pack.run(office, f"{stick.mount}", {"presets": ["first"]}, RecordingProgress())
        assert medium_check.run(there, f"{stick.mount}", {}, RecordingProgress())
        signed = (path for path in stick.mount.rglob("*") if path.parent.name != MEDIUM_FOLDER)
        paths = sorted(path for path in signed if path.is_file() and path.stat().st_size)
        assert {"console.list", "index.json", "manifest.sig", "xaiva", "SHA256SUMS"} < {path.name for path in paths}
        for number, path in enumerate(paths):
            position, bit = path.stat().st_size // 2, 1 << number % 8
            flip(path, position, bit)
            with pytest.raises(XaivaError) as raised:
                medium_check.run(there, f"{stick.mount}", {}, RecordingProgress())
            assert path.name in f"{raised.value}", f"bit {bit} of byte {position}"
            flip(path, position, bit)
        assert medium_check.run(there, f"{stick.mount}", {}, RecordingProgress())


def flip(path: Path, position: int, bit: int) -> None:
    with path.open("r+b", buffering=0) as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ bit]))


@pytest.mark.parametrize("late", [False, True], ids=["before", "while it copies"])
def test_a_medium_that_is_pulled_out_of_an_unpack_is_gone(
    office: Site, there: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    write_preset(office, "first")
    with medium_of(EXFAT, tmp_path / "stick", SIZE) as stick:
        assert run_pack(office, stick.mount, "first")[0] == 0
        if late:
            copy = Incoming.copy
            monkeypatch.setattr(Incoming, "copy", lambda *arguments: stick.kill() or copy(*arguments))  # type: ignore[func-returns-value]
        else:
            stick.kill()
        with pytest.raises(XaivaError, match="the program that serves its file system has ended") as raised:
            unpack.run(there, f"{stick.mount}", {}, RecordingProgress())
        assert "goes on" in raised.value.remedy
        assert tree(there.root) == {}
        stick.detach()
        stick.remount()
        monkeypatch.undo()
        unpack.run(there, f"{stick.mount}", {}, RecordingProgress())
        assert tree(there.root) == tree(office.root)
