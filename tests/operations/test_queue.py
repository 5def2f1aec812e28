"""The queue: as many operations run as there is room; the others wait, say why, and start without any supervisor."""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import InputError
from core.operations import dispatcher, endings, processes, sql
from core.operations.ledger import Ledger
from core.operations.liveness import take_lock
from core.operations.model import OperationBusy, OperationState
from core.operations.place import Place
from core.operations.queue import QueueRule
from core.site import Site
from tests.operations.conftest import MakeLedger
from tests.operations.support import first_line, leftovers
from tests.support import until
from tui.sources import Sources

ROOT = os.fspath(Path(__file__).parents[2])
CPU = QueueRule(resources=("cpu",))


def test_the_second_on_a_resource_waits_says_why_and_starts_when_the_first_ends(make: MakeLedger, site: Site) -> None:
    ledger = make({"wait": CPU, "quick": CPU})
    first = ledger.start("wait", "first")
    second, third = ledger.start("quick", "second"), ledger.start("quick", "third")
    assert second.state is OperationState.QUEUED
    assert second.resources == ["cpu"]
    assert second.why_queued == f"waits for cpu: operation {first.id} (wait first) uses it"
    assert third.why_queued == f"waits for cpu: operation {first.id} (wait first) uses it; 1 is before it"
    assert ledger.get(first.id).why_queued == ""
    (site.root / "go").touch()
    assert ledger.wait(third.id, 30).state is OperationState.DONE
    ended = [ledger.get(operation.id) for operation in (first, second, third)]
    assert all(before.ended <= after.started for before, after in itertools.pairwise(ended))


def test_what_needs_no_resource_starts_at_once(make: MakeLedger) -> None:
    ledger = make({"wait": CPU})
    ledger.start("wait", "first")
    ledger.start("wait", "second")
    assert ledger.wait(ledger.start("quick", "third").id, 30).state is OperationState.DONE


def test_a_higher_priority_goes_first_and_equal_ones_keep_their_order(make: MakeLedger, site: Site) -> None:
    ledger = make({"wait": CPU, "quick": CPU})
    ledger.start("wait", "first")
    started = [ledger.start("quick", f"{number}", priority=number % 2) for number in range(4)]
    (site.root / "go").touch()
    ended = [ledger.wait(operation.id, 30) for operation in started]
    assert [operation.subject for operation in sorted(ended, key=lambda operation: operation.started)] == [
        *("1", "3"),
        *("0", "2"),
    ]


def test_capacity_is_never_exceeded_by_fifty_that_start_at_once(make: MakeLedger, site: Site) -> None:
    ledger = make({"wait": CPU}, {"cpu": 3})
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.operations.queue_place import open_queue_place\n"
        "from core.operations.ledger import Ledger\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "ledger = Ledger(open_queue_place(sys.argv[2]))\n"
        "print(*ThreadPoolExecutor(10).map(lambda n: ledger.start('wait', f'{sys.argv[3]}-{n}').id, range(10)))\n"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, ROOT, os.fspath(site.root), str(number)], stdout=subprocess.PIPE, text=True
        )
        for number in range(5)
    ]
    started = {int(word) for child in children for word in child.communicate(timeout=60)[0].split()}
    assert len(started) == 50
    running = {operation.id for operation in ledger.list(100) if not operation.why_queued}
    assert len(running) == 3
    until(lambda: all(ledger.get(number).state is OperationState.RUNNING for number in running))
    for number in sorted(started - running)[10:]:  # the rest would take too long here
        ledger.cancel(number)
    (site.root / "go").touch()
    until(lambda: not ledger.list(live_only=True), seconds=60)
    done = ledger.page(state=OperationState.DONE)
    assert len(done) == 13
    assert {operation.attempt for operation in done} == {1}
    assert _most_at_once(ledger) <= 3


def _most_at_once(ledger: Ledger) -> int:
    most = now = 0
    for event in ledger.stored_events(0, 10_000):
        now += event.what.startswith("started") - (not OperationState(event.state).live)
        most = max(most, now)
    return most


def test_a_cancelled_waiting_operation_never_starts_and_the_next_one_does(make: MakeLedger, site: Site) -> None:
    ledger = make({"wait": CPU, "quick": CPU})
    first, second, third = (
        ledger.start(kind, kind + mark) for kind, mark in (("wait", ""), ("wait", "2"), ("quick", ""))
    )
    cancelled = ledger.cancel(second.id, by="an operator from 10.0.0.7")
    assert cancelled.state is OperationState.CANCELLED
    assert cancelled.failure is not None
    assert cancelled.failure.what == "wait wait2 was cancelled before it started"
    ledger.cancel(first.id)
    assert ledger.wait(third.id, 30).state is OperationState.DONE
    assert ledger.get(second.id).attempt == 0
    assert [(event.what, event.by) for event in ledger.events(second.id)][1:] == [
        ("cancel requested", "an operator from 10.0.0.7"),
        ("cancelled", ""),
    ]


