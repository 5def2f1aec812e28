"""What is deleted from the ledger: what ended first, and nothing that somebody has started again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.operations import retention
from core.site import Site
from tests.operations.conftest import MakeLedger
from tests.operations.queue_place import open_queue_place
from tests.operations.support import start_and_wait


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
