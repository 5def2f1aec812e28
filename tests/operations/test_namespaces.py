"""A restarted container has another pid namespace, in which old pids mean nothing; the boot id is the host's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.operations import processes
from core.operations.database import shared_connection
from core.operations.ledger import Ledger
from core.operations.model import OperationState
from core.operations.queue import QueueRule
from core.site import Site
from tests.operations.conftest import MakeLedger
from tests.operations.support import first_line, start_and_wait, stop_supervisor
from tests.support import require, until

_ROOT = os.fspath(Path(__file__).parents[2])
_PRELUDE = (
    "import sys; sys.path.insert(0, sys.argv[1])\n"
    "from core.operations.ledger import Ledger\n"
    "from tests.operations.queue_place import open_queue_place\n"
    "ledger = Ledger(open_queue_place(sys.argv[2]))\n"
)
StartContainer = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def container(site: Site) -> Iterator[StartContainer]:
    """Runs code in a pid namespace of its own, as in a container; all of it is killed with its first process."""
    require(os.geteuid() == 0, "root, for a pid namespace")
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", _PRELUDE + code]
        started.append(subprocess.Popen([*words, _ROOT, os.fspath(site.root)], stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


_SERVICE = (
    "operation = ledger.start('wait', 'thing')\n"
    "for update in ledger.follow(operation.id):\n"
    "    if update.lines: print(operation.id, flush=True)\n"
)


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def test_after_the_container_is_gone_the_queue_goes_on_at_once(
    make: MakeLedger, site: Site, container: StartContainer
) -> None:
    ledger = make({"wait": QueueRule(resources=("cpu",), attempts=3)})
    service = container(_SERVICE)
    assert service.stdout is not None
    identifier = int(service.stdout.readline())
    shared_connection(ledger.path).execute("UPDATE operation SET lease = lease + 1000000")
    _kill(service)
    until(lambda: ledger.get(identifier).attempt == 2)
    (site.root / "go").touch()
    assert ledger.wait(identifier, 30).state is OperationState.DONE
    assert "attempt 1 was lost: its container is gone; queued again" in [
        event.what for event in ledger.events(identifier)
    ]


def test_a_restarted_container_whose_namespace_got_the_same_number_is_another_one(
    make: MakeLedger, container: StartContainer
) -> None:
    ledger = make({"wait": QueueRule(attempts=3)})
    service = container(_SERVICE)
    assert service.stdout is not None
    identifier = int(service.stdout.readline())
    ledger_row = shared_connection(ledger.path).execute("SELECT namespace FROM operation").fetchone()[0]
    theirs, ours = (namespace.partition("@")[0] for namespace in (ledger_row, processes.pid_namespace()))
    shared_connection(ledger.path).execute("UPDATE operation SET namespace = replace(namespace, ?, ?)", (theirs, ours))
    _kill(service)
    until(lambda: ledger.get(identifier).attempt == 2)
    assert "attempt 1 was lost: its container is gone; queued again" in [
        event.what for event in ledger.events(identifier)
    ]


def test_without_a_rule_it_is_crashed_when_its_container_is_gone(make: MakeLedger, container: StartContainer) -> None:
    ledger = make({})
    service = container(_SERVICE)
    assert service.stdout is not None
    identifier = int(service.stdout.readline())
    assert ledger.get(identifier).state is OperationState.RUNNING
    _kill(service)
    until(lambda: ledger.get(identifier).state is OperationState.CRASHED)


def test_from_another_container_a_slow_supervisor_is_not_taken_for_a_dead_one(
    make: MakeLedger, container: StartContainer
) -> None:
    ledger = make({"wait": QueueRule(attempts=3)})
    operation, _ = start_and_wait(ledger)
    stop_supervisor(ledger, operation.pid)
    try:
        shared_connection(ledger.path).execute("UPDATE operation SET lease = 0.001")
        other = container(f"print(ledger.get({operation.id}).state.value)")
        assert other.communicate(timeout=30)[0] == "running\n"
    finally:
        os.kill(operation.pid, signal.SIGCONT)
    assert ledger.get(operation.id).attempt == 1


def test_a_cancel_from_another_container_works(make: MakeLedger, container: StartContainer) -> None:
    ledger = make({})
    operation, pid = start_and_wait(ledger)
    container(f"ledger.cancel({operation.id})").communicate(timeout=30)
    assert ledger.wait(operation.id, 30).state is OperationState.CANCELLED
    until(lambda: not processes.start_time(pid))


def test_a_machine_that_went_down_is_named_and_its_work_is_queued_again(make: MakeLedger, site: Site) -> None:
    ledger = make({"wait": QueueRule(attempts=2)})
    operation = ledger.start("wait", "thing")
    first_line(ledger, operation, "waiting")
    _as_after_a_reboot(ledger, operation.id)
    until(lambda: ledger.get(operation.id).attempt == 2)
    first_line(ledger, operation, "attempt 2")
    _as_after_a_reboot(ledger, operation.id)
    crashed = ledger.get(operation.id)
    assert (crashed.state, crashed.attempt) == (OperationState.CRASHED, 2)
    assert "attempt 1 was lost: the machine was restarted; queued again" in [
        event.what for event in ledger.events(operation.id)
    ]


def _as_after_a_reboot(ledger: Ledger, identifier: int) -> None:
    stop_supervisor(ledger, ledger.get(identifier).pid)  # it would renew its lease, and with that nothing changes
    shared_connection(ledger.path).execute("UPDATE operation SET boot = 'another' WHERE id = ?", (identifier,))