@pytest.mark.parametrize(("kind", "sign"), [("wait", "waiting"), ("nested", "child")])
def test_cancelled_is_said_when_nothing_is_left_and_then_the_next_one_starts(
    make: MakeLedger, site: Site, temporary: Path, kind: str, sign: str
) -> None:
    ledger = make({kind: CPU, "polite": CPU})
    first, second = ledger.start(kind, "first"), ledger.start("polite", "second")
    pid = int(first_line(ledger, first, sign).split()[-1])
    ledger.cancel(first.id)
    while ledger.get(first.id).state.live:
        assert "uses it" in ledger.get(second.id).why_queued or not ledger.get(first.id).state.live
    assert ledger.get(first.id).state is OperationState.CANCELLED
    assert not processes.start_time(pid)
    assert leftovers(site.root) == []
    assert not any(f"operation-{first.id}-" in path.name for path in temporary.iterdir())
    ended = ledger.wait(second.id, 30)
    assert ended.state is OperationState.DONE
    assert ended.started >= ledger.get(first.id).ended


def test_a_waiting_operation_survives_a_reboot(make: MakeLedger) -> None:
    ledger = make({"wait": CPU})
    first, second = ledger.start("wait", "first"), ledger.start("wait", "second")
    first_line(ledger, first, "waiting")
    with closing(sqlite3.connect(ledger.path)) as connection, connection:
        connection.execute("UPDATE operation SET boot = 'another'")
    assert ledger.get(first.id).state is OperationState.CRASHED
    until(lambda: ledger.get(second.id).state is OperationState.RUNNING)


def test_what_does_not_come_up_waits_some_seconds_and_loses_no_attempt(
    make: MakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "START_PAUSE_SECONDS", 600.0)
    ledger = make({"wait": QueueRule(resources=("cpu",), attempts=2)})
    first, second = ledger.start("wait", "first"), ledger.start("wait", "second")
    with closing(sqlite3.connect(ledger.path)) as connection, connection:
        values = {"id": second.id, "boot": processes.boot_id(), "lease": 0.001}  # as if started, long ago
        connection.execute(sql.MARK_STARTING, values)
    ledger.cancel(first.id)
    for _ in range(3):
        assert ledger.get(second.id).why_queued.startswith("is tried again in ")
        with closing(sqlite3.connect(ledger.path)) as connection, connection:
            connection.execute(sql.MARK_STARTING, values)
    assert [event.what for event in ledger.events(second.id)] == [
        "requested",
        "its process did not come up; queued again",
    ]
    assert ledger.get(second.id).state is OperationState.QUEUED


def test_a_lack_of_processes_that_passes_costs_no_job(make: MakeLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make({"quick": QueueRule(resources=("cpu",), attempts=3)})
    tries: list[int] = []

    def refuse(_place: Place, identifier: int, *_more: object) -> None:
        tries.append(identifier)
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as lack:
        lack.setattr(dispatcher, "spawn_supervisor", refuse)
        lack.setattr(endings, "START_PAUSE_SECONDS", 600.0)
        started = [ledger.start("quick", f"{number}").id for number in range(5)]
        for _ in range(10):
            waiting = ledger.list()
    assert set(tries) == set(started)
    assert {operation.state for operation in waiting} == {OperationState.QUEUED}
    assert {operation.why_queued.split(" in ")[0] for operation in waiting} == {"is tried again"}
    with closing(sqlite3.connect(ledger.path)) as connection, connection:
        connection.execute("UPDATE operation SET not_before = 0")  # the pauses are over
    assert {ledger.wait(identifier, 60).state for identifier in started} == {OperationState.DONE}


def test_what_needs_more_than_there_is_is_refused_at_once(make: MakeLedger) -> None:
    ledger = make({"quick": QueueRule(resources=("gpu:0", "gpu:0"))})
    with pytest.raises(InputError, match="it needs 2 of gpu:0, and there is room for 1"):
        ledger.start("quick", "thing")
    assert ledger.list() == []


def test_the_same_request_twice_starts_one_operation(make: MakeLedger) -> None:
    ledger = make({})
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda _: ledger.start("quick", "thing", request_key="abc").id, range(24)))
    assert len(set(started)) == 1
    ended = ledger.wait(started[0], 30)
    assert ledger.start("wait", "other", request_key="abc") == ended
    assert ledger.start("quick", "thing", request_key="abcd").id != ended.id


