"""A cancel ends everything and leaves nothing; a crash is detected."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.errors import XaivaError
from core.operations import processes, spawn
from core.operations.database import connect, shared_connection
from core.operations.ledger import Ledger
from core.operations.log import draft_path
from core.operations.model import OperationState
from core.progress import StageState
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.support import KINDS, leftovers, processes_of, start_and_wait
from tests.support import until
from tests.support.disks import fill


@pytest.mark.parametrize(
    ("kind", "sign"),
    [("wait", "waiting"), ("stuck", "stuck"), ("deaf", "deaf"), ("nested", "child"), ("careless", "child")],
)
def test_cancel_ends_it_and_leaves_nothing(ledger: Ledger, site: Site, temporary: Path, kind: str, sign: str) -> None:
    operation, pid = start_and_wait(ledger, kind, sign)
    ledger.cancel(operation.id)
    until(lambda: not processes.start_time(pid))
    ended = ledger.wait(operation.id)
    assert [event.what for event in ledger.events(operation.id)[-2:]] == ["cancel requested", "cancelled"]
    assert ended.state is OperationState.CANCELLED
    assert ended.failure is not None
    assert ended.failure.what == f"{kind} thing was cancelled"
    until(lambda: not processes_of(operation, site.root))
    assert leftovers(site.root) == []
    assert list(temporary.iterdir()) == []
    assert all(stage.state is not StageState.RUNNING for stage in ledger.stages(operation.id))
    if kind == "wait":
        assert (site.artifacts / "thing/layers/whole").read_text() == "whole"
    again = ledger.start("quick", "thing")
    assert ledger.wait(again.id).state is OperationState.DONE


def test_the_flag_alone_is_enough(ledger: Ledger) -> None:
    """A canceller in another pid namespace cannot send a signal."""
    operation, _ = start_and_wait(ledger)
    shared_connection(ledger.path).execute("UPDATE operation SET cancel_requested = 1 WHERE id = ?", (operation.id,))
    assert ledger.wait(operation.id, 10).state is OperationState.CANCELLED


# The supervisor with a cancel that comes right after it has taken its operation, before it has a worker.
_WOKEN_AT_ONCE = (
    "import os, signal, sys; sys.path.insert(0, sys.argv.pop(1))\n"
    "from core.operations import supervisor; acquire = supervisor.acquire_lease\n"
    "def acquire_lease(*words):\n"
    "    lease = acquire(*words)\n"
    "    lease._connection.execute('UPDATE operation SET cancel_requested = 1')\n"
    "    os.kill(os.getpid(), signal.SIGTERM)\n"
    "    return lease\n"
    "supervisor.acquire_lease = acquire_lease; supervisor.main()\n"
)


def test_a_cancel_right_after_the_start_counts(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    real = spawn.interpreter_command
    root = os.fspath(Path(__file__).parents[2])

    def woken(module: str, *words: str, detached: bool = False) -> list[str]:
        return [*real(module, detached=detached)[:2], "-c", _WOKEN_AT_ONCE, root, *words]

    monkeypatch.setattr(spawn, "interpreter_command", woken)
    monkeypatch.setattr(subprocess, "run", _in_the_background)
    operation = ledger.start("stuck", "thing")
    ended = ledger.wait(operation.id, 10)
    assert ended.state is OperationState.CANCELLED, ended.failure
    assert [event.what for event in ledger.events(operation.id)][-1] == "cancelled"


def _in_the_background(words: list[str], *, check: bool, **how: Any) -> Any:
    subprocess.Popen(words, **how)
    return subprocess.CompletedProcess(words, 0)


def test_a_cancelled_worker_notices_that_its_supervisor_is_gone(ledger: Ledger) -> None:
    operation, pid = start_and_wait(ledger, "stuck", "stuck")
    supervisor = ledger.get(operation.id).pid
    os.kill(supervisor, signal.SIGSTOP)  # it dies after it has sent the flag and before SIGTERM
    (control,) = _pipes_into(pid, supervisor)
    control.write_bytes(b"cancel\n")
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not processes.start_time(pid))


def _pipes_into(worker: int, supervisor: int) -> list[Path]:
    """The supervisor's ends of the pipes that the worker reads."""
    read = {os.readlink(end) for end in Path(f"/proc/{worker}/fd").iterdir() if _mode(end) == os.O_RDONLY}
    ends = [end for end in Path(f"/proc/{supervisor}/fd").iterdir() if _mode(end) == os.O_WRONLY]
    return [end for end in ends if os.readlink(end) in read and os.readlink(end).startswith("pipe:")]


