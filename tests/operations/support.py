"""What the tests of operations share: short waits on a condition, and looks into /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from core.operations import processes
from core.operations.ledger import Ledger
from core.operations.model import Operation, Update
from tests.operations.sample_kinds import KINDS

__all__ = ["CANCEL_SECONDS", "KINDS", "first_line", "leftovers", "processes_of", "until"]

CANCEL_SECONDS = 1.0  # what is promised; benchmarks/operations.py holds it to that
PATIENCE = 20.0  # seconds until a wait counts as failed; far more than anything here takes


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.01)


def first_line(ledger: Ledger, operation: Operation, text: str) -> str:
    """Follow until a line of the log holds `text`; that line."""
    updates: Iterator[Update] = ledger.follow(operation.id, poll=0.01)
    for update in updates:
        for line in update.lines:
            if text in line.text:
                return line.text
    raise AssertionError(f"{ledger.get(operation.id)} ended without {text!r}")


def processes_of(operation: Operation, site_root: Path) -> set[int]:
    """The living processes that work in the site: the supervisor, the worker and their children."""
    pids = {operation.pid} if processes.start_time(operation.pid) else set()
    return pids | processes.descendants(operation.pid) | _with_site(site_root)


def _with_site(root: Path) -> set[int]:
    pids = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(root) in words and processes.start_time(int(name)):
            pids.add(int(name))
    return pids


def leftovers(root: Path) -> list[Path]:
    """Temporary files anywhere in the site."""
    return list(root.rglob(".xaiva-tmp-*"))
