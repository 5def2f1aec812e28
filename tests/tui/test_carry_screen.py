"""The Carry screen: real folders as media, a real key, real operations; and whether a medium may be pulled out."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from core.artifacts.generated_files import generated_files
from core.carry import pack, signing
from core.carry.medium_check import FROM_MEDIUM
from core.carry.opened_shipment import open_shipment
from core.carry.removal import judge_removal
from core.carry.trust_store import read_trust
from core.files import write_atomic
from core.operations.model import OperationState
from core.progress import NullProgress, Stage, StageState
from core.site import Site
from core.site_operations import site_ledger
from tests.support import require
from tests.support.artifacts import locked, random_file, write_lock_of
from tests.support.shipments import HandMade, small_files
from tests.tui import sample
from tests.tui.sample_site import operation
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.formatters import carry as carry_format
from tui.formatters.cells import plain_text
from tui.navigation import SCREENS
from tui.screens.base import ConsoleScreen
from tui.screens.confirm import Confirm
from tui.screens.name_medium import NameMedium
from tui.screens.pack import Pack
from tui.screens.read_medium import ReadMedium

NAME = "small"
PRESET = {"base_image": "debian:test", "python_version": "3.11", "inference_service": False}


@asynccontextmanager
async def carry_screen(site: Site, medium: Path | None, size: tuple[int, int] = (160, 45)) -> Any:
    """The screen, with the folder named as a medium."""
    app = XaivaApp(site)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.press(*SCREENS["carry"].keys)
        await shows(pilot, "newest shipment")
        if medium is not None:
            await pilot.press("a")
            await until(pilot, lambda: isinstance(app.screen, NameMedium))
            app.screen.query_one(Input).value = str(medium)
            await pilot.press("enter")
            await until(pilot, lambda: not isinstance(app.screen, NameMedium))
            await shows(pilot, "nothing was done with it here")
        yield pilot


@pytest.fixture
def office(bare_site: Site) -> Site:
    """A site with a preset that is locked and synced; no key."""
    require(shutil.which("ssh-keygen"), "ssh-keygen")
    folder = bare_site.artifacts / NAME
    wheel = random_file(folder / "layers/common/wheels/w-1.0-py3-none-any.whl", 50_000, 1)
    lock = write_lock_of(bare_site, NAME, [locked(wheel, "file:x")])
    for path, data in generated_files(lock).items():
        write_atomic(folder / path, data)
    (bare_site.presets / f"{NAME}.json").write_text(json.dumps(PRESET))
    return bare_site


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    (tmp_path / "medium").mkdir()
    return tmp_path / "medium"


@pytest.fixture
def packed(tmp_path: Path, medium: Path) -> tuple[Path, str]:
    """A medium of another office, and the fingerprint on its paper."""
    require(shutil.which("ssh-keygen"), "ssh-keygen")
    (tmp_path / "office").mkdir()
    other = Site.open(tmp_path / "office")
    signing.create_key(other)
    HandMade(other, small_files(alpha=b"alpha" * 1000)).write(medium)
    return medium, signing.fingerprint(other)


async def test_a_key_then_a_pack_then_a_check(office: Site, medium: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pack runs here, without a console on the medium: that needs wheels, which tests/carry has."""
    monkeypatch.setattr("core.carry.preparation.console_files", lambda _site: [])
    packs: list[dict[str, Any]] = []
    begin = ConsoleScreen.begin_operation

    def begin_operation(screen: ConsoleScreen, kind: str, subject: str, options: dict[str, Any], key: str) -> None:
        if kind != "pack":
            begin(screen, kind, subject, options, key)
            return
        assert (subject, key) == (str(medium), f"medium:{medium}")
        pack.run(office, subject, options, NullProgress())
        packs.append(options)

    monkeypatch.setattr(ConsoleScreen, "begin_operation", begin_operation)
    async with carry_screen(office, medium) as pilot:
        await shows(pilot, "no key yet: c creates one")
        await pilot.press("p")
        await shows(pilot, "xaiva key create")  # the obstacle, with its remedy
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, Pack)
        await pilot.press("escape", "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: (office.state / "carry").exists())
        await shows(pilot, "key here    SHA256:")
        assert signing.fingerprint(office) in text(pilot)
        await pilot.press("p")
        await shows(pilot, "artifacts of small")
        await pilot.press("space")
        await shows(pilot, "tick a preset")
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, Pack)
        await pilot.press("space")
        await shows(pilot, "presets and settings")
        await pilot.press("enter")
        await until(pilot, lambda: packs == [{"presets": [NAME], "images": False}])
        await shows(pilot, "✓ signed by a trusted key")
        await pilot.press("v")
        await shows(pilot, "are read in full")
        await pilot.press("y")
        await until(pilot, lambda: [operation.state.live for operation in site_ledger(office).list()] == [False])
        operation = site_ledger(office).list()[0]
        assert (operation.kind, operation.key) == ("check", f"medium:{medium}")
        is_proven = (operation.result or {})["read_back"] == FROM_MEDIUM
        await shows(pilot, "✓ SAFE TO REMOVE" if is_proven else "! NOT PROVEN")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.current_mode == "operations")


