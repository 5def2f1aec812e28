"""Operations: the time to cancel, the log lines stored per second, and the delay until a follower sees a line."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from core.operations import processes
from core.operations.ledger import Ledger
from core.operations.log import LogReader
from core.operations.model import OperationState
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.sample_kinds import KINDS
from tests.operations.support import CANCEL_SECONDS, first_line

LINES = 50_000
LINES_A_SECOND = 10_000
START_RATIO = 3.0  # until the work itself runs, to one fresh interpreter with the models: two of them, and a small one
ROUNDS = 5


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


def _pour(ledger: Ledger) -> bool:
    operation = ledger.wait(ledger.start("pour", "thing", {"lines": LINES}).id)
    log = LogReader(Path(operation.log))
    kept = 0
    while lines := log.read():
        kept += sum(line.stage == "pour" for line in lines)
    rate = kept / operation.seconds
    print(f"{'log lines kept':<26} {kept} of {LINES}, {rate:,.0f} a second   budget {LINES_A_SECOND:,}")
    return kept < LINES or rate < LINES_A_SECOND
