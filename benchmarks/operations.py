"""Operations: the time to start, cancel and stop as planned, a long queue, and the log lines stored per second."""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from core.operations import processes, sql
from core.operations.dispatch import plan_dispatch
from core.operations.ledger import Ledger
from core.operations.log import LogReader
from core.operations.model import OperationState
from core.operations.queue import QueueRule
from core.operations.rows import parse_queue_entry
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.queue_place import queue_ledger
from tests.operations.sample_kinds import KINDS
from tests.operations.support import CANCEL_SECONDS, first_line

LINES = 50_000
LINES_A_SECOND = 10_000
START_RATIO = 3.0  # until the work itself runs, to one fresh interpreter with the models: two of them, and a small one
ROUNDS = 5
QUEUED = 1000
QUEUE_READ_SECONDS = 0.25  # a follower reads as often as that: even with a long queue that has to be cheap
STOP_SECONDS = 1.5  # a planned stop of several operations at once
RUNNING = ("wait", "stuck", "deaf", "nested")


def main() -> int:
    """Print the figures; returns 1 if one misses its budget."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = site_ledger(Site.open(folder), KINDS)
        missed = [
            _budget("start to first line", _median(lambda: _start(ledger)), START_RATIO * _median(_interpreter)),
            _budget("cancel, cooperative", _median(lambda: _cancel(ledger, "wait", "waiting")), CANCEL_SECONDS),
            _budget("cancel, stuck", _median(lambda: _cancel(ledger, "stuck", "stuck")), CANCEL_SECONDS),
            _budget("cancel, ignores SIGTERM", _median(lambda: _cancel(ledger, "deaf", "deaf")), CANCEL_SECONDS),
            _budget("cancel, deaf grandchild", _median(lambda: _cancel(ledger, "nested", "child")), CANCEL_SECONDS),
            _pour(ledger),
            *_queue(Path(folder)),
        ]
    return int(any(missed))


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(ROUNDS))


def _budget(name: str, value: float, budget: float) -> bool:
    print(f"{name:<26} {value * 1000:7.0f} ms   budget {budget * 1000:.0f} ms")
    return value > budget


def _interpreter() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import core.site, core.progress, sqlite3"], check=True)
    return time.monotonic() - began


def _start(ledger: Ledger) -> float:
    began = time.monotonic()
    operation = ledger.start("quick", "thing")
    first_line(ledger, operation, "hello")
    took = time.monotonic() - began
    ledger.wait(operation.id)
    return took


def _cancel(ledger: Ledger, kind: str, sign: str) -> float:
    operation = ledger.start(kind, "thing")
    pid = int(first_line(ledger, operation, sign).split()[-1])
    began = time.monotonic()
    ledger.cancel(operation.id)
    while processes.start_time(pid) or ledger.get(operation.id).state.live:
        time.sleep(0.005)
    took = time.monotonic() - began
    assert ledger.get(operation.id).state is OperationState.CANCELLED
    return took


def _queue(folder: Path) -> list[bool]:
    """A queue of QUEUED behind four that run: what a request, a look and a planned stop cost."""
    root, temporary = folder / "queue", folder / "temporary"
    for each in (root, temporary):
        each.mkdir()
    rule = QueueRule(resources=("cpu",), attempts=3)
    ledger = queue_ledger(root, temporary, dict.fromkeys((*RUNNING, "quick"), rule), {"cpu": len(RUNNING)})
    for kind, sign in zip(RUNNING, ("waiting", "stuck", "deaf", "child"), strict=True):
        first_line(ledger, ledger.start(kind, kind), sign)
    for number in range(QUEUED):
        with sqlite3.connect(ledger.path) as connection:
            _insert(connection, number)
    began = time.monotonic()
    last = ledger.start("quick", "last")
    request = time.monotonic() - began
    look = _median(lambda: _timed(lambda: ledger.get(last.id)))
    page = _median(lambda: _timed(lambda: ledger.page(limit=50)))
    with sqlite3.connect(ledger.path) as connection:
        connection.row_factory = sqlite3.Row
        entries = [parse_queue_entry(row) for row in connection.execute(sql.QUEUE)]
    plan = _median(lambda: _timed(lambda: plan_dispatch(entries, {"cpu": len(RUNNING)})))
    stop = _timed(ledger.requeue_live)
    assert {operation.state for operation in ledger.list(limit=-1)} == {OperationState.QUEUED}
    return [
        _budget(f"request behind {QUEUED}", request, QUEUE_READ_SECONDS),
        _budget(f"look at one of {QUEUED}", look, QUEUE_READ_SECONDS / 2),
        _budget(f"page of {QUEUED}", page, QUEUE_READ_SECONDS / 2),
        _budget(f"plan for {QUEUED}", plan, QUEUE_READ_SECONDS / 5),
        _budget(f"planned stop of {len(RUNNING)}", stop, STOP_SECONDS),
    ]


def _insert(connection: sqlite3.Connection, number: int) -> None:
    values = {"kind": "quick", "subject": f"{number}", "key": f"preset:{number}", "target": KINDS["quick"]}
    request = {"options": "{}", "priority": number % 3, "resources": '["cpu"]', "request_key": "", "by": "a benchmark"}
    connection.execute(sql.INSERT, {**values, **request, "token": os.urandom(8).hex(), "now": time.time()})


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _pour(ledger: Ledger) -> bool:
    operation = ledger.wait(ledger.start("pour", "thing", {"lines": LINES}).id)
    log = LogReader(Path(operation.log))
    kept = 0
    while lines := log.read():
        kept += sum(line.stage == "pour" for line in lines)
    rate = kept / operation.seconds
    print(f"{'log lines kept':<26} {kept} of {LINES}, {rate:,.0f} a second   budget {LINES_A_SECOND:,}")
    return kept < LINES or rate < LINES_A_SECOND
