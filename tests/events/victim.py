"""A process that is killed while it logs events: `python -m tests.events.victim DATABASE_URL FOLDER`.

Everything is imported, and used once. For each line on stdin a child is forked, which logs from several threads until
it is killed. Lines on stdout: `pid N`; `? ID` before an event is logged, `+ ID` once it is acknowledged; `= ID N` once
the change of its `note` to N and of its `score` to N/1000 is acknowledged; `written` when the database has some of it;
`dead` when the child was reaped.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import threading
from contextlib import closing
from pathlib import Path

from core.api_schema import Event, Priority
from core.inference.database.engine import Database
from core.inference.events import json_log, logger, spool
from core.inference.events.logger import EventLogger
from tests.events.support import an_event

THREADS = 4
SEGMENT_BYTES = 8 << 10  # small, so that segments come and go between two kills
JSON_LOG_BYTES, JSON_LOGS = 16 << 10, 200  # as many small ones as it takes
PERIOD = 0.02  # so that many kills come while a batch is written


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # short enough to be written whole


def _log(event_logger: EventLogger, seed: int) -> None:
    choice = random.Random(seed)
    while True:
        _log_one(event_logger, an_event(priority=choice.choice(list(Priority))), choice.randrange(4))


def _log_one(event_logger: EventLogger, event: Event, changes: int) -> None:
    _say(f"? {event.id}")
    event_logger.log(event)
    _say(f"+ {event.id}")
    for number in range(1, changes + 1):
        event_logger.update(event.id, note=str(number), score=number / 1000)
        _say(f"= {event.id} {number}")


def _live(url: str, folder: Path) -> None:
    spool.SEGMENT_BYTES = SEGMENT_BYTES
    json_log.LIMIT_BYTES, json_log.OLD_FILES = JSON_LOG_BYTES, JSON_LOGS
    logger.PERIOD = PERIOD
    event_logger = EventLogger(Database(url), folder, json_log=folder.with_name("events.jsonl"))
    event_logger.subscribe(lambda _: _say("written"))
    event_logger.start()
    threads = [threading.Thread(target=_log, args=(event_logger, os.getpid() + n)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _warm_up(url: str, folder: Path) -> None:
    """Log one event, so that what is made at its first use is made once, here, and not in every child."""
    with closing(Database(url)) as database:
        event_logger = EventLogger(database, folder.with_name("warm-up"), json_log=folder.with_name("events.jsonl"))
        event_logger.start()
        _log_one(event_logger, an_event(), 1)
        event_logger.stop()


def main() -> None:
    """Fork a child for each line of stdin."""
    url, folder = sys.argv[1], Path(sys.argv[2])
    _warm_up(url, folder)
    gc.freeze()  # what a child's collector does not touch is not copied
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                _live(url, folder)
            finally:
                os._exit(1)  # only when it was not killed
        _say(f"pid {child}")
        _, status = os.waitpid(child, 0)
        _say("dead" if os.WIFSIGNALED(status) else "failed")


if __name__ == "__main__":
    main()
