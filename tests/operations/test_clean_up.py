"""The clean-up after a supervisor that is gone: it blocks nobody, and another process can go on with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.operations import processes
from core.operations.ledger import Ledger
from core.operations.model import Operation, OperationState
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.conftest import MakeLedger
from tests.operations.queue_place import open_queue_place
from tests.operations.support import KINDS, first_line, start_and_wait
from tests.support import until
from tests.support.disks import fill

_ROOT = os.fspath(Path(__file__).parents[2])


def _kill_supervisor(operation: Operation) -> None:
    os.kill(operation.pid, signal.SIGKILL)
    until(lambda: not processes.is_alive(operation.pid, processes.start_time(operation.pid)))


def _ledger_with(site: Site, remove_leftovers: Callable[[str], None]) -> Ledger:
    return Ledger(replace(open_queue_place(os.fspath(site.root)), remove_leftovers=remove_leftovers))


def test_a_long_clean_up_blocks_no_other_writer(make: MakeLedger, site: Site) -> None:
    ledger = make({})
    other = ledger.start("wait", "other")
    first_line(ledger, other, "waiting")
    operation, _ = start_and_wait(ledger)
    begun, may_end = threading.Event(), threading.Event()

    def clean_slowly(_key: str) -> None:
        begun.set()
        may_end.wait(60)

    slow = _ledger_with(site, clean_slowly)
    _kill_supervisor(operation)
    reader = threading.Thread(target=slow.get, args=(operation.id,))
    reader.start()
    try:
        assert begun.wait(30)
        assert ledger.get(operation.id).state is OperationState.RUNNING, "its key is not free yet"
        ledger.cancel(other.id)
        assert ledger.wait(other.id, 30).state is OperationState.CANCELLED
        assert ledger.get(operation.id).state is OperationState.RUNNING
    finally:
        may_end.set()
        reader.join()
    assert ledger.get(operation.id).state is OperationState.CRASHED
    assert not list(ledger.log_path(operation.id).parent.glob(f"{operation.id}.*.lock"))


def test_a_clean_up_that_is_killed_is_done_by_the_next_reader(make: MakeLedger, site: Site) -> None:
    ledger = make({})
    operation, pid = start_and_wait(ledger)
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from dataclasses import replace\n"
        "from core.operations.ledger import Ledger\n"
        "from tests.operations.queue_place import open_queue_place\n"
        "place = replace(open_queue_place(sys.argv[2]), remove_leftovers=lambda key: os._exit(9))\n"
        "Ledger(place).get(int(sys.argv[3]))\n"
    )
    _kill_supervisor(operation)
    words = [sys.executable, "-c", code, _ROOT, os.fspath(site.root), str(operation.id)]
    assert subprocess.run(words, check=False).returncode == 9
    assert ledger.get(operation.id).state is OperationState.CRASHED
    assert not processes.start_time(pid)
    assert ledger.wait(ledger.start("quick", "thing").id, 30).state is OperationState.DONE


def test_what_cannot_be_ended_on_a_full_disk_can_be_read(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    ledger = site_ledger(Site.open(small_disk), KINDS)
    operation, _ = start_and_wait(ledger)
    _kill_supervisor(operation)
    (small_disk / ".xaiva" / "operations" / f"{operation.id}.reserve").unlink()
    hog = fill(small_disk)
    for _ in range(2):
        assert ledger.get(operation.id).state is OperationState.RUNNING
        assert [shown.id for shown in ledger.list()] == [shown.id for shown in ledger.page()] == [operation.id]
    assert [record.message for record in caplog.records if "full" in record.message] == [caplog.records[0].message]
    hog.unlink()
    assert ledger.get(operation.id).state is OperationState.CRASHED


def test_finding_an_operation_repairs_nothing(make: MakeLedger) -> None:
    ledger = make({})
    operation, _ = start_and_wait(ledger)
    _kill_supervisor(operation)
    found = ledger.find(operation.id)
    assert found is not None
    assert found.state is OperationState.RUNNING
    assert ledger.find(operation.id + 1) is None
    assert ledger.get(operation.id).state is OperationState.CRASHED
