"""What the tests of operations share: a started operation, and looks into /proc."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from core.operations import processes
from core.operations.database import shared_connection, transaction
from core.operations.ledger import Ledger
from core.operations.model import Operation, Update
from core.process_identity import stat_fields
from tests.operations.sample_kinds import KINDS
from tests.support import until

__all__ = [
    "CANCEL_SECONDS",
    "KINDS",
    "first_line",
    "leftovers",
    "processes_of",
    "site_processes",
    "start_and_wait",
    "stop_supervisor",
]

CANCEL_SECONDS = 1.0  # what is promised; benchmarks/operations.py holds it to that


def first_line(ledger: Ledger, operation: Operation, text: str) -> str:
    """Follow until a line of the log holds `text`; that line."""
    updates: Iterator[Update] = ledger.follow(operation.id, poll=0.01)
    for update in updates:
        for line in update.lines:
            if text in line.text:
                return line.text
    raise AssertionError(f"{ledger.get(operation.id)} ended without {text!r}")


def start_and_wait(ledger: Ledger, kind: str = "wait", text: str = "waiting") -> tuple[Operation, int]:
    """Start an operation and wait for a line with `text`; returns it, running, and the pid at the end of that line."""
    operation = ledger.start(kind, "thing")
    pid = int(first_line(ledger, operation, text).split()[-1])
    return ledger.get(operation.id), pid


def stop_supervisor(ledger: Ledger, pid: int) -> None:
    """Stop a supervisor, as SIGSTOP does, while it writes nothing: it would keep the ledger locked until it goes on."""
    with transaction(shared_connection(ledger.path)):
        os.kill(pid, signal.SIGSTOP)
        until(lambda: stat_fields(pid)[0] == "T")


def processes_of(operation: Operation, site_root: Path) -> set[int]:
    """The living processes that work in the site: the supervisor, the worker and their children."""
    pids = site_processes(site_root)
    if operation.pid:  # 0 while it waits; that is the parent of all processes
        pids |= ({operation.pid} if processes.start_time(operation.pid) else set()) | processes.descendants(
            operation.pid
        )
    return pids


def site_processes(root: Path) -> set[int]:
    """The living processes that have the site's folder as an argument: supervisors."""
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
