"""Downloads from a loopback index that misbehaves: faults, mirrors, credentials, limits."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from core.artifacts.download import THREAD_STOP_SECONDS
from core.artifacts.index_settings import CA_VARIABLES
from core.artifacts.lock_store import artifacts_folder
from core.artifacts.network import Network
from core.artifacts.partial_download import PIECE_BYTES, PartialDownload
from core.artifacts.remote_metadata import SourceUnreachable, with_size, with_sizes
from core.errors import Cancelled, XaivaError
from core.progress import NullProgress
from core.site import Site, SyncSettings
from tests.support.artifacts import QUICK, RecordingProgress, locked, random_file, with_settings, write_lock_of
from tests.support.index import Fault, Index, serve
from tests.support.receivers import certificate
from tests.support.sync import LARGE, NAME, SMALL, lock_files, mirrored, run, run_and_verify


def test_a_large_file_comes_over_several_connections(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"b-1.whl": LARGE})
    run(quick)
    ranges = {request.range for request in index.gets("b-1.whl")}
    assert len(ranges) == 4
    assert all(ranges)


@pytest.mark.parametrize("fault", [Fault(drop_after=100_000), Fault(status=503), Fault(stall_after=100_000)])
def test_faults_that_pass_are_overcome(quick: Site, index: Index, fault: Fault) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": LARGE})
    index.faults = {"a-1.whl": [fault, fault], "b-1.whl": [fault, fault]}
    run_and_verify(quick)


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
    run_and_verify(quick)


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
    run_and_verify(quick)


def test_a_server_whose_copies_differ_in_etag_and_break_off(quick: Site, index: Index) -> None:
    """A download that started over after a change resumes when its connection drops."""
    lock_files(quick, index, {"a-1.whl": SMALL})
    drops = [Fault(drop_after=200_000), Fault(drop_after=100_000, etag='"two"')]
    index.faults = {"a-1.whl": [*drops, Fault(etag='"two"')]}
    run_and_verify(quick)


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
        run_and_verify(mirrored(quick, index, mirror))
        assert len(mirror.gets("b-1.whl")) == 1
    assert index.gets("b-1.whl") == []
    assert len(index.gets("a-1.whl")) == 1


def test_a_mirror_that_fails_in_the_middle_of_a_large_file(quick: Site, index: Index) -> None:
    """Several connections fail at once; the origin is still used, and only once."""
    lock_files(quick, index, {"b-1.whl": 8 * PIECE_BYTES})
    with serve(index.folder) as mirror:
        mirror.faults = {"b-1.whl": [Fault(), *[Fault(status=404)] * 7]}
        settings = QUICK.model_copy(update={"mirrors": {index.url: mirror.url}})
        run_and_verify(with_settings(quick, settings))
    assert 8 <= len(index.gets("b-1.whl")) < 16  # a busy machine may ask twice for a piece; asked twice for all is 16


def test_a_token_does_not_go_to_a_mirror(quick: Site, index: Index) -> None:
    path = random_file(index.folder / "a-1.whl", SMALL)
    write_lock_of(quick, NAME, [locked(path, index.file_url("a-1.whl"), token_variable="TOKEN")])
    with serve(index.folder) as mirror:
        mirror.always = {"a-1.whl": Fault(status=404)}
        run(mirrored(quick, index, mirror, TOKEN="secret-token"))
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
    run_and_verify(with_settings(proxied, no_proxy="127.0.0.1"))


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_sites_authorities_are_trusted(quick: Site, index: Index, tmp_path: Path, variable: str) -> None:
    pair = certificate(tmp_path)
    path = random_file(index.folder / "a-1.whl", SMALL)
    none = dict.fromkeys(CA_VARIABLES, "")
    with serve(index.folder, pair) as https:
        write_lock_of(quick, NAME, [locked(path, https.file_url("a-1.whl"))])
        with pytest.raises(XaivaError, match="name its certificate authority in SSL_CERT_FILE"):
            run(with_settings(quick, QUICK.model_copy(update={"retries": 0}), **none))
        run_and_verify(with_settings(quick, **{**none, variable: str(pair[0])}))


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
    run_and_verify(quick)


def test_a_slow_disk_is_waited_for(quick: Site, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL})
    real = os.fsync

    def slow(handle: int) -> None:
        if ".partial" in os.readlink(f"/proc/self/fd/{handle}"):
            time.sleep(3 * THREAD_STOP_SECONDS)  # a slow USB stick
        real(handle)

    monkeypatch.setattr(os, "fsync", slow)
    progress = RecordingProgress()
    run_and_verify(quick, progress)
    assert paths[0].read_bytes() == (index.folder / "a-1.whl").read_bytes()
    assert (progress.stages["sync"].done, progress.stages["sync"].detail) == (SMALL, "1 files arrived")


def test_wrong_bytes_are_reported_on_a_slow_disk(quick: Site, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL})
    (index.folder / "a-1.whl").write_bytes(b"x" * SMALL)
    real = PartialDownload.finish

    def slow(partial: PartialDownload) -> bool:
        time.sleep(3 * THREAD_STOP_SECONDS)
        return real(partial)

    monkeypatch.setattr(PartialDownload, "finish", slow)
    with pytest.raises(XaivaError, match="not the locked one"):
        run(quick)


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