def _mode(end: Path) -> int:
    flags = (end.parent.parent / "fdinfo" / end.name).read_text().split("flags:")[1].split()[0]
    return int(flags, 8) & os.O_ACCMODE


def test_cancelling_what_is_over_changes_nothing(ledger: Ledger) -> None:
    operation = ledger.wait(ledger.start("quick", "thing").id)
    assert ledger.cancel(operation.id) == operation


def test_what_a_worker_leaves_running_ends_with_it(ledger: Ledger) -> None:
    operation = ledger.wait(ledger.start("strays", "thing").id)
    assert operation.state is OperationState.DONE
    assert operation.result is not None
    assert not processes.start_time(int(str(operation.result["child"])))


def test_a_killed_worker_is_recorded_with_its_last_words(ledger: Ledger) -> None:
    operation = ledger.wait(ledger.start("die", "thing").id)
    assert operation.state is OperationState.CRASHED
    assert operation.failure is not None
    assert "SIGKILL" in operation.failure.why
    assert operation.failure.why.endswith("my last words")
    assert f"xaiva ops retry {operation.id}" in operation.failure.remedy
    assert [stage.state for stage in ledger.stages(operation.id)] == [StageState.FAILED]


def test_an_exit_code_of_0_is_no_outcome(ledger: Ledger) -> None:
    operation = ledger.wait(ledger.start("leave", "thing").id)
    assert operation.state is OperationState.CRASHED
    assert operation.failure is not None
    assert operation.failure.why == "its process ended with exit code 0 without reporting an outcome"


def test_what_was_reported_counts_whatever_happens_after_it(ledger: Ledger) -> None:
    operation = ledger.wait(ledger.start("trip", "thing").id)
    assert (operation.state, operation.result) == (OperationState.DONE, {"whole": True})


@pytest.mark.parametrize("kind", ["wait", "deaf"])
def test_a_killed_supervisor_is_noticed_and_cleaned_up_by_the_next_reader(
    ledger: Ledger, site: Site, kind: str
) -> None:
    operation, pid = start_and_wait(ledger, kind, kind if kind == "deaf" else "waiting")
    draft_path(Path(operation.log)).touch()  # killed while it left out the middle of a long log
    os.kill(operation.pid, signal.SIGKILL)
    until(lambda: not processes.is_alive(operation.pid, processes.start_time(operation.pid)))
    crashed = ledger.get(operation.id)
    assert crashed.state is OperationState.CRASHED
    assert crashed.failure is not None
    assert f"as {pid}" in crashed.failure.why
    assert crashed.seconds > 0
    assert all(stage.state is not StageState.RUNNING for stage in ledger.stages(operation.id))
    assert not processes.start_time(pid)
    assert leftovers(site.root) == []
    assert ledger.wait(ledger.start("quick", "thing").id).state is OperationState.DONE


def test_a_worker_without_a_supervisor_ends_by_itself(ledger: Ledger) -> None:
    operation, pid = start_and_wait(ledger, "stuck", "stuck")
    os.kill(ledger.get(operation.id).pid, signal.SIGKILL)
    until(lambda: not processes.start_time(pid))


def test_after_a_reboot_what_was_live_is_crashed(ledger: Ledger, site: Site) -> None:
    with contextlib.closing(sqlite3.connect(_copy_of_a_running(ledger, site))) as connection, connection:
        connection.execute("UPDATE operation SET boot = 'another', token = 'nobody', temporary = ''")
    moved = site_ledger(Site.open(site.root.parent / "copy"), KINDS)
    assert [operation.state for operation in moved.list()] == [OperationState.CRASHED]


