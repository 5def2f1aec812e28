"""Real operations: a sync and a build, interrupted in every way, end complete or can be resumed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.artifacts import lock_store, verify
from core.artifacts.sync_plan import FREE_SPACE_MARGIN
from core.images.build_history import BuildOutcome, list_builds
from core.operations import processes
from core.operations.ledger import Ledger
from core.operations.model import Operation, OperationState
from core.progress import StageState
from core.site import Site
from core.site_operations import site_ledger
from tests.images import support as images
from tests.operations.support import leftovers
from tests.support import until
from tests.support.artifacts import locked, random_file, write_lock_of
from tests.support.disks import small_disk
from tests.support.engine import TestEngine, start_engine
from tests.support.index import Fault, Index, serve

PRESET = "real"
SIZE = 400_000


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An index whose second file stalls in its middle until `always` is cleared."""
    (tmp_path / "served").mkdir()
    with serve(tmp_path / "served") as running:
        yield running


def _lock(site: Site, index: Index) -> None:
    (site.root / "site.toml").write_text("[sync]\nstall_seconds = 2\nretries = 20\n")
    (site.presets / f"{PRESET}.json").write_text('{"base_image": "debian:test", "python_version": "3.11"}')
    paths = [random_file(index.folder / f"file{number}.whl", SIZE, number) for number in range(4)]
    write_lock_of(site, PRESET, [locked(path, index.file_url(path.name)) for path in paths])
    index.faults["file1.whl"] = [Fault(stall_after=SIZE // 2)]
    index.always["file1.whl"] = Fault(stall_after=0)


def _xaiva(site: Site, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "core.cli", "--site", os.fspath(site.root), *words],
        env=dict(site.env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _in_the_middle(ledger: Ledger, site: Site, index: Index) -> Operation:
    until(lambda: index.gets("file1.whl"))
    folder = lock_store.artifacts_folder(site, PRESET) / "layers/common/wheels"
    until(lambda: (folder / "file3.whl").exists())
    (operation,) = ledger.list(live_only=True)
    assert not (folder / "file1.whl").exists()
    return operation


def _is_whole(site: Site) -> None:
    assert [finding for finding in verify.verify(site, PRESET) if finding.level.value == "error"] == []
    assert leftovers(site.root) == []


def test_the_console_is_killed_in_mid_sync(site: Site, index: Index) -> None:
    _lock(site, index)
    ledger = site_ledger(site)
    with _xaiva(site, "sync", PRESET) as console:
        operation = _in_the_middle(ledger, site, index)
        console.kill()
    index.always.clear()
    assert ledger.wait(operation.id).state is OperationState.DONE
    _is_whole(site)


def test_everything_is_killed_in_mid_sync_and_retried(site: Site, index: Index) -> None:
    _lock(site, index)
    ledger = site_ledger(site)
    ledger.start("sync", PRESET)
    operation = _in_the_middle(ledger, site, index)
    processes.send_signal(processes.descendants(operation.pid) | {operation.pid}, signal.SIGKILL)
    until(lambda: ledger.get(operation.id).state is OperationState.CRASHED)
    assert leftovers(site.root) == []
    before = len(index.gets("file0.whl"))
    index.always.clear()
    assert ledger.wait(ledger.retry(operation.id).id).state is OperationState.DONE
    assert len(index.gets("file0.whl")) == before  # what was complete is not fetched again
    _is_whole(site)


def test_a_sync_is_cancelled_and_goes_on_later(site: Site, index: Index) -> None:
    _lock(site, index)
    ledger = site_ledger(site)
    ledger.start("sync", PRESET)
    operation = _in_the_middle(ledger, site, index)
    ledger.cancel(operation.id)
    assert ledger.wait(operation.id).state is OperationState.CANCELLED
    assert leftovers(site.root) == []
    index.always.clear()
    assert ledger.wait(ledger.retry(operation.id).id).state is OperationState.DONE
    _is_whole(site)


def test_a_disk_too_small_is_said_before_anything_is_fetched(small_disk: Path, index: Index) -> None:
    (small_disk / "presets").mkdir()
    site = Site.open(small_disk)
    _lock(site, index)
    random_file(small_disk / "filler", 2_000_000)
    ledger = site_ledger(site)
    failed = ledger.wait(ledger.start("sync", PRESET).id)
    assert failed.state is OperationState.FAILED
    assert failed.failure is not None
    assert "disk" in str(failed.failure).lower() or "free" in str(failed.failure).lower()
    assert leftovers(site.root) == []


def test_the_disk_fills_up_in_mid_sync_and_later_there_is_room(tmp_path: Path, index: Index) -> None:
    with small_disk(tmp_path / "disk", f"{FREE_SPACE_MARGIN + 4_000_000}") as place:
        (place / "presets").mkdir()
        site = Site.open(place)
        _lock(site, index)
        ledger = site_ledger(site)
        ledger.start("sync", PRESET)
        operation = _in_the_middle(ledger, site, index)
        with contextlib.suppress(OSError), open(place / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1 << 16))
        index.always.clear()
        ended = ledger.wait(operation.id, 60)
        assert ended.state is OperationState.FAILED, ended
        assert leftovers(place) == []
        assert ended.failure is not None
        assert "space" in str(ended.failure.error()), ended.failure
        (place / "filler").unlink()
        assert ledger.wait(ledger.retry(operation.id).id).state is OperationState.DONE
        _is_whole(site)


@pytest.fixture(scope="module")
def engine() -> Iterator[TestEngine]:
    """An engine of this module alone: a test restarts it."""
    with start_engine() as running:
        yield running


@pytest.fixture
def build_site(site: Site, engine: TestEngine, tmp_path: Path) -> Site:
    """A site with a small preset, all of its artifacts, and the engine that builds it."""
    opened = Site(site.root, site.settings, engine.env)
    preset = images.preset_of(layers=[{"name": "common", "requirements": ["tiny"]}], inference_service=False)
    artifacts = images.Artifacts(opened, PRESET, preset)
    artifacts.add_debs(images.debs(engine), build=False)
    artifacts.add_base(engine)
    artifacts.add_layer("common", [images.make_wheel(tmp_path, "tiny", "1.0", {"tiny.py": "VALUE = 1\n"})])
    artifacts.write()
    return opened


def _building(ledger: Ledger) -> Operation:
    """Wait until the packages are being installed, which takes a while."""

    def installs() -> bool:
        live = ledger.list(live_only=True)
        stages = {stage.id: stage for stage in ledger.stages(live[0].id)} if live else {}
        return "python" in stages and stages["python"].state is StageState.RUNNING

    until(installs)
    return ledger.list(live_only=True)[0]


@pytest.mark.engine
@pytest.mark.slow
def test_the_console_is_killed_in_mid_build(build_site: Site) -> None:
    ledger = site_ledger(build_site)
    with _xaiva(build_site, "build", PRESET, "--no-cache") as console:
        operation = _building(ledger)
        console.kill()
    ended = ledger.wait(operation.id)
    assert ended.state is OperationState.DONE, ended.failure
    assert list_builds(build_site)[0].outcome is BuildOutcome.DONE


@pytest.mark.engine
@pytest.mark.slow
def test_the_engine_restarts_in_mid_build(build_site: Site, engine: TestEngine) -> None:
    ledger = site_ledger(build_site)
    ledger.start("build", PRESET, {"no_cache": True})
    operation = _building(ledger)
    engine.restart()
    ended = ledger.wait(operation.id)
    assert ended.state is OperationState.FAILED
    assert ended.failure is not None
    assert ended.failure.what
    assert ended.failure.what != "An unexpected error", ended.failure
    assert all(stage.state is not StageState.RUNNING for stage in ledger.stages(operation.id))
    assert ledger.wait(ledger.retry(operation.id).id).state is OperationState.DONE


@pytest.mark.engine
@pytest.mark.slow
def test_everything_is_killed_in_mid_build_and_retried(build_site: Site) -> None:
    ledger = site_ledger(build_site)
    ledger.start("build", PRESET, {"no_cache": True})
    operation = _building(ledger)
    below = processes.descendants(operation.pid)
    processes.send_signal(below | {operation.pid}, signal.SIGKILL)
    until(lambda: ledger.get(operation.id).state is OperationState.CRASHED)
    assert not any(processes.start_time(pid) for pid in below)
    retried = ledger.wait(ledger.retry(operation.id).id)
    assert retried.state is OperationState.DONE, retried.failure
    assert leftovers(build_site.root) == []


@pytest.mark.engine
@pytest.mark.slow
def test_a_build_is_cancelled(build_site: Site) -> None:
    ledger = site_ledger(build_site)
    ledger.start("build", PRESET, {"no_cache": True})
    operation = _building(ledger)
    below = processes.descendants(operation.pid)
    ledger.cancel(operation.id)
    ended = ledger.wait(operation.id)
    assert ended.state is OperationState.CANCELLED
    assert not any(processes.start_time(pid) for pid in below)
    assert leftovers(build_site.root) == []
