"""A job asks the service for memory: granted, waited for, released in every way it may end, and kept over a restart."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from core.errors import Cancelled, XaivaError
from core.inference.jobs.context import JobContext
from core.inference.jobs.reservation import NO_SERVICE, STAGE, reserve
from core.inference.jobs.reservation_files import reservations_folder
from core.inference.jobs.reservation_keeper import JobReservations
from core.inference.model_pool.devices import DeviceBudget
from core.inference.model_pool.load_errors import NoRoom
from core.inference.model_pool.pool import ModelPool
from core.inference.settings import ServiceSettings
from core.operations.processes import OPERATION_TITLE_VARIABLE
from core.progress import Stage, StageState
from core.site import Site
from core.site_operations import site_ledger
from tests.model_pool.fakes import MIB, FakeCostStore, FakeDevice
from tests.model_pool.test_reservations import spec
from tests.support import disks, until

TITLE = "12 (index normal)"


class Recorded:
    """A progress that keeps what it was told, and is cancelled on request."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.cancel = threading.Event()

    def stage(self, stage: Stage) -> None:
        self.stages.append(stage)

    def log(self, line: str, stage: str = "") -> None:
        raise AssertionError(line)

    def cancelled(self) -> bool:
        return self.cancel.is_set()

    @property
    def detail(self) -> str:
        return self.stages[-1].detail if self.stages else ""


class Job:
    """A thread that holds a reservation until it is told to end."""

    def __init__(self, settings: ServiceSettings, mib: int) -> None:
        self.progress = Recorded()
        self.granted, self.end = threading.Event(), threading.Event()
        self.error: XaivaError | None = None
        self._thread = threading.Thread(target=self._run, args=(JobContext(settings), mib), daemon=True)
        self._thread.start()

    def _run(self, context: JobContext, mib: int) -> None:
        try:
            with reserve(context, self.progress, "encoder", mib * MIB):
                self.granted.set()
                self.end.wait()
        except XaivaError as error:
            self.error = error

    def join(self) -> Job:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    monkeypatch.setenv(OPERATION_TITLE_VARIABLE, TITLE)
    return ServiceSettings(data=tmp_path)


@pytest.fixture
def memory() -> FakeDevice:
    return FakeDevice(total=1000 * MIB)


@contextmanager
def service(settings: ServiceSettings, memory: FakeDevice) -> Iterator[ModelPool]:
    """What a running service does about reservations, with its pool."""
    pool = ModelPool(DeviceBudget(memory, 0), costs=FakeCostStore())
    reservations = JobReservations(settings, pool)
    reservations.restore()
    reservations.start()
    try:
        yield pool
    finally:
        reservations.stop()
        pool.close()


@pytest.fixture
def start(settings: ServiceSettings) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """Starts processes that reserve memory, and kills them in the end."""
    with ExitStack() as ends:

        def start(mib: int) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.jobs.reserving", str(settings.data), str(mib)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            ends.enter_context(process)
            ends.callback(process.kill)
            return process

        yield start