def test_one_key_has_one_live_operation_also_while_it_waits(make: MakeLedger) -> None:
    ledger = make({"wait": CPU})
    first, second = ledger.start("wait", "first"), ledger.start("wait", "second")
    with pytest.raises(OperationBusy) as caught:
        ledger.start("quick", "second")
    assert caught.value.why.startswith(f"operation {second.id} (wait second) has been queued for it since 20")
    assert caught.value.why.endswith(f" (waits for cpu: operation {first.id} (wait first) uses it)")


def test_pages_filter_and_continue_before_an_id(make: MakeLedger) -> None:
    ledger = make({})
    ids = [ledger.wait(ledger.start("quick", f"thing-{number % 2}").id).id for number in range(4)]
    broken = ledger.wait(ledger.start("broken", "thing-0").id)
    assert [operation.id for operation in ledger.page(kind="quick", limit=3)] == ids[:0:-1]
    assert [operation.id for operation in ledger.page(kind="quick", before=ids[1])] == ids[:1]
    assert [operation.id for operation in ledger.page(state=OperationState.FAILED)] == [broken.id]
    assert [operation.id for operation in ledger.page(subject="thing-1")] == [ids[3], ids[1]]
    assert [operation.id for operation in ledger.page(since=broken.created)] == [broken.id]
    assert [operation.id for operation in ledger.page(until=broken.created)] == ids[::-1]


def test_stored_events_have_numbers_that_are_never_used_twice(make: MakeLedger) -> None:
    ledger = make({}, keep=2)
    assert ledger.event_range() == (1, 0)
    ended = [ledger.wait(ledger.start("quick", f"{number}", by="somebody").id) for number in range(2)]
    first, *_, last = ledger.stored_events(0, 100)
    assert (first.seq, first.operation, first.what, first.by, first.state) == (
        *(1, ended[0].id),
        *("requested", "somebody", "queued"),
    )
    assert (last.what, last.state) == ("done", "done")
    assert ledger.event_range() == (1, 6)
    assert [event.seq for event in ledger.stored_events(4, 1)] == [5]
    assert {event.operation for event in ledger.stored_events(0, 100, ended[1].id)} == {ended[1].id}
    ledger.wait(ledger.start("quick", "2").id)
    ledger.wait(ledger.start("quick", "3").id)  # the first one is forgotten now
    assert ledger.event_range() == (4, 12)
    assert ledger.stored_events(0, 100)[0].seq == 4


def test_operations_older_than_so_many_days_are_forgotten(make: MakeLedger) -> None:
    ledger = make({}, keep_days=30.0)
    old, new = (ledger.wait(ledger.start("quick", word).id) for word in ("old", "new"))
    with closing(sqlite3.connect(ledger.path)) as connection, connection:
        connection.execute("UPDATE operation SET ended = ended - 31 * 86400 WHERE id = ?", (old.id,))
    ledger.dispatch()
    assert [operation.id for operation in ledger.list()] == [new.id]
    assert not Path(old.log).exists()


def test_the_start_of_the_console_starts_what_waits(make: MakeLedger, site: Site) -> None:
    ledger = make({"quick": CPU})
    ledger.wait(ledger.start("refused", "thing").id)
    ledger.requeue_live()
    waiting = ledger.start("quick", "other")
    assert waiting.why_queued == "waits for the next start of the service"
    assert Sources(site).operations()[0].id == waiting.id
    assert ledger.wait(waiting.id, 30).state is OperationState.DONE


def test_dispatch_creates_nothing_where_there_is_no_ledger(make: MakeLedger, site: Site) -> None:
    ledger = make({})
    ledger.dispatch()
    ledger.requeue_live()
    assert not site.state.exists()


def test_a_lock_that_cannot_be_had_leaves_no_file_and_no_handle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_handle: int, _how: int) -> None:
        assert handles() == 1
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    def handles() -> int:
        ends = (path for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
        return sum(os.path.realpath(end).startswith(os.fspath(tmp_path)) for end in ends)

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert take_lock(tmp_path / "1.lock") is None
    assert handles() == 0
    assert list(tmp_path.iterdir()) == []


def test_what_waits_gets_the_resources_of_the_service_that_starts(make: MakeLedger, site: Site) -> None:
    ledger = make({"wait": QueueRule(resources=("gpu:0",)), "quick": QueueRule(resources=("gpu:0",))})
    running, waiting = ledger.start("wait", "first"), ledger.start("quick", "second")
    other = make({"wait": CPU, "quick": CPU})  # the GPU was taken out
    other.dispatch()
    ended = other.wait(waiting.id, 30)
    assert (ended.state, ended.resources) == (OperationState.DONE, ["cpu"])
    assert other.get(running.id).resources == ["gpu:0"]
