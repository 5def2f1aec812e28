"""Pack: what lies on the medium, the second shipment, interruptions, damage, secrets, and media that are too small."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.carry import medium_check, pack, signing
from core.carry.medium import Medium
from core.carry.opened_shipment import open_shipment, shipment_ids
from core.carry.secret_scan import SecretFound
from core.carry.shipment import MANIFEST, SHIPMENTS, SIGNATURE, UNFINISHED, blob_path
from core.errors import Cancelled, ChecksFailed, InputError, XaivaError
from core.files import sha256_bytes
from core.site import Site
from tests.carry.conftest import Unpack
from tests.support.artifacts import SMALL_PRESET, RecordingProgress, locked, write_lock_of, write_preset
from tests.support.shipments import tree

NAME = "small"
Pack = Callable[..., dict[str, object]]


@pytest.fixture(autouse=True)
def _no_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the console out: tests/carry/test_first_install.py has it."""
    monkeypatch.setattr("core.carry.preparation.console_files", lambda _site: [])


@pytest.fixture
def run_pack(office: Site, medium: Path) -> Pack:
    """Pack the preset onto the medium."""
    write_preset(office, NAME)

    def run(progress: RecordingProgress | None = None, **options: object) -> dict[str, object]:
        return dict(pack.run(office, str(medium), {"presets": [NAME], **options}, progress or RecordingProgress()))  # type: ignore[arg-type,dict-item]

    return run


def blobs(medium: Path) -> set[str]:
    return {path.name for path in (medium / "blobs").rglob("*") if path.is_file()}


def test_the_site_gets_what_the_office_has(
    office: Site, there: Site, medium: Path, run_pack: Pack, run_unpack: Unpack
) -> None:
    result = run_pack()
    assert result["safe_to_remove"] is True
    assert result["signer"] == signing.fingerprint(office)
    run_unpack()
    assert tree(there.root) == tree(office.root)


def test_the_layout_is_valid_on_every_file_system(medium: Path, run_pack: Pack) -> None:
    """Plain names that no case folding merges, no links, and one content once."""
    run_pack()
    paths = [path.relative_to(medium).as_posix() for path in medium.rglob("*")]
    assert len({path.lower() for path in paths}) == len(paths)
    assert all(path.isascii() and ":" not in path for path in paths)
    assert not any(path.is_symlink() for path in medium.rglob("*"))
    assert all(sha256_bytes(path.read_bytes()) == path.name for path in (medium / "blobs").rglob("*") if path.is_file())


def test_sha256sum_checks_it_without_xaiva(medium: Path, run_pack: Pack) -> None:
    run_pack()
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=medium, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    listed = {line.split("  ")[1] for line in (medium / "SHA256SUMS").read_text().splitlines()}
    present = {path.relative_to(medium).as_posix() for path in medium.rglob("*") if path.is_file()}
    assert {path.split("/")[0] for path in present - listed} == {"SHA256SUMS", "audit"}


def test_a_second_shipment_writes_only_what_is_new(office: Site, there: Site, medium: Path, run_pack: Pack) -> None:
    first = run_pack()
    write_preset(office, "other", count=7)
    second = pack.run(office, str(medium), {"presets": [NAME, "other"]}, RecordingProgress())
    assert shipment_ids(medium) == sorted([str(first["shipment"]), str(second["shipment"])])
    assert 50_000 < int(str(second["written_bytes"])) < 60_000  # one wheel, a lock and a preset
    assert open_shipment(there, medium).manifest.previous == first["shipment"]