async def test_the_first_unpack_asks_for_what_only_the_paper_says(bare_site: Site, packed: tuple[Path, str]) -> None:
    medium, fingerprint = packed
    async with carry_screen(bare_site, medium) as pilot:
        await shows(pilot, "this site trusts no key yet")
        await pilot.press("u")
        await until(pilot, lambda: isinstance(pilot.app.screen, ReadMedium))
        await shows(pilot, "type the last block from the paper")
        first_blocks = " ".join(re.findall("....", fingerprint.removeprefix("SHA256:")))
        said = pilot.app.screen.query_one("#said").text
        assert f"SHA256: {first_blocks} …" in said
        assert fingerprint not in said
        await pilot.press(*"abc", "enter")
        await shows(pilot, "it is not the last block")
        assert not read_trust(bare_site).signers
        pilot.app.screen.query_one(Input).value = fingerprint[-3:]
        await pilot.press("enter")
        await shows(pilot, "new      presets/small.json")
        assert [signer.fingerprint for signer in read_trust(bare_site).signers] == [fingerprint]
        assert not (bare_site.presets / "small.json").exists()
        await pilot.press("y")
        await until(pilot, lambda: (bare_site.presets / "small.json").exists())
        await shows(pilot, "✓ SAFE TO REMOVE")
        await shows(pilot, "nothing but a line of its audit log")
        await pilot.press("v")
        await shows(pilot, "are read in full")
        await pilot.press("escape", "u")
        await shows(pilot, "no file is new")
    assert site_ledger(bare_site).list()[0].key == "unpack"


async def test_a_damaged_medium_is_never_called_safe(bare_site: Site, packed: tuple[Path, str]) -> None:
    medium, fingerprint = packed
    open_shipment(bare_site, medium, trusted=fingerprint)
    blob = max((path for path in (medium / "blobs").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[7] ^= 1
    blob.write_bytes(data)
    async with carry_screen(bare_site, medium) as pilot:
        await shows(pilot, "✓ signed by a trusted key")
        await pilot.press("v")
        await shows(pilot, "are read in full")
        await pilot.press("y")
        await shows(pilot, "NOT PROVEN")
        await shows(pilot, "→ pack it again: that repairs it")
        assert "SAFE" not in text(pilot)


async def test_what_is_no_medium_says_so(bare_site: Site, tmp_path: Path) -> None:
    async with carry_screen(bare_site, None) as pilot:
        await pilot.press("a", *"/nowhere/stick", "enter")
        await shows(pilot, "→ mount the medium, and name the folder where it is mounted")
        await pilot.press("u")
        await shows(pilot, "there is no such folder")
        await pilot.press("escape", "a", *"ssh://nobody@nowhere/x", "enter")
        await shows(pilot, "looked at when you pack")
        await pilot.press("u")
        await shows(pilot, "another machine")


async def test_a_plan_that_does_not_fit_is_refused_with_numbers(bare_site: Site) -> None:
    plan = sample.pack_plan().model_copy(update={"needed_bytes": 64 << 30})
    app = XaivaApp(bare_site, parts=replace(sample.PARTS, pack_plan=lambda *_: plan))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(*SCREENS["carry"].keys)
        await shows(pilot, "SAFE TO REMOVE")
        await pilot.press("p")
        await shows(pilot, "needs 64.0 GiB of 46.0 GiB free: it does not fit")
        await shows(pilot, "free at least 18.0 GiB")
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Pack)


def test_unknown_free_space_never_reads_as_room() -> None:
    lines = carry_format.pack_preview(sample.pack_plan().model_copy(update={"free_bytes": None}), 80)
    assert plain_text(lines[0]).startswith("? needs 106 MiB; how much is free there is not known")


@pytest.mark.parametrize(
    ("done", "seconds", "words"),
    [
        (0, 60, ""),
        (500 << 20, 1, ""),  # too early to say
        (500 << 20, 50, "about 2 min left to write to the medium, at 10.0 MiB/s"),
    ],
)
def test_the_time_left_comes_from_the_bytes_so_far(done: int, seconds: int, words: str) -> None:
    finished = Stage(
        id="split", title="split", state=StageState.DONE, done=9, total=9, unit="bytes", started=1, ended=2
    )
    running = Stage(id="write", title="write to the medium", state=StageState.RUNNING, done=done, total=2000 << 20)
    stages = [finished, running.model_copy(update={"unit": "bytes", "started": 1000.0})]
    assert carry_format.time_left(stages, 1000.0 + seconds) == words


def test_an_operation_in_work_shows_its_stages_and_forbids_to_remove_it() -> None:
    medium = sample.media().media[0]
    live = operation(9, "pack", medium.path, OperationState.RUNNING, 0)
    removal = judge_removal([live], medium.contents)
    lines = carry_format.detail(medium, sample.media(), removal, live, sample.stages(), sample.NOON, 100)
    words = "\n".join(plain_text(line) for line in lines)
    assert "! DO NOT REMOVE\npack, operation 9, is using it" in words
    assert "512 MiB of 821 MiB" in words
    assert "SAFE" not in words
    assert "▶ pack, operation 9" in plain_text(carry_format.row(medium, live)[-1])
