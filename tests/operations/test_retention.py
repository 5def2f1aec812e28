"""What is deleted: what ended first, nothing that somebody has started again, and what was left by kills."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.operations import processes, retention
from core.site import Site
from tests.operations.conftest import MakeLedger
from tests.operations.queue_place import open_queue_place
from tests.operations.support import start_and_wait
from tests.support import until


def test_what_ended_last_stays(make: MakeLedger) -> None:
    ledger = make({}, keep=1)
    first = ledger.wait(ledger.start("broken", "first").id, 30)
    ledger.wait(ledger.start("quick", "second").id, 30)
    ledger.wait(ledger.retry(first.id).id, 30)
    ledger.dispatch()
    assert [operation.id for operation in ledger.list()] == [first.id]


def test_what_was_started_again_in_the_meantime_keeps_its_log_and_events(
    make: MakeLedger, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = make({})
    operation, _ = start_and_wait(ledger)
    monkeypatch.setattr(retention, "read_rows", lambda *_: [{"id": operation.id}])  # as read before it was started
    retention.prune(open_queue_place(os.fspath(site.root)))
    assert Path(operation.log).exists()
    assert ledger.event_range()[0] == 1


def test_what_supervisors_left_that_were_killed_at_their_end_is_removed(make: MakeLedger) -> None:
    ledger = make({})
    running, _ = start_and_wait(ledger)
    ended = ledger.wait(ledger.start("quick", "other").id, 30)
    until(lambda: not processes.start_time(ended.pid))
    folder = Path(ended.log).parent
    held = {path.name for path in folder.iterdir()}
    for name in (f"{ended.id}.0123abcd.lock", f"{ended.id}.reserve"):
        (folder / name).touch()
    ledger.dispatch()
    assert {path.name for path in folder.iterdir()} == held
    assert f"{running.id}.reserve" in held
