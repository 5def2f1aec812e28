"""A ledger of an older xaiva is brought up to date, whole or not at all, while an older supervisor may still run."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from core.operations import sql
from core.operations.model import OperationState
from core.site import Site
from core.site_operations import site_ledger
from tests.operations import ledger_v1
from tests.operations.support import KINDS
from tests.support.disks import small_disk


@pytest.fixture
def old_site(site: Site) -> Site:
    """A site whose ledger has version 1."""
    ledger_v1.write_ledger(site.state / "ledger.sqlite")
    return site


def test_everything_is_still_there_and_new_operations_run(old_site: Site) -> None:
    ledger = site_ledger(old_site, KINDS)
    failed, done = ledger.list()
    assert (done.state, done.subject, done.priority, done.resources) == (OperationState.DONE, "thing-1", 0, [])
    assert failed.failure is not None
    assert failed.failure.why == "long ago"
    events = ledger.stored_events(0, 100)
    assert [(event.seq, event.what, event.state) for event in events[:4]] == [
        (1, "requested", "queued"),
        (2, "started, attempt 1", "running"),
        (3, "cancel requested", ""),
        (4, "done", "done"),
    ]
    assert ledger.event_range() == (1, 8)
    assert ledger.wait(ledger.retry(failed.id).id, 30).state is OperationState.DONE
    new = ledger.wait(ledger.start("quick", "new").id, 30)
    assert new.state is OperationState.DONE
    assert ledger.events(new.id)[0].what == "requested"
    with closing(sqlite3.connect(ledger.path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (sql.VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_tables_are_those_of_a_new_ledger(old_site: Site, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    new_ledger = site_ledger(Site.open(tmp_path / "new"), KINDS)
    new_ledger.wait(new_ledger.start("refused", "thing").id)
    site_ledger(old_site, KINDS).dispatch()
    tables = []
    for path in (new_ledger.path, old_site.state / "ledger.sqlite"):
        with closing(sqlite3.connect(path)) as connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY name")
            shape = {name: set(connection.execute(f"PRAGMA table_info({name})")) for (name,) in names.fetchall()}
            tables.append({name: {column[1:] for column in columns} for name, columns in shape.items()})
    assert tables[0] == tables[1]


def test_several_processes_migrate_at_once(old_site: Site) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from core.site import Site; from core.site_operations import site_ledger\n"
        "print(len(site_ledger(Site.open(sys.argv[2])).list()))\n"
    )
    words = [sys.executable, "-c", code, os.fspath(Path(__file__).parents[2]), os.fspath(old_site.root)]
    children = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert [child.communicate(timeout=60)[0] for child in children] == ["2\n"] * 6


def test_a_supervisor_of_the_older_xaiva_can_still_write(old_site: Site) -> None:
    path = old_site.state / "ledger.sqlite"
    site_ledger(old_site, KINDS).dispatch()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE operation SET state = 'running', attempt = 1, lease = 5 WHERE id = 2")
        connection.execute(ledger_v1.RENEW_LEASE, {"id": 2, "attempt": 1, "lease": time.monotonic() + 10})
        outcome = {"state": "done", "now": time.time(), "seconds": 1.0, "result": "{}", "failure": None}
        assert connection.execute(ledger_v1.FINISH, {"id": 2, "attempt": 1, **outcome}).rowcount == 1
        connection.execute(ledger_v1.PUT_EVENT, {"id": 2, "now": time.time(), "what": "done", "by": ""})
    ledger = site_ledger(old_site, KINDS)
    assert ledger.get(2).state is OperationState.DONE
    assert ledger.events(2)[-1].what == "done"


def test_an_old_ledger_on_a_read_only_medium_can_be_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "3m") as disk:
        state = disk / ".xaiva"
        ledger_v1.write_ledger(state / "ledger.sqlite")
        with closing(sqlite3.connect(state / "ledger.sqlite")) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        before = (state / "ledger.sqlite").read_bytes()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        ledger = site_ledger(Site.open(disk), KINDS)
        assert [operation.state for operation in ledger.list()] == [OperationState.FAILED, OperationState.DONE]
        assert len(ledger.stored_events(0, 100)) == 8
        assert (state / "ledger.sqlite").read_bytes() == before


def test_a_migration_that_ends_in_the_middle_changes_nothing(old_site: Site) -> None:
    """It is one transaction, which the end of its process rolls back."""
    path = old_site.state / "ledger.sqlite"
    broken = old_site.root / "broken.sqlite"
    shutil.copy(path, broken)
    with closing(sqlite3.connect(broken, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in sql.MIGRATION_TO_2.split(";\n")[:12]:
            connection.execute(statement)
    with closing(sqlite3.connect(broken)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (8,)
