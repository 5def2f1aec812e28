"""A process that is killed while it logs events: `python -m tests.events.victim DATABASE_URL FOLDER`.

Everything is imported once. For each line on stdin a child is forked, which logs from several threads until it is
killed. Lines on stdout: `pid N`; `? ID` before an event is logged, `+ ID` once it is acknowledged; `= ID N` once the
change of its `note` to N and of its `score` to N/1000 is acknowledged; `written` when the database has some of it;
`dead` when the child was reaped.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from pathlib import Path

from core.inference.database.engine import Database
from core.inference.events import json_log, logger, spool
from core.inference.events.logger import EventLogger
from core.inference.schemas import Priority
from tests.events.support import an_event

THREADS = 4
SEGMENT_BYTES = 8 << 10  # small, so that segments come and go between two kills
JSON_LOG_BYTES, JSON_LOGS = 4 << 10, 500  # as many small ones as it takes
PERIOD = 0.02  # so that many kills come while a batch is written


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # short enough to be written whole


def _log(event_logger: EventLogger, seed: int) -> None:
    choice = random.Random(seed)
    while True:
        event = an_event(priority=choice.choice(list(Priority)))
        _say(f"? {event.id}")
        event_logger.log(event)
        _say(f"+ {event.id}")
        for number in range(1, choice.randrange(1, 5)):
            event_logger.update(event.id, note=str(number), score=number / 1000)
            _say(f"= {event.id} {number}")


def _live(url: str, folder: Path) -> None:
    spool.SEGMENT_BYTES = SEGMENT_BYTES
    json_log.LIMIT_BYTES, json_log.KEPT = JSON_LOG_BYTES, JSON_LOGS
    logger.PERIOD = PERIOD
    event_logger = EventLogger(Database(url), folder, json_log=folder.with_name("events.jsonl"))
    event_logger.subscribe(lambda _: _say("written"))
    event_logger.start()
    threads = [threading.Thread(target=_log, args=(event_logger, os.getpid() + n)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    """Fork a child for each line of stdin."""
    url, folder = sys.argv[1], Path(sys.argv[2])
    Database(url).close()  # imports the driver
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
