"""The time that logging an event takes in the deciding thread, compared with committing it to the database."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from core.api_schema import Event
from core.inference.database.engine import Database
from core.inference.events.apply_batch import apply_batch
from core.inference.events.logger import EventLogger
from core.inference.events.spool_records import event_record
from tests.events.support import an_event
from tests.support.postgres import postgres_server

CAMERAS = 16
EVENTS = 1600
CALLS_A_SECOND = 500  # in all: thirty events a second of each camera, far beyond any site
FASTER = 2.0  # than one commit an event, in calls a second, and so much less latency at p99


def main() -> int:
    """Print the figures; returns 1 if one misses its budget."""
    with tempfile.TemporaryDirectory() as name, postgres_server() as server:
        folder = Path(name)
        missed = [_compare("sqlite", f"sqlite:///{folder / 'xaiva.db'}", folder / "sqlite")]
        missed.append(_compare("postgresql", server.new_database(), folder / "postgresql"))
    return int(any(missed))


def _compare(name: str, url: str, folder: Path) -> bool:
    """Run both alternately, so that a busy machine affects both."""
    database = Database(url)
    logger = EventLogger(database, folder)
    logger.start()
    commits, calls = _Way(f"{name}: a commit an event", _commit(database)), _Way(f"{name}: the logger", logger.log)
    for _ in range(3):
        commits.run()
        calls.run()
    assert logger.flush(60)
    logger.stop()
    database.close()
    commits.tell()
    calls.tell()
    faster, sooner = calls.rate / commits.rate, commits.p99 / calls.p99
    print(f"{name}: {faster:.1f} times the calls, p99 {sooner:.1f} times shorter   budget {FASTER:.0f}, {FASTER:.0f}")
    return calls.rate < CALLS_A_SECOND or min(faster, sooner) < FASTER


def _commit(database: Database) -> Callable[[Event], object]:
    """As the logger keeps an event, but by the thread that decided it; SQLite must sync to keep the same promise."""

    def one(event: Event) -> None:
        database.write(lambda session: apply_batch(session, "benchmark", [event_record(event)], 0))
        database.make_durable()

    return one


class _Way:
    def __init__(self, name: str, keep: Callable[[Event], object]) -> None:
        self._name = name
        self._keep = keep
        self._seconds: list[float] = []
        self._rates: list[float] = []

    def run(self) -> None:
        """One thread per camera, all at once."""
        threads = [threading.Thread(target=self._camera) for _ in range(CAMERAS)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._rates.append(EVENTS / (time.monotonic() - began))

    @property
    def rate(self) -> float:
        return max(self._rates)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self._seconds, n=100)[98]

    def tell(self) -> None:
        median, p99 = statistics.median(self._seconds) * 1000, self.p99 * 1000
        print(f"{self._name:<32} {self.rate:7.0f} calls a second   p50 {median:6.1f} ms   p99 {p99:6.1f} ms")

    def _camera(self) -> None:
        for _ in range(EVENTS // CAMERAS):
            event = an_event()
            began = time.monotonic()
            self._keep(event)
            self._seconds.append(time.monotonic() - began)


if __name__ == "__main__":
    raise SystemExit(main())