def test_a_long_file_is_stored_in_parts_and_joined(
    office: Site, there: Site, medium: Path, run_pack: Pack, run_unpack: Unpack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_parts = pack.with_parts
    monkeypatch.setattr(pack, "with_parts", lambda source, add: with_parts(source, add, 20_000))
    run_pack()
    assert max(path.stat().st_size for path in (medium / "blobs").rglob("*") if path.is_file()) <= 20_000
    run_unpack()
    assert tree(there.root) == tree(office.root)
    before = blobs(medium)
    assert run_pack()["written_bytes"] == 0  # its parts are known from the first shipment
    assert blobs(medium) == before


def test_an_interrupted_pack_goes_on_and_spoils_nothing(
    office: Site, there: Site, medium: Path, run_pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_pack()
    write_preset(office, "other", count=20, size=60_000)
    both = {"presets": [NAME, "other"]}
    progress = RecordingProgress()
    progress.stop_at = 500_000
    monkeypatch.setattr("core.progress.REPORT_SECONDS", -1.0)
    monkeypatch.setattr("core.carry.durable.BATCH_BYTES", 100_000)
    with pytest.raises(Cancelled):
        pack.run(office, str(medium), both, progress)
    waiting = [name for name in blobs(medium) if name.endswith(UNFINISHED)]
    assert waiting
    opened = open_shipment(there, medium)
    assert opened.manifest.shipment == first["shipment"]
    assert all("packing did not finish" in line for line in opened.ignored)
    written = RecordingProgress()
    pack.run(office, str(medium), both, written)
    assert not [name for name in blobs(medium) if name.endswith(UNFINISHED)]
    assert medium_check.run(there, str(medium), {}, RecordingProgress())["files"]


class PulledOut(XaivaError):
    pass


@pytest.mark.parametrize("method", ["put", "write_small", "finish", "remove", "sync", "flush", "check"])
def test_pulled_out_at_any_step_the_shipment_before_still_opens(
    office: Site, there: Site, medium: Path, run_pack: Pack, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Each call of a method of the medium fails once, as if it were pulled out then."""
    first = run_pack()
    write_preset(office, "other", count=3, size=70_000)
    both = {"presets": [NAME, "other"]}
    real = getattr(Medium, method)
    for number in range(40):
        calls = iter(range(1000))

        def pulled(self: Medium, *arguments: object, _calls: Iterator[int] = calls, _at: int = number) -> object:
            if next(_calls) == _at:
                raise PulledOut("the medium", "pulled out by the test")
            return real(self, *arguments)

        monkeypatch.setattr(Medium, method, pulled)
        result = None
        try:
            result = pack.run(office, str(medium), both, RecordingProgress())
        except PulledOut:
            pass
        monkeypatch.setattr(Medium, method, real)
        newest = open_shipment(there, medium).manifest
        if result:
            assert newest.shipment == result["shipment"]
            break
        assert newest.shipment == first["shipment"] or "other" in newest.presets
    assert number > 0


def test_damage_on_the_medium_is_repaired_by_the_next_pack(
    office: Site, there: Site, medium: Path, run_pack: Pack
) -> None:
    run_pack()
    damaged = next(path for path in (medium / "blobs").rglob("*") if path.is_file() and path.stat().st_size > 50_000)
    damaged.write_bytes(b"?" * damaged.stat().st_size)
    with pytest.raises(ChecksFailed, match=damaged.name):
        medium_check.run(there, str(medium), {}, RecordingProgress())
    progress = RecordingProgress()
    run_pack(progress)
    assert f"{blob_path(damaged.name)}: " in progress.text()
    assert medium_check.run(there, str(medium), {}, RecordingProgress())["files"]


def test_an_artifact_that_is_not_the_locked_one_is_refused(office: Site, medium: Path, run_pack: Pack) -> None:
    wheel = office.artifacts / NAME / "layers/common/wheels/w3-1.0-py3-none-any.whl"
    wheel.write_bytes(b"?" * wheel.stat().st_size)
    with pytest.raises(XaivaError, match="w3-1"):
        run_pack()
    assert not shipment_ids(medium)


@pytest.mark.parametrize("place", ["preset", "layer", "docker", "artifact"])
def test_a_secret_stops_the_pack_and_is_not_shown(
    office: Site, medium: Path, run_pack: Pack, tmp_path: Path, place: str
) -> None:
    secret = "correct-horse-7"
    (office.root / ".env").write_text(f"REGISTRY_TOKEN={secret}\n")
    office.reload()
    if place == "artifact":
        path = office.artifacts / NAME / "layers/common/wheels/w2-1.0-py3-none-any.whl"
        path.write_bytes(b"x" * 40_000 + secret.encode() + b"x" * 40_000)
        write_lock_of(office, NAME, [locked(path, "file:x")])
    elif place == "docker":
        path = office.docker / "Dockerfile.j2"
        path.write_text(f"RUN echo {secret}\n")
    elif place == "layer":
        path = office.presets / "layers.txt"
        path.write_text(f"# {secret}\nidna\n")
        layers = [{"name": "common", "file": "layers.txt"}]
        (office.presets / f"{NAME}.json").write_text(json.dumps({**SMALL_PRESET, "layers": layers}))
    else:
        path = office.presets / f"{NAME}.json"
        path.write_text(json.dumps({**SMALL_PRESET, "metadata": {"description": f"with {secret}"}}))
    with pytest.raises(SecretFound) as caught:
        run_pack()
    assert path.name in caught.value.what
    assert secret not in str(caught.value)
    assert not any(secret.encode() in path.read_bytes() for path in medium.rglob("*") if path.is_file())


def test_a_private_key_stops_the_pack(office: Site, run_pack: Pack) -> None:
    (office.docker / "id_ed25519").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n")
    with pytest.raises(SecretFound, match="id_ed25519"):
        run_pack()


def test_a_medium_that_is_too_small_is_refused_with_numbers_before_anything_is_written(
    medium: Path, run_pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Medium, "free_bytes", lambda _self: 1_000_000)
    with pytest.raises(XaivaError, match="1 MB are free"):
        run_pack()
    assert not list(medium.iterdir())


def test_without_a_key_nothing_is_read_or_written(there: Site, medium: Path) -> None:
    write_preset(there, NAME)
    with pytest.raises(XaivaError, match="key create"):
        pack.run(there, str(medium), {"presets": [NAME]}, RecordingProgress())
    assert not list(medium.iterdir())


def test_the_plan_says_what_is_new(office: Site, medium: Path, run_pack: Pack) -> None:
    write_preset(office, "other", count=7)
    both = {"presets": [NAME, "other"]}
    plan = pack.plan_pack(office, str(medium), both)
    groups = {group.name: group for group in plan.groups}
    assert groups["artifacts of small"].new_bytes > 300_000
    assert groups["artifacts of other"].new_bytes < 60_000 < groups["artifacts of other"].bytes
    assert (plan.present_bytes, plan.fits, plan.shipments) == (0, True, [])
    assert not list(medium.iterdir())
    packed = run_pack()
    plan = pack.plan_pack(office, str(medium), both)
    assert plan.present_bytes > 300_000
    assert plan.shipments == [packed["shipment"]]


def test_an_unknown_option_is_refused(office: Site, medium: Path) -> None:
    with pytest.raises(InputError, match="there is no such option"):
        pack.run(office, str(medium), {"preset": NAME}, RecordingProgress())


def test_the_commit_point_is_the_signature(there: Site, medium: Path, run_pack: Pack) -> None:
    """Without the signature's final name a shipment is unfinished, whatever else is complete."""
    first = run_pack()
    folder = medium / SHIPMENTS / str(first["shipment"])
    os.rename(folder / SIGNATURE, folder / f"{SIGNATURE}{UNFINISHED}")
    assert (folder / MANIFEST).exists()
    with pytest.raises(XaivaError, match="did not finish"):
        open_shipment(there, medium)
