"""Attempts: a failure that may pass is tried again, work that is silent is killed, a planned stop queues again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from core.operations import ledger as ledger_module
from core.operations import processes, sql
from core.operations.attempt import MAX_SILENT_STEP
from core.operations.database import shared_connection
from core.operations.endings import back_to_queue
from core.operations.lease import Lease, acquire_lease
from core.operations.ledger import Ledger
from core.operations.model import Operation, OperationState
from core.operations.queue import QueueRule
from core.site import Site
from tests.operations.conftest import MakeLedger
from tests.operations.queue_place import QUICK_PAUSES, let_silence_count, open_queue_place
from tests.operations.support import first_line, leftovers, processes_of, site_processes
from tests.support import PATIENCE, until

THRICE = QueueRule(attempts=3, pauses=QUICK_PAUSES)
PATIENT = QueueRule(resources=("cpu",), attempts=3, pauses=(600.0,))


def _history(ledger: Ledger, operation: Operation) -> list[str]:
    return [event.what for event in ledger.events(operation.id)]


def _end_pause(ledger: Ledger) -> None:
    """Let the pause of the one operation end now."""
    shared_connection(ledger.path).execute("UPDATE operation SET not_before = ?", (time.monotonic(),))


def _next_start(site: Site) -> Ledger:
    """The ledger as the next process of the service opens it."""
    return Ledger(open_queue_place(os.fspath(site.root)))


def test_a_failure_that_may_pass_is_tried_again_and_told(make: MakeLedger, site: Site, temporary: Path) -> None:
    ledger = make({"flaky": THRICE})
    ended = ledger.wait(ledger.start("flaky", "thing", {"failures": 2}).id, 30)
    assert ended.state is OperationState.DONE
    assert ended.attempt == 3
    assert ended.result == {"attempt": 3}
    events = _history(ledger, ended)
    assert [words.split("; tried again in ")[0] for words in events] == [
        *("requested", "started, attempt 1"),
        *("attempt 1 failed: Storage s3://pictures: answer 503, number 1", "started, attempt 2"),
        *("attempt 2 failed: Storage s3://pictures: answer 503, number 2", "started, attempt 3"),
        "done",
    ]
    assert events[2].endswith(" s")
    assert [stage.id for stage in ledger.stages(ended.id)] == ["try-3"]
    assert list(temporary.iterdir()) == []
    assert leftovers(site.root) == []


def test_the_last_attempt_that_fails_is_the_outcome(make: MakeLedger) -> None:
    ledger = make({"flaky": THRICE})
    ended = ledger.wait(ledger.start("flaky", "thing", {"failures": 9}).id, 30)
    assert ended.state is OperationState.FAILED
    assert ended.attempt == 3
    assert ended.failure is not None
    assert ended.failure.why == "answer 503, number 3"
    again = ledger.wait(ledger.retry(ended.id, by="somebody else").id, 30)
    assert again.attempt == 6, "who asks again gets all attempts again"
    assert again.by == "somebody else"


@pytest.mark.parametrize(("kind", "state"), [("refused", OperationState.FAILED), ("broken", OperationState.FAILED)])
def test_what_will_not_pass_is_not_tried_again(make: MakeLedger, kind: str, state: OperationState) -> None:
    ledger = make({kind: THRICE})
    ended = ledger.wait(ledger.start(kind, "thing").id, 30)
    assert (ended.state, ended.attempt) == (state, 1)


@pytest.mark.parametrize(("failures", "state"), [(1, OperationState.DONE), (9, OperationState.CRASHED)])
def test_a_crash_of_its_own_is_tried_again_once(make: MakeLedger, failures: int, state: OperationState) -> None:
    ledger = make({"segfault": QueueRule(attempts=5, pauses=QUICK_PAUSES)})
    ended = ledger.wait(ledger.start("segfault", "thing", {"failures": failures}).id, 30)
    assert (ended.state, ended.attempt) == (state, 2)
    assert "attempt 1 failed: segfault thing crashed: its process died of SIGSEGV" in _history(ledger, ended)[2]


def test_without_a_rule_nothing_is_tried_again(make: MakeLedger) -> None:
    ledger = make({})
    assert ledger.wait(ledger.start("flaky", "thing").id, 30).attempt == 1
    assert ledger.wait(ledger.start("segfault", "other").id, 30).state is OperationState.CRASHED


def test_another_operation_uses_the_resources_in_the_pause(make: MakeLedger) -> None:
    ledger = make({"flaky": PATIENT, "quick": PATIENT})
    operation, next_one = ledger.start("flaky", "thing"), ledger.start("quick", "other")
    assert ledger.wait(next_one.id, 30).state is OperationState.DONE
    waiting = ledger.get(operation.id)
    assert (waiting.state, waiting.attempt) == (OperationState.QUEUED, 1)
    assert waiting.why_queued.startswith("is tried again in ")


def test_a_cancel_works_while_it_waits_to_be_tried_again(make: MakeLedger, site: Site) -> None:
    ledger = make({"flaky": PATIENT})
    operation = ledger.start("flaky", "thing")
    until(lambda: any("tried again" in words for words in _history(ledger, operation)))
    ended = ledger.cancel(operation.id)
    assert ended.state is OperationState.CANCELLED
    assert ended.failure is not None
    assert ended.failure.what == "flaky thing was cancelled before it started again"
    until(lambda: not site_processes(site.root))


def test_a_pause_ends_although_its_supervisor_is_killed(make: MakeLedger, site: Site) -> None:
    ledger = make({"flaky": QueueRule(attempts=2, pauses=(600.0,))})
    operation = ledger.start("flaky", "thing")
    until(lambda: any("tried again" in words for words in _history(ledger, operation)))
    processes.send_signal(site_processes(site.root), signal.SIGKILL)
    until(lambda: not site_processes(site.root))
    _end_pause(ledger)
    ended = ledger.wait(operation.id, 30)
    assert (ended.state, ended.attempt) == (OperationState.DONE, 2)


def test_a_pause_of_another_boot_has_ended(make: MakeLedger) -> None:
    ledger = make({"flaky": PATIENT})
    operation = ledger.start("flaky", "thing")
    until(lambda: any("tried again" in words for words in _history(ledger, operation)))
    shared_connection(ledger.path).execute("UPDATE operation SET boot = 'another'")
    assert ledger.wait(operation.id, 30).state is OperationState.DONE


def _acquire(ledger: Ledger, site: Site) -> Lease:
    """Take an operation as its supervisor does, in this process; no other one starts."""
    connection = shared_connection(ledger.path)
    connection.execute(sql.SET_QUEUE_HELD, {"value": 1})
    operation = ledger.start("flaky", "thing")
    connection.execute(sql.MARK_STARTING, {"id": operation.id, "boot": processes.boot_id(), "lease": 1e12})
    (token,) = connection.execute("SELECT token FROM operation").fetchone()
    lease = acquire_lease(open_queue_place(os.fspath(site.root)), operation.id, token, "")
    assert lease is not None
    return lease


def test_a_cancel_that_comes_after_the_attempt_has_ended_is_kept(make: MakeLedger, site: Site) -> None:
    ledger = make({"flaky": THRICE})
    lease = _acquire(ledger, site)
    shared_connection(ledger.path).execute(sql.REQUEST_CANCEL, {"id": lease.id})
    assert not lease.back_to_queue("attempt 1 failed", 1.0, failed=True)
    assert ledger.get(lease.id).state is OperationState.RUNNING
    lease.finish(OperationState.CANCELLED, None, None)
    assert ledger.get(lease.id).state is OperationState.CANCELLED


def test_an_attempt_that_was_put_back_from_outside_changes_nothing_more(make: MakeLedger, site: Site) -> None:
    ledger = make({"flaky": THRICE})
    lease = _acquire(ledger, site)
    row = shared_connection(ledger.path).execute(sql.GET, {"id": lease.id}).fetchone()
    back_to_queue(open_queue_place(os.fspath(site.root)), row, "attempt 1 was lost", failed=True)
    assert not lease.back_to_queue("attempt 1 failed", failed=True)
    lease.finish(OperationState.CANCELLED, None, None)
    assert ledger.get(lease.id).state is OperationState.QUEUED
    assert _history(ledger, ledger.get(lease.id))[-1] == "attempt 1 was lost"


def test_work_that_is_silent_is_killed_and_tried_again(make: MakeLedger, site: Site) -> None:
    ledger = make({"silent": QueueRule(attempts=2, silence=1.0, pauses=(600.0,))})
    operation = ledger.start("silent", "thing")
    pid = int(first_line(ledger, operation, "looping").split()[-1])
    let_silence_count(site.root)
    until(lambda: any("tried again" in words for words in _history(ledger, operation)))
    let_silence_count(site.root, False)
    _end_pause(ledger)
    ended = ledger.wait(operation.id, 30)
    assert (ended.state, ended.attempt) == (OperationState.DONE, 2)
    assert not processes.start_time(pid)
    assert "attempt 1 failed: silent thing was killed: no sign of progress for 1 s" in _history(ledger, ended)[2]


def test_a_stopped_process_counts_as_silent(make: MakeLedger, site: Site) -> None:
    ledger = make({"wait": QueueRule(silence=1.0)})
    operation = ledger.start("wait", "thing")
    os.kill(int(first_line(ledger, operation, "waiting").split()[-1]), signal.SIGSTOP)
    let_silence_count(site.root)
    ended = ledger.wait(operation.id, 30)
    assert ended.state is OperationState.FAILED
    assert ended.failure is not None
    assert ended.failure.why == "no sign of progress for 1 s"
    until(lambda: not processes_of(ended, site.root))
    assert leftovers(site.root) == []


def test_work_that_reports_is_not_silent(make: MakeLedger, site: Site) -> None:
    ledger = make({"wait": QueueRule(silence=1.5 * MAX_SILENT_STEP)})  # one late look at it is no silence
    operation = ledger.start("wait", "thing")
    first_line(ledger, operation, "waiting")
    let_silence_count(site.root)
    until(lambda: ledger.stages(operation.id), lambda stages: stages and stages[0].done > 200)  # of 10 ms or more each
    (site.root / "go").touch()
    assert ledger.wait(operation.id, 30).state is OperationState.DONE


def test_work_is_as_nice_as_its_rule_says(make: MakeLedger) -> None:
    ledger = make({"polite": QueueRule(niceness=7)})
    result = ledger.wait(ledger.start("polite", "thing").id, 30).result
    assert result == {"niceness": os.nice(0) + 7, "session": 7, "killed_first": processes.OOM_SCORE}


def test_a_planned_stop_puts_running_operations_back_into_the_queue(
    make: MakeLedger, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "STOP_SECONDS", PATIENCE)  # benchmarks/operations.py holds it to its own
    rule = QueueRule(resources=("cpu",), attempts=3)
    kinds = ("wait", "stuck", "deaf", "nested")
    ledger = make(dict.fromkeys((*kinds, "quick"), rule), {"cpu": 4})
    running = [ledger.start(kind, kind) for kind in kinds]
    for operation, sign in zip(running, ("waiting", "stuck", "deaf", "child"), strict=True):
        first_line(ledger, operation, sign)
    waiting = ledger.start("quick", "waiting")
    pids = [processes_of(ledger.get(operation.id), site.root) for operation in running]
    ledger.requeue_live()
    after = [ledger.get(operation.id) for operation in (*running, waiting)]
    assert {operation.state for operation in after} == {OperationState.QUEUED}
    assert {operation.why_queued for operation in after} == {"waits for the next start of the service"}
    until(lambda: not any(processes.start_time(pid) for group in pids for pid in group - {os.getpid()}))
    for operation in running:
        assert _history(ledger, operation)[-1] == "stopped with the service; queued again"
    assert leftovers(site.root) == []
    ledger.start("quick", "another")
    assert ledger.get(waiting.id).state is OperationState.QUEUED
    (site.root / "go").touch()
    ledger.dispatch()  # a thread of the service that is going down
    assert ledger.get(waiting.id).state is OperationState.QUEUED
    _next_start(site).dispatch()
    ended = ledger.wait(running[0].id, 30)
    assert (ended.state, ended.attempt) == (OperationState.DONE, 2)
    assert ledger.wait(waiting.id, 30).state is OperationState.DONE


def test_a_planned_stop_leaves_what_pauses_in_the_queue(make: MakeLedger, site: Site) -> None:
    ledger = make({"flaky": PATIENT})
    operation = ledger.start("flaky", "thing")
    until(lambda: any("tried again" in words for words in _history(ledger, operation)))
    ledger.requeue_live()
    assert ledger.get(operation.id).why_queued == "waits for the next start of the service"
    _next_start(site).dispatch()
    assert ledger.get(operation.id).why_queued.startswith("is tried again in ")


@pytest.mark.parametrize(
    ("attempts", "state"), [(3, OperationState.QUEUED), (1, OperationState.CANCELLED)], ids=["with-rule", "without"]
)
def test_a_machine_that_shuts_down_ends_it_as_its_rule_says(
    make: MakeLedger, attempts: int, state: OperationState
) -> None:
    """systemd sends SIGTERM to every process; nobody has asked to cancel."""
    ledger = make({"stuck": QueueRule(attempts=attempts)})
    operation = ledger.start("stuck", "thing")
    first_line(ledger, operation, "stuck")
    supervisor = ledger.get(operation.id).pid
    connection = shared_connection(ledger.path)
    connection.execute("INSERT INTO flag VALUES ('queue_held', 1)")  # nobody reads the ledger of such a machine
    os.kill(supervisor, signal.SIGTERM)
    until(lambda: not processes.start_time(supervisor))
    assert ledger.get(operation.id).state is state


def test_a_cancel_before_a_planned_stop_stays_a_cancel(make: MakeLedger) -> None:
    ledger = make({"deaf": THRICE})
    operation = ledger.start("deaf", "thing")
    first_line(ledger, operation, "deaf")
    ledger.cancel(operation.id)
    ledger.requeue_live()
    assert ledger.wait(operation.id, 30).state is OperationState.CANCELLED


def test_a_lost_supervisor_is_an_attempt_and_the_queue_goes_on(make: MakeLedger, site: Site) -> None:
    ledger = make({"wait": THRICE})
    operation = ledger.start("wait", "thing")
    first_line(ledger, operation, "waiting")
    os.kill(ledger.get(operation.id).pid, signal.SIGKILL)
    (site.root / "go").touch()
    until(lambda: ledger.get(operation.id).attempt == 2)
    assert ledger.wait(operation.id, 30).state is OperationState.DONE
    assert "attempt 1 was lost: its processes were killed; queued again" in _history(ledger, operation)