def _copy_of_a_running(ledger: Ledger, site: Site) -> Path:
    start_and_wait(ledger)
    target = site.root.parent / "copy" / ".xaiva"
    target.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(ledger.path)) as source:
        source.execute("VACUUM INTO ?", (os.fspath(target / "ledger.sqlite"),))
    return target / "ledger.sqlite"


def test_an_attempt_that_was_ended_from_outside_writes_nothing_more(ledger: Ledger, site: Site) -> None:
    operation, pid = start_and_wait(ledger)
    shared_connection(ledger.path).execute("UPDATE operation SET state = 'crashed' WHERE id = ?", (operation.id,))
    until(lambda: not processes.start_time(pid))
    until(lambda: not processes.start_time(operation.pid))
    assert ledger.get(operation.id).state is OperationState.CRASHED
    assert "done" not in [event.what for event in ledger.events(operation.id)]


def test_a_process_with_the_pid_of_the_dead_supervisor_is_not_taken_for_it(ledger: Ledger) -> None:
    operation, _ = start_and_wait(ledger, "stuck", "stuck")
    os.kill(operation.pid, signal.SIGKILL)
    shared_connection(ledger.path).execute("UPDATE operation SET pid = ? WHERE id = ?", (os.getpid(), operation.id))
    until(lambda: ledger.get(operation.id).state is OperationState.CRASHED)


def test_a_start_that_is_killed_on_its_way_is_noticed_at_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(words: list[str], **how: Any) -> Any:
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(subprocess, "run", killed)
    assert ledger.start("quick", "thing").state is OperationState.CRASHED
    monkeypatch.undo()
    assert ledger.wait(ledger.start("quick", "thing").id).state is OperationState.DONE


def test_hangups_and_interrupts_do_not_reach_an_operation(ledger: Ledger, site: Site) -> None:
    operation, _ = start_and_wait(ledger)
    for pid in processes_of(operation, site.root) - {os.getpid()}:
        for number in (signal.SIGHUP, signal.SIGINT):
            os.kill(pid, number)
    (site.root / "go").touch()
    assert ledger.wait(operation.id).state is OperationState.DONE


def test_on_a_full_disk_the_operation_goes_on_and_the_ledger_tells_the_truth(small_disk: Path) -> None:
    site = Site.open(small_disk)
    ledger = site_ledger(site, KINDS)
    operation, _ = start_and_wait(ledger)
    fill(small_disk)
    assert shutil.disk_usage(small_disk).free < 4096
    (small_disk / "go").touch()
    ended = ledger.wait(operation.id, 15)
    assert ended.state is OperationState.DONE
    assert ended.result == {"waited": True}


def test_a_disk_that_is_full_from_the_start_is_named(small_disk: Path) -> None:
    fill(small_disk)
    ledger = site_ledger(Site.open(small_disk), KINDS)
    with pytest.raises(XaivaError) as caught:
        ledger.start("quick", "thing")
    assert os.fspath(small_disk) in str(caught.value)
    assert "make room" in caught.value.remedy


def test_a_disk_that_is_full_when_the_ledger_is_opened_again_is_named(small_disk: Path) -> None:
    path = small_disk / "ledger.db"
    connect(path).close()
    fill(small_disk)
    with pytest.raises(XaivaError) as caught:
        connect(path)
    assert "make room" in caught.value.remedy


def test_work_that_finds_no_room_says_so_without_a_traceback(ledger: Ledger) -> None:
    ended = ledger.wait(ledger.start("full", "thing").id, 15)
    assert ended.state is OperationState.FAILED
    assert ended.failure is not None
    assert ended.failure.what == "No space left"
    assert "make room" in ended.failure.remedy
    assert "Traceback" not in ledger.log_path(ended.id).read_text()
