"""Real media that get full while a shipment is written: said with numbers, nothing is spoiled, and it goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.carry import pack, signing, unpack
from core.carry.medium import Medium
from core.carry.opened_shipment import open_shipment
from core.carry.shipment import BLOBS, SHIPMENTS
from core.carry.trust_store import add_signer
from core.cli.carry import print_plan
from core.errors import XaivaError
from core.site import Site
from tests.carry.conftest import empty_site
from tests.support.artifacts import RecordingProgress, write_preset
from tests.support.disks import fill
from tests.support.media import EXFAT, FAT32, MEBI, FileSystem, StickMedium, medium_of
from tests.support.shipments import tree

SMALL = 40 * MEBI  # FAT32 has no much smaller ones


@pytest.fixture
def stick(kind: FileSystem, tmp_path: Path) -> Iterator[StickMedium]:
    with medium_of(kind, tmp_path / "stick", SMALL) as medium:
        yield medium


@pytest.fixture(autouse=True)
def _no_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.carry.preparation.console_files", lambda _site: [])


def pack_onto(stick: StickMedium, office: Site, preset: str) -> str:
    result = pack.run(office, f"{stick.mount}", {"presets": [preset]}, RecordingProgress())
    return str(result["shipment"])


def filling(real: Callable[..., Any], stick: StickMedium, fits: Callable[[str], bool]) -> Callable[..., Any]:
    """The method of a medium, which fills it before the first path that `fits`."""

    def method(medium: Medium, path: str, *arguments: Any) -> Any:
        if fits(path) and not (stick.mount / "hog").exists():
            (stick.mount / path).parent.mkdir(
                parents=True, exist_ok=True
            )  # fusefat makes unusable ones when it is full
            fill(stick.mount)
        return real(medium, path, *arguments)

    return method


STAGES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "blobs": ("put", lambda path: path.startswith(BLOBS)),
    "documents": ("write_small", lambda path: path.startswith(SHIPMENTS)),
    "top folder": ("write_small", lambda path: path in ("xaiva", "START-HERE.txt")),
}


@pytest.mark.parametrize("kind", [EXFAT, FAT32], ids=lambda kind: kind.name)
@pytest.mark.parametrize("stage", STAGES)
def test_full_at_any_stage(
    stick: StickMedium, stage: str, office: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_preset(office, "first")
    write_preset(office, "second", count=12, size=200_000)
    first = pack_onto(stick, office, "first")
    name, fits = STAGES[stage]
    with monkeypatch.context() as patch:
        patch.setattr(Medium, name, filling(getattr(Medium, name), stick, fits))
        with pytest.raises(XaivaError) as raised:
            pack_onto(stick, office, "second")
    numbers = "is full: .* are free" if stick.kind is EXFAT else "full"
    assert raised.match(numbers)
    assert "goes on" in raised.value.remedy
    stick.unmount()
    stick.remount()
    there = empty_site(tmp_path / "there")
    add_signer(there, signing.public_key(office))
    assert open_shipment(there, stick.mount).manifest.shipment == first
    (stick.mount / "hog").unlink()
    second = pack_onto(stick, office, "second")
    stick.unmount()
    stick.remount()
    result = unpack.run(there, f"{stick.mount}", {}, RecordingProgress())
    assert result["shipment"] == second
    assert tree(there.root) == {path: data for path, data in tree(office.root).items() if "first" not in path}


@pytest.mark.parametrize("kind", [EXFAT], ids=lambda kind: kind.name)
def test_full_before_it_begins(stick: StickMedium, office: Site) -> None:
    write_preset(office, "first")
    hog = fill(stick.mount)
    os.truncate(hog, hog.stat().st_size - 2_000_000)
    with pytest.raises(XaivaError, match=r"1\d MB are needed, 2 MB are free"):
        pack_onto(stick, office, "first")
    assert [path.name for path in stick.mount.iterdir()] == ["hog"]


@pytest.mark.parametrize("kind", [FAT32], ids=lambda kind: kind.name)
def test_a_plan_for_a_medium_that_does_not_say_what_is_free(
    stick: StickMedium, office: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    write_preset(office, "first")
    plan = pack.plan_pack(office, f"{stick.mount}", {"presets": ["first"]})
    assert (plan.free_bytes, plan.fits) == (None, True)
    print_plan(plan)
    assert "MiB of an unknown amount free" in capsys.readouterr().out