def reserved(pool: ModelPool) -> list[int]:
    return [model.cost // MIB for model in pool.status().models if model.state == "reserved"]


def files(settings: ServiceSettings) -> set[str]:
    return {path.suffix for path in reservations_folder(settings).iterdir() if path.suffix != ".lock"}


def granted(process: subprocess.Popen[str]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline() == "granted\n"


def test_it_is_charged_while_the_block_runs(settings: ServiceSettings, memory: FakeDevice) -> None:
    progress = Recorded()
    with service(settings, memory) as pool:
        with reserve(JobContext(settings), progress, "encoder", 600 * MIB):
            assert [(model.key, model.state) for model in pool.status().models] == [
                ("job 12 (index normal): encoder", "reserved")
            ]
        until(lambda: files(settings) == set())
        until(lambda: reserved(pool) == [])
    assert [(stage.id, stage.state) for stage in progress.stages][-1] == (STAGE, StageState.DONE)


def test_it_waits_with_the_reason_until_there_is_room(settings: ServiceSettings, memory: FakeDevice) -> None:
    with service(settings, memory) as pool:
        lease = pool.lease("onnx:street", spec(memory, 600))
        job = Job(settings, 500)
        until(lambda: job.progress.detail == "waits for 500 MB on counted; used by onnx:street 600 MB (1 camera)")
        assert job.progress.stages[-1].state is StageState.RUNNING
        lease.release()
        assert job.granted.wait(20)
        assert memory.used == 0  # the idle model had to go
        job.end.set()
        job.join()


def test_a_cancel_ends_the_wait_and_leaves_nothing(settings: ServiceSettings, memory: FakeDevice) -> None:
    with service(settings, memory) as pool, pool.lease("street", spec(memory, 600)):
        job = Job(settings, 500)
        until(lambda: job.progress.detail)
        job.progress.cancel.set()
        assert isinstance(job.join().error, Cancelled)
        assert job.progress.stages[-1].state is StageState.CANCELLED
        until(lambda: files(settings) == set())


def test_what_can_never_fit_fails_with_the_figures(settings: ServiceSettings, memory: FakeDevice) -> None:
    with service(settings, memory):
        error = Job(settings, 1001).join().error
    assert isinstance(error, NoRoom)
    assert error.why == "it needs 1001 MB, and models may use 1000 MB on counted"


def test_without_a_service_it_waits_for_one(settings: ServiceSettings, memory: FakeDevice) -> None:
    job = Job(settings, 500)
    until(lambda: job.progress.detail == NO_SERVICE)
    with service(settings, memory) as pool:
        assert job.granted.wait(20)
        assert reserved(pool) == [500]
        job.end.set()
        job.join()


def test_two_jobs_share_what_there_is(
    settings: ServiceSettings, memory: FakeDevice, start: Callable[[int], subprocess.Popen[str]]
) -> None:
    with service(settings, memory) as pool:
        first, second = start(300), start(400)
        assert granted(first)
        assert granted(second)
        assert sorted(reserved(pool)) == [300, 400]
        third = Job(settings, 500)
        until(lambda: third.progress.detail)
        first.kill()
        assert third.granted.wait(20)
        until(lambda: sorted(reserved(pool)) == [400, 500])
        third.end.set()
        third.join()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_gives_its_memory_back(
    settings: ServiceSettings, memory: FakeDevice, start: Callable[[int], subprocess.Popen[str]], number: int
) -> None:
    with service(settings, memory) as pool:
        job = start(300)
        assert granted(job)
        os.kill(job.pid, number)
        until(lambda: reserved(pool) == [])
        until(lambda: files(settings) == set())


def test_what_a_process_held_that_is_gone_is_released_on_request(
    settings: ServiceSettings, memory: FakeDevice, start: Callable[[int], subprocess.Popen[str]]
) -> None:
    pool = ModelPool(DeviceBudget(memory, 0), costs=FakeCostStore())
    reservations = JobReservations(settings, pool)
    reservations.start()
    gone, alive = start(300), start(200)
    assert granted(gone)
    assert granted(alive)
    reservations.stop()  # from here on it does not look by itself
    gone.kill()
    gone.wait()
    assert sorted(reserved(pool)) == [200, 300]
    reservations.release_ended()
    assert reserved(pool) == [200]
    pool.close()


def test_a_new_service_charges_the_living_and_forgets_the_dead_before_it_loads_a_model(
    settings: ServiceSettings, memory: FakeDevice, start: Callable[[int], subprocess.Popen[str]]
) -> None:
    with service(settings, memory):
        living, dead = start(300), start(400)
        assert granted(living)
        assert granted(dead)
    dead.kill()
    dead.wait()
    pool = ModelPool(DeviceBudget(memory, 0), costs=FakeCostStore())
    reservations = JobReservations(settings, pool)
    reservations.restore()
    assert reserved(pool) == [300]
    with pytest.raises(NoRoom, match=r"job 12 \(index normal\): encoder 300 MB"):
        pool.lease("street", spec(memory, 800))
    reservations.start()
    living.communicate()
    until(lambda: reserved(pool) == [])
    reservations.stop()
    pool.close()


def test_a_process_that_ended_while_no_service_ran_leaves_nothing(
    settings: ServiceSettings, memory: FakeDevice, start: Callable[[int], subprocess.Popen[str]]
) -> None:
    with service(settings, memory):
        job = start(300)
        assert granted(job)
    job.kill()
    job.wait()
    assert files(settings) == {".request", ".answer"}
    with service(settings, memory) as pool:
        assert reserved(pool) == []
        until(lambda: files(settings) == set())


def test_foreign_files_are_named_in_the_log_and_ignored(
    settings: ServiceSettings, memory: FakeDevice, caplog: pytest.LogCaptureFixture
) -> None:
    folder = reservations_folder(settings)
    folder.mkdir(parents=True)
    (folder / "folder.request").mkdir()
    (folder / "old.answer").write_text("{}")
    (folder / "note.txt").write_text("hello")
    os.mkfifo(folder / "pipe.request")
    (folder / "link.request").symlink_to("/nowhere")
    with service(settings, memory) as pool, _held(folder / "held.request", "not json"):
        with reserve(JobContext(settings), Recorded(), "encoder", 100 * MIB):
            assert reserved(pool) == [100]
        until(lambda: "held.request is ignored: " in caplog.text)
        assert "folder.request is ignored: Is a directory" in caplog.text
    assert (folder / "note.txt").exists()
    assert not (folder / "old.answer").exists()
    assert caplog.text.count("held.request is ignored") == 1


@contextmanager
def _held(path: Path, content: str) -> Iterator[None]:
    """A request that is locked and written before the service sees it, as those of jobs are."""
    with open(path.with_suffix(".new"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(content)
        file.flush()
        path.with_suffix(".new").rename(path)
        yield


def test_a_full_disk_refuses_the_job_and_charges_nothing(
    tmp_path: Path, memory: FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OPERATION_TITLE_VARIABLE, TITLE)
    with disks.small_disk(tmp_path / "disk", "1m") as disk:
        settings = ServiceSettings(data=disk)
        with service(settings, memory) as pool:
            waiting = Job(settings, 1500)  # its folder is there before the disk is full
            waiting.join()
            hog = disks.fill(disk)
            error = Job(settings, 100).join().error
            assert error is not None
            assert f"No space left for {reservations_folder(settings)}" in str(error)
            assert reserved(pool) == []
            hog.unlink()
            with reserve(JobContext(settings), Recorded(), "encoder", 100 * MIB):
                assert reserved(pool) == [100]


def test_an_operation_s_reservation_bears_its_number_and_title(
    site: Site, settings: ServiceSettings, memory: FakeDevice
) -> None:
    ledger = site_ledger(site, {"index": "tests.jobs.reserving:as_operation"})
    with service(settings, memory) as pool:
        operation = ledger.start("index", str(settings.data), {"mib": 300})
        title = f"job {operation.id} (index {settings.data}): encoder"
        until(lambda: [model.key for model in pool.status().models] == [title])
        ledger.cancel(operation.id)
        assert ledger.wait(operation.id, 20).state.value == "cancelled"
        until(lambda: reserved(pool) == [])
        until(lambda: files(settings) == set())
