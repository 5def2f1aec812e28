"""Sync against a loopback index that misbehaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.artifacts import sync, verify
from core.artifacts.download import THREAD_STOP_SECONDS
from core.artifacts.index_settings import CA_VARIABLES
from core.artifacts.lock_store import artifacts_folder, read_lock, write_lock
from core.artifacts.lockfile import FileKind, Unlocked
from core.artifacts.network import Network
from core.artifacts.partial_download import PIECE_BYTES, PartialDownload
from core.artifacts.remote_metadata import SourceUnreachable, with_size, with_sizes
from core.artifacts.verification_cache import VerificationCache
from core.errors import Cancelled, ChecksFailed, XaivaError
from core.files import disk_error
from core.progress import NullProgress, StageState
from core.site import Site, SyncSettings
from tests.support import require
from tests.support.artifacts import QUICK, RecordingProgress, locked, random_file, with_settings, write_lock_of
from tests.support.index import Fault, Index, serve
from tests.support.receivers import certificate

NAME = "p"
SMALL = 300_000
LARGE = 3 * PIECE_BYTES + 12345


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    files = tmp_path / "served"
    files.mkdir()
    with serve(files) as running:
        yield running


@pytest.fixture
def quick(site: Site) -> Site:
    return with_settings(site)


def lock_files(site: Site, index: Index, sizes: dict[str, int]) -> list[Path]:
    """Serve files of these sizes and lock them; returns their paths in the artifacts."""
    paths = [random_file(index.folder / name, size, at) for at, (name, size) in enumerate(sizes.items())]
    files = [locked(path, index.file_url(path.name)) for path in paths]
    write_lock_of(site, NAME, files)
    return [file.under(artifacts_folder(site, NAME)) for file in files]


def run(site: Site, progress: RecordingProgress | None = None) -> dict[str, object]:
    return dict(sync.run(site, NAME, {}, progress or RecordingProgress()))


def no_temporaries(site: Site) -> bool:
    names = [path.name for path in artifacts_folder(site, NAME).rglob("*")]
    return not [name for name in names if name.startswith(".xaiva-tmp-") or name == ".partial"]


def test_brings_all_files_and_then_nothing(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": LARGE, "c-1.whl": 1})
    outcome = run(quick)
    assert outcome["fetched_bytes"] == SMALL + LARGE + 1
    assert [path.read_bytes() for path in paths] == [(index.folder / path.name).read_bytes() for path in paths]
    assert (
        (artifacts_folder(quick, NAME) / "layers/common/requirements.txt")
        .read_text()
        .startswith("a==1.0 --hash=sha256:")
    )
    assert verify.verify(quick, NAME) == []
    assert no_temporaries(quick)
    before = len(index.requests)
    assert run(quick)["fetched_bytes"] == 0
    assert len(index.requests) == before


def test_a_sync_of_a_lock_that_lacks_something_says_so_at_its_end(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL})
    assert run(quick)["findings"] == []
    lacking = [Unlocked(what="base image debian:test", why="no registry", remedy="get it")]
    write_lock(quick, NAME, read_lock(quick, NAME).model_copy(update={"unlocked": lacking}))
    findings = run(quick)["findings"]
    assert isinstance(findings, list)
    assert [(finding["level"], finding["what"]) for finding in findings] == [("warning", "base image debian:test")]


def test_a_large_file_comes_over_several_connections(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"b-1.whl": LARGE})
    run(quick)
    ranges = {request.range for request in index.gets("b-1.whl")}
    assert len(ranges) == 4
    assert all(ranges)


def test_plan_changes_nothing_and_says_what_would_be(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": SMALL})
    random_file(paths[0], SMALL, 0)
    random_file(paths[0].with_name("stray.whl"), 10)
    plan = sync.plan(quick, NAME)
    assert (plan.files, plan.present_files, plan.fetch_files, plan.fetch_bytes) == (2, 1, 1, SMALL)
    assert plan.extra == ["layers/common/wheels/stray.whl"]
    assert plan.fits
    assert plan.seconds is None
    assert not paths[1].exists()
    assert index.requests == []
    run(quick)
    paths[1].unlink()
    assert sync.plan(quick, NAME).seconds is not None


def test_the_log_names_every_file_that_came(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": SMALL})
    progress = RecordingProgress()
    run(quick, progress)
    host = index.url.removeprefix("http://")
    lines = [f"layers/common/wheels/{path.name}: 0.3 MB from {host}" for path in paths]
    assert sorted(line for line in progress.lines if " from " in line) == sorted(lines)


def test_overall_and_per_file_progress(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"b-1.whl": LARGE})
    progress = RecordingProgress()
    run(quick, progress)
    overall = progress.stages["sync"]
    assert (overall.done, overall.total, overall.state) == (LARGE, LARGE, StageState.DONE)


@pytest.mark.parametrize("fault", [Fault(drop_after=100_000), Fault(status=503), Fault(stall_after=100_000)])
def test_faults_that_pass_are_overcome(quick: Site, index: Index, fault: Fault) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": LARGE})
    index.faults = {"a-1.whl": [fault, fault], "b-1.whl": [fault, fault]}
    run(quick)
    assert verify.verify(quick, NAME) == []


def test_a_dropped_connection_is_continued_not_begun_again(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL})
    index.faults = {"a-1.whl": [Fault(drop_after=200_000)]}
    run(quick)
    ranges = [request.range for request in index.gets("a-1.whl")]
    assert ranges[0] == ""
    assert 0 < int(ranges[1].removeprefix("bytes=").partition("-")[0]) <= 200_000


def test_a_server_without_ranges(quick: Site, index: Index) -> None:
    index.ranges = False
    lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": LARGE})
    index.faults = {"a-1.whl": [Fault(drop_after=1000)]}
    run(quick)
    assert verify.verify(quick, NAME) == []


def test_a_changed_etag_is_not_mixed_with_what_came_before(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL})
    good = (index.folder / "a-1.whl").read_bytes()
    (index.folder / "a-1.whl").write_bytes(b"x" * SMALL)
    progress = RecordingProgress()
    progress.stop_at = 1
    index.always = {"a-1.whl": Fault(stall_after=200_000)}
    with pytest.raises(Cancelled):
        run(with_settings(quick, QUICK.model_copy(update={"stall_seconds": 30})), progress)
    index.always = {}
    (index.folder / "a-1.whl").write_bytes(good)
    index.etags["a-1.whl"] = '"another"'
    run(quick)
    assert verify.verify(quick, NAME) == []


def test_a_server_whose_copies_differ_in_etag_and_break_off(quick: Site, index: Index) -> None:
    """A download that started over after a change resumes when its connection drops."""
    lock_files(quick, index, {"a-1.whl": SMALL})
    index.faults = {
        "a-1.whl": [Fault(drop_after=200_000), Fault(drop_after=100_000, etag='"two"'), Fault(etag='"two"')]
    }
    run(quick)
    assert verify.verify(quick, NAME) == []


def test_wrong_bytes_are_refused_and_named(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": SMALL})
    (index.folder / "a-1.whl").write_bytes(b"x" * SMALL)
    with pytest.raises(XaivaError, match=r"a-1\.whl.*SHA-256"):
        run(quick)
    assert not paths[0].exists()
    assert paths[1].exists()


def test_a_file_of_another_size_is_refused_before_it_is_fetched(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL})
    (index.folder / "a-1.whl").write_bytes(b"x" * 10)
    with pytest.raises(XaivaError, match="10 bytes instead of 300000"):
        run(quick)


def test_a_mirror_is_asked_first_and_its_failure_forgiven(quick: Site, index: Index, tmp_path: Path) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": SMALL})
    files = tmp_path / "mirror"
    files.mkdir()
    (files / "b-1.whl").write_bytes((index.folder / "b-1.whl").read_bytes())
    with serve(files) as mirror:
        settings = QUICK.model_copy(update={"mirrors": {index.url: mirror.url}})
        run(with_settings(quick, settings))
        assert len(mirror.gets("b-1.whl")) == 1
    assert index.gets("b-1.whl") == []
    assert len(index.gets("a-1.whl")) == 1
    assert verify.verify(quick, NAME) == []


def test_a_mirror_that_fails_in_the_middle_of_a_large_file(quick: Site, index: Index) -> None:
    """Several connections fail at once; the origin is still used, and only once."""
    lock_files(quick, index, {"b-1.whl": 8 * PIECE_BYTES})
    with serve(index.folder) as mirror:
        mirror.faults = {"b-1.whl": [Fault(), *[Fault(status=404)] * 7]}
        settings = QUICK.model_copy(update={"mirrors": {index.url: mirror.url}})
        run(with_settings(quick, settings))
    assert 8 <= len(index.gets("b-1.whl")) < 16  # a busy machine may ask twice for a piece; asked twice for all is 16
    assert verify.verify(quick, NAME) == []


def test_a_token_does_not_go_to_a_mirror(quick: Site, index: Index) -> None:
    path = random_file(index.folder / "a-1.whl", SMALL)
    write_lock_of(quick, NAME, [locked(path, index.file_url("a-1.whl"), token_variable="TOKEN")])
    with serve(index.folder) as mirror:
        mirror.always = {"a-1.whl": Fault(status=404)}
        settings = QUICK.model_copy(update={"mirrors": {index.url: mirror.url}})
        run(with_settings(quick, settings, TOKEN="secret-token"))
        assert [request.authorization for request in mirror.gets("a-1.whl")] == [""]
    assert index.gets("a-1.whl")[0].authorization


def test_credentials_go_to_their_host_only_and_into_no_log(quick: Site, index: Index, tmp_path: Path) -> None:
    path = random_file(index.folder / "a-1.whl", SMALL)
    file = locked(path, index.file_url("a-1.whl"), token_variable="TOKEN", username_variable="NAME")
    write_lock_of(quick, NAME, [file])
    index.login = "me:secret-token"
    progress = RecordingProgress()
    with serve(index.folder) as other:
        index.faults = {"a-1.whl": [Fault(redirect=f"{other.url}/files/a-1.whl".replace("127.0.0.1", "localhost"))]}
        run(with_settings(quick, TOKEN="secret-token", NAME="me"), progress)
        assert [request.authorization for request in other.gets("a-1.whl")] == [""]
    assert index.gets("a-1.whl")[0].authorization.startswith("Basic ")
    written = [path.read_bytes() for path in quick.root.rglob("*") if path.is_file() and path.suffix != ".whl"]
    assert "secret-token" not in progress.text()
    assert not [content for content in written if b"secret-token" in content]


def test_a_missing_token_is_named(quick: Site, index: Index) -> None:
    path = random_file(index.folder / "a-1.whl", SMALL)
    write_lock_of(quick, NAME, [locked(path, index.file_url("a-1.whl"), token_variable="MY_TOKEN")])
    with pytest.raises(XaivaError, match="MY_TOKEN"):
        run(quick)


def test_a_refusal_says_what_to_do(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL})
    index.always = {"a-1.whl": Fault(status=404)}
    with pytest.raises(XaivaError) as caught:
        run(quick)
    assert "404" in caught.value.why
    assert "--upgrade" in caught.value.remedy
    assert len(index.gets("a-1.whl")) == 1


def test_a_proxy_is_used_unless_the_host_is_excepted(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL})
    nobody = "http://127.0.0.1:9"
    unproxied = {name: value for name, value in quick.env.items() if not name.lower().endswith("_proxy")}
    proxied = Site(quick.root, quick.settings, {**unproxied, "http_proxy": nobody})
    with pytest.raises(XaivaError, match=r"the proxy refuses the connection"):
        run(with_settings(proxied, QUICK.model_copy(update={"retries": 0})))
    run(with_settings(proxied, no_proxy="127.0.0.1"))
    assert verify.verify(quick, NAME) == []


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_sites_authorities_are_trusted(quick: Site, index: Index, tmp_path: Path, variable: str) -> None:
    pair = certificate(tmp_path)
    path = random_file(index.folder / "a-1.whl", SMALL)
    none = dict.fromkeys(CA_VARIABLES, "")
    with serve(index.folder, pair) as https:
        write_lock_of(quick, NAME, [locked(path, https.file_url("a-1.whl"))])
        with pytest.raises(XaivaError, match="name its certificate authority in SSL_CERT_FILE"):
            run(with_settings(quick, QUICK.model_copy(update={"retries": 0}), **none))
        run(with_settings(quick, **{**none, variable: str(pair[0])}))
    assert verify.verify(quick, NAME) == []


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage_flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def damage_swap(path: Path) -> None:
    path.write_bytes(path.with_name("b-1.whl").read_bytes())


def damage_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_truncate, "has 299999 bytes instead of 300000"),
        (damage_flip, "has other content (SHA-256 differs)"),
        (damage_swap, "has the content of layers/common/wheels/b-1.whl"),
        (damage_folder, "is not a regular file"),
    ],
)
def test_damage_is_named_and_mended(quick: Site, index: Index, damage: Callable[[Path], None], said: str) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": SMALL})
    run(quick)
    damage(paths[0])
    findings = verify.verify(quick, NAME)
    assert [(finding.where, finding.why) for finding in findings] == [("layers/common/wheels/a-1.whl", said)]
    with pytest.raises(ChecksFailed, match=re.escape(said)):
        verify.run(quick, NAME, {}, RecordingProgress())
    progress = RecordingProgress()
    outcome = run(quick, progress)
    assert outcome["repaired"] == ["layers/common/wheels/a-1.whl"]
    assert said in progress.text()
    assert outcome["fetched_bytes"] in (0, SMALL)
    assert verify.verify(quick, NAME) == []


def test_extra_and_derived_files_are_found_and_mended(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL})
    run(quick)
    root = artifacts_folder(quick, NAME)
    random_file(paths[0].with_name("evil-1.whl"), 10)
    random_file(root / "local-wheels/mine-1.whl", 10)
    paths[0].with_name("linked").symlink_to(root / "local-wheels")
    (root / "pylock.toml").write_text("something else")
    codes = {(finding.code, finding.where) for finding in verify.verify(quick, NAME)}
    extra = ["layers/common/wheels/evil-1.whl", "layers/common/wheels/linked"]
    assert codes == {*(("artifact-extra", path) for path in extra), ("artifact-derived", "pylock.toml")}
    assert run(quick)["removed"] == extra
    assert verify.verify(quick, NAME) == []
    assert (root / "local-wheels/mine-1.whl").exists()


def test_equal_files_of_two_presets_share_the_disk(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": SMALL})
    run(quick)
    served = len(index.requests)
    files = [locked(index.folder / path.name, index.file_url(path.name), under="models") for path in paths]
    files = [file.model_copy(update={"kind": FileKind.MODEL}) for file in files]
    write_lock_of(quick, "other", files)
    outcome = sync.run(quick, "other", {}, RecordingProgress())
    assert outcome["linked_files"] == 2
    assert len(index.requests) == served
    assert (artifacts_folder(quick, "other") / "models/a-1.whl").stat().st_ino == paths[0].stat().st_ino
    for preset in (NAME, "other"):  # the new links have changed the files' ctime: neither reads them again for that
        cache = VerificationCache(quick, preset)
        for file in read_lock(quick, preset).files:
            assert cache.is_verified(file.path, file.under(artifacts_folder(quick, preset)).lstat(), file.sha256)
    damage_flip(paths[0])  # in place: the other preset's file is the same one, and both say so
    assert [finding.where for finding in verify.verify(quick, "other")] == ["models/a-1.whl"]


def test_two_equal_files_of_one_preset_are_fetched_once(quick: Site, index: Index) -> None:
    path = random_file(index.folder / "a-1.whl", SMALL)
    files = [locked(path, index.file_url("a-1.whl"), FileKind.MODEL, under) for under in ("models/one", "models/two")]
    write_lock_of(quick, NAME, files)
    outcome = run(quick)
    assert (outcome["fetched_bytes"], outcome["linked_files"]) == (SMALL, 1)
    assert verify.verify(quick, NAME) == []
    index.always = {"a-1.whl": Fault(status=404)}
    for file in files:
        file.under(artifacts_folder(quick, NAME)).unlink()
    with pytest.raises(XaivaError, match="2 files of p"):
        run(quick)


def test_a_server_that_tells_no_size(quick: Site, index: Index) -> None:
    """The lock then downloads the file to measure it, and checks its SHA-256."""
    path = random_file(index.folder / "a-1.whl", SMALL)
    file = locked(path, index.file_url("a-1.whl")).model_copy(update={"size": 0})
    index.tells_size = False
    network = Network(quick)
    assert with_sizes([file], network, NullProgress(), 2) == [file]
    root = artifacts_folder(quick, NAME)
    assert with_size(file, root, network, NullProgress()).size == SMALL
    assert file.under(root).read_bytes() == path.read_bytes()
    with pytest.raises(XaivaError, match="SHA-256"):
        with_size(file.model_copy(update={"sha256": "ab" * 32}), root / "other", network, NullProgress())
    assert [path for path in (root / "other").rglob("*") if path.is_file()] == []
    with pytest.raises(SourceUnreachable, match="404"):
        with_size(file.model_copy(update={"url": index.file_url("gone")}), root, network, NullProgress())
    write_lock_of(quick, NAME, [with_size(file, root, network, NullProgress())])
    file.under(root).unlink()
    run(quick)
    assert verify.verify(quick, NAME) == []


def test_a_twin_with_other_bytes_is_not_shared(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL})
    run(quick)
    damage_flip(paths[0])
    file = locked(index.folder / "a-1.whl", index.file_url("a-1.whl"), kind=FileKind.MODEL, under="models")
    write_lock_of(quick, "other", [file])
    assert sync.run(quick, "other", {}, RecordingProgress())["linked_files"] == 0
    assert verify.verify(quick, "other") == []


def test_cancel_is_quick_even_when_the_server_stalls_and_the_next_sync_goes_on(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"b-1.whl": LARGE})
    index.always = {"b-1.whl": Fault(stall_after=2_000_000)}
    patient = with_settings(quick, QUICK.model_copy(update={"stall_seconds": 60}))
    progress = RecordingProgress()
    progress.stop_at = 1_000_000
    with pytest.raises(Cancelled):
        run(patient, progress)
    assert progress.stages["sync"].state is StageState.CANCELLED
    index.always = {}
    plan = sync.plan(quick, NAME)
    assert plan.resumed_bytes >= 1_000_000
    assert run(quick)["fetched_bytes"] <= LARGE - 1_000_000
    assert verify.verify(quick, NAME) == []
    assert no_temporaries(quick)


def journaled(partial: Path) -> int:
    """The bytes on disk according to the journals of unfinished files."""
    states = [json.loads(path.read_text()) for path in partial.glob("*.json")]
    return max((sum(done for _, _, done in state["pieces"]) for state in states), default=0)


def test_a_kill_in_the_middle_is_continued(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": LARGE})
    index.faults = {
        "b-1.whl": [
            Fault(),
            Fault(stall_after=PIECE_BYTES // 2),
            Fault(stall_after=PIECE_BYTES // 2),
            Fault(stall_after=1),
        ]
    }
    code = (
        "import sys; from core.artifacts import sync; from core.progress import NullProgress; "
        f"from core.site import Site; sync.run(Site.open(sys.argv[1]), {NAME!r}, {{}}, NullProgress())"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(quick.root)])
    journal = artifacts_folder(quick, NAME) / ".partial"
    deadline = time.monotonic() + 30
    while (
        journaled(journal) < PIECE_BYTES
        or not (artifacts_folder(quick, NAME) / "layers/common/wheels/a-1.whl").exists()
    ):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert run(quick)["fetched_bytes"] <= LARGE - PIECE_BYTES  # at least the first piece was kept
    assert verify.verify(quick, NAME) == []
    assert no_temporaries(quick)


def test_too_small_a_disk_is_seen_before_anything_is_fetched(quick: Site, index: Index) -> None:
    path = random_file(index.folder / "a-1.whl", SMALL)
    huge = locked(path, index.file_url("a-1.whl")).model_copy(update={"size": 1 << 60})
    write_lock_of(quick, NAME, [huge])
    with pytest.raises(XaivaError, match="Not enough space") as caught:
        run(quick)
    assert "free at least" in caught.value.remedy
    assert index.requests == []


def test_a_disk_that_fills_up_keeps_what_came(site: Site, index: Index, tmp_path: Path, monkeypatch: object) -> None:
    require(os.geteuid() == 0, "root, to mount a small tmpfs")
    mount = site.artifacts
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mount)], check=True)
    try:
        quick = with_settings(site)
        lock_files(quick, index, {"b-1.whl": LARGE})
        assert isinstance(monkeypatch, pytest.MonkeyPatch)
        monkeypatch.setattr("core.artifacts.sync.check_space", lambda site, numbers: None)
        with pytest.raises(OSError, match="No space left") as caught:
            run(quick)
        error = disk_error(caught.value)  # which is what an operation ends with
        assert error
        assert "goes on" in error.remedy
        subprocess.run(["mount", "-o", "remount,size=200m", str(mount)], check=True)
        assert run(quick)["fetched_bytes"] < LARGE
        assert verify.verify(quick, NAME) == []
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_slow_disk_is_waited_for(quick: Site, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL})
    real = os.fsync

    def slow(handle: int) -> None:
        if ".partial" in os.readlink(f"/proc/self/fd/{handle}"):
            time.sleep(3 * THREAD_STOP_SECONDS)  # a USB stick that takes its time
        real(handle)

    monkeypatch.setattr(os, "fsync", slow)
    progress = RecordingProgress()
    run(quick, progress)
    assert paths[0].read_bytes() == (index.folder / "a-1.whl").read_bytes()
    assert (progress.stages["sync"].done, progress.stages["sync"].detail) == (SMALL, "1 files arrived")
    assert verify.verify(quick, NAME) == []


def test_wrong_bytes_in_the_last_file_are_told_however_slow_the_disk(
    quick: Site, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL})
    (index.folder / "a-1.whl").write_bytes(b"x" * SMALL)
    real = PartialDownload.finish

    def slow(partial: PartialDownload) -> bool:
        time.sleep(3 * THREAD_STOP_SECONDS)
        return real(partial)

    monkeypatch.setattr(PartialDownload, "finish", slow)
    with pytest.raises(XaivaError, match="not the locked one"):
        run(quick)


def test_what_a_stopped_sync_left_never_counts_for_more_than_the_file(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"a-1.whl": 100})
    sha256 = sync.prepare_sync(quick, NAME, VerificationCache(quick, NAME), RecordingProgress()).lock.files[0].sha256
    random_file(
        artifacts_folder(quick, NAME) / ".partial" / f"{sha256}.part", 100
    )  # takes a block of 4 KiB on the disk
    plan = sync.plan(quick, NAME)
    assert (plan.fetch_bytes, plan.resumed_bytes, plan.needed_bytes) == (0, 100, 0)


def test_the_limit_a_host_holds(quick: Site, index: Index) -> None:
    names = [f"f{n}-1.whl" for n in range(10)]
    lock_files(quick, index, dict.fromkeys(names, 50_000))
    index.always = {name: Fault(stall_after=0) for name in names}
    progress = RecordingProgress()
    settings = SyncSettings(connections=8, per_host=2, stall_seconds=60)
    limited = with_settings(quick, settings)

    def sync_until_cancelled() -> None:
        with suppress(Cancelled):
            run(limited, progress)

    worker = threading.Thread(target=sync_until_cancelled)
    worker.start()
    deadline = time.monotonic() + 30
    while len([stage for stage in progress.history if stage.id == "sync"]) < 5:  # a second of reports
        assert time.monotonic() < deadline
        time.sleep(0.02)
    request_count = len(index.requests)
    progress.stopped.set()
    worker.join()
    assert request_count == 2


def test_no_lock_says_how_to_get_one(quick: Site) -> None:
    with pytest.raises(XaivaError, match="has no lock") as caught:
        run(quick)
    assert f"xaiva lock {NAME}" in caught.value.remedy
