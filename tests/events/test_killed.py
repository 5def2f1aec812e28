"""Kills at random instants under load, on each database: what was acknowledged is there afterwards, once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest
from sqlalchemy import func, select

from core.inference.database.engine import Database
from core.inference.database.models import EventRow
from core.inference.events.logger import EventLogger
from tests.support.proofs import full

KILLS = 200 if full("kills") else 100
BUSIEST = 60  # lines that a victim may say before it is killed
DELAY = 0.005  # seconds: the kill comes at any instant within them
OPENING = 0.05  # seconds: every fourth victim is killed within them, whatever it does: while it opens or replays
PATIENCE = 60.0


@dataclass
class Reported:
    """What the victims said."""

    asked: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    changes: dict[str, int] = field(default_factory=dict)

    def hear(self, word: str, rest: list[str]) -> None:
        if word == "?":
            self.asked.add(rest[0])
        elif word == "+":
            self.acknowledged.add(rest[0])
        elif word == "=":
            self.changes[rest[0]] = int(rest[1])


@pytest.mark.proof("kills")
def test_no_kill_loses_or_doubles_an_acknowledged_event(database_url: str, tmp_path: Path) -> None:
    Database(database_url).close()
    spool = tmp_path / "spool"
    reported = Reported()
    command = [sys.executable, "-m", "tests.events.victim", database_url, str(spool)]
    chance = random.Random(2026)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdin
        assert victim.stdout
        for number in range(KILLS):
            print("live", file=victim.stdin, flush=True)
            after, delay = (0, OPENING) if number % 4 == 0 else (chance.randrange(BUSIEST), DELAY)
            _kill_one(victim.stdout, reported, after, chance.uniform(0, delay), written=number % 4 == 1)
        victim.stdin.close()
    assert len(reported.acknowledged) > KILLS, "there was no load"
    assert len(reported.changes) > KILLS
    database = Database(database_url)
    logger = EventLogger(database, spool, json_log=(json_log := tmp_path / "events.jsonl"))
    logger.start()
    assert logger.flush(PATIENCE)
    logger.stop()
    with database.read() as session:
        rows = {row.id: row for row in session.scalars(select(EventRow))}
        assert session.scalar(select(func.count()).select_from(EventRow)) == len(rows)
    database.close()
    assert reported.acknowledged <= rows.keys() <= reported.asked
    for event, number in reported.changes.items():
        row = rows[event]
        assert int(row.note) in (number, number + 1)  # the last one may have been kept without being acknowledged
        assert row.score == int(row.note) / 1000
    assert not list(spool.glob("*.damaged"))
    assert not (spool / "refused.jsonl").exists()
    _check_json_log(json_log, rows)


def _check_json_log(path: Path, rows: dict[str, EventRow]) -> None:
    """Every event is in it, as it was in the end. A kill may have torn the end of any line."""
    newest: dict[str, dict[str, Any]] = {}
    files = sorted(path.parent.glob(f"{path.name}.*"), key=lambda file: -int(file.suffix[1:]))
    for line in (line for file in (*files, path) for line in file.read_text().splitlines()):
        with suppress(json.JSONDecodeError):
            entry = json.loads(line)
            newest[entry["id"]] = entry
    assert files, "it never grew too long"
    assert {event: said["note"] for event, said in newest.items()} == {event: row.note for event, row in rows.items()}


def _kill_one(lines: IO[str], reported: Reported, after: int, delay: float, written: bool) -> None:
    """Kill the child `delay` seconds after so many lines, and hear all that it said until it was dead.

    With `written`, the database had some of it before.
    """
    child = 0
    for count, line in enumerate(lines, 1):
        word, *rest = line.split()
        if word == "dead":
            return
        if word == "pid":  # the parent says it, and the child may have been faster
            child = int(rest[0])
        elif word == "written":
            written = False
        else:
            reported.hear(word, rest)
        if child and count > after and not written:
            threading.Timer(delay, os.kill, (child, signal.SIGKILL)).start()
            after = sys.maxsize
    raise AssertionError("the victim's parent died")
