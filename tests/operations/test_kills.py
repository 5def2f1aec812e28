"""Supervisors and workers are killed at random moments: the queue goes on, and the history tells the truth."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

from core.operations import processes
from core.operations.ledger import Ledger
from core.operations.model import OperationState
from core.operations.queue import QueueRule
from core.site import Site
from tests.operations.conftest import MakeLedger
from tests.operations.queue_place import QUICK_PAUSES
from tests.operations.support import first_line, leftovers, processes_of
from tests.support import until

KILLS = 25


def test_a_queue_whose_processes_are_killed_at_random_comes_to_its_end(make: MakeLedger, site: Site) -> None:
    rule = QueueRule(resources=("cpu",), attempts=3, pauses=QUICK_PAUSES)
    ledger = make({"quick": rule, "flaky": rule, "chatty": rule}, {"cpu": 3})
    kinds = ("quick", "flaky", "chatty")
    started = [ledger.start(kinds[number % 3], f"thing-{number}").id for number in range(10)]
    chance = random.Random(14)
    killed = 0
    deadline = time.monotonic() + 60
    while killed < KILLS and ledger.list(live_only=True) and time.monotonic() < deadline:
        time.sleep(chance.uniform(0, 0.15))
        killed += _kill_one(ledger, chance)
    for identifier in started:
        ledger.wait(identifier, 60)
    assert ledger.list(live_only=True) == []
    for identifier in started:
        _check_history(ledger, identifier)
    assert leftovers(site.root) == []
    ledger.dispatch()  # the next start removes what a supervisor left that was killed after its last write
    assert not [path for path in (site.state / "operations").iterdir() if path.suffix in (".lock", ".reserve")]


def test_after_everything_was_killed_at_once_the_next_start_goes_on(make: MakeLedger, site: Site) -> None:
    rule = QueueRule(resources=("cpu",), attempts=3)
    ledger = make({"wait": rule, "quick": rule}, {"cpu": 3})
    running = [ledger.start("wait", f"running-{number}") for number in range(3)]
    waiting = [ledger.start("quick", f"waiting-{number}") for number in range(2)]
    for operation in running:
        first_line(ledger, operation, "waiting as")
    pids = {pid for one in running for pid in processes_of(ledger.get(one.id), site.root)} - {os.getpid()}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(processes.start_time(pid) for pid in pids))
    (site.root / "go").touch()
    ledger.dispatch()
    for operation in running + waiting:
        assert ledger.wait(operation.id, 30).state is OperationState.DONE
        _check_history(ledger, operation.id)
    assert {ledger.get(operation.id).attempt for operation in running} == {2}
    assert leftovers(site.root) == []


def _kill_one(ledger: Ledger, chance: random.Random) -> int:
    """Kill a supervisor or one of its children; returns how many were killed."""
    supervisors = [operation.pid for operation in ledger.list(live_only=True) if operation.pid]
    pids = [pid for one in supervisors for pid in (one, *processes.descendants(one)) if processes.start_time(pid)]
    if not pids:
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(pids), signal.SIGKILL)
    return 1


def _check_history(ledger: Ledger, identifier: int) -> None:
    operation = ledger.get(identifier)
    events = ledger.stored_events(0, 1000, identifier)
    attempts = [event.what for event in events if event.what.startswith("started, attempt ")]
    assert attempts == [f"started, attempt {number}" for number in range(1, operation.attempt + 1)]
    failed = [event for event in events if "was lost" in event.what or " failed: " in event.what]
    assert len(failed) == operation.attempt - 1, "each attempt before the last one has its end in the history"
    assert events[-1].what == events[-1].state == operation.state.value
    assert [event.seq for event in events if event.state == operation.state.value] == [events[-1].seq]
    assert operation.attempt <= 3
    if operation.state is OperationState.DONE:
        assert operation.result is not None
