"""The open database: what it keeps, who waits for whom, and what it says when it cannot."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import Session

from core import file_systems
from core.errors import InputError
from core.inference.database import disk_reserve, engine
from core.inference.database import postgres as postgres_module
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.database.models import CameraAccessRow, SettingRow, SuspensionRow, UserRow
from core.inference.database.types import Utc
from tests.support.disks import fill, read_only, small_disk
from tests.support.postgres import Postgres
from tests.support.race import together

THREADS = 8
NOW = datetime(2026, 3, 29, 1, 0, 0, 123456, timezone.utc)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{tmp_path / 'xaiva.db'}")) as database:
        yield database


def put(key: str, number: int) -> Callable[[Session], object]:
    return lambda session: session.merge(SettingRow(key=key, value={"number": number}))


def test_writers_come_one_after_the_other(database: Database) -> None:
    """A write that reads first sees what the one before it left: nothing is lost, nobody is refused."""

    def add(session: Session) -> int:
        row = session.get(SettingRow, "count")
        number = row.value["number"] + 1 if row else 1
        session.merge(SettingRow(key="count", value={"number": number}))
        return number

    results: list[int] = []
    together(THREADS, lambda _: results.extend(database.write(add) for _ in range(10)))
    assert sorted(results) == list(range(1, THREADS * 10 + 1))


def test_a_write_is_kept_whole_or_not_at_all(database: Database) -> None:
    def half(session: Session) -> None:
        session.add(SettingRow(key="a", value={}))
        session.flush()
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="middle"):
        database.write(half)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(SettingRow)) == 0
    database.write(lambda session: session.add(SettingRow(key="a", value={})))
    with pytest.raises(IntegrityError):
        database.write(lambda session: session.add(SettingRow(key="a", value={})))


def test_a_reader_waits_for_no_writer(database: Database) -> None:
    inside, go = threading.Event(), threading.Event()

    def slow(session: Session) -> None:
        session.add(SettingRow(key="a", value={}))
        session.flush()
        inside.set()
        assert go.wait(10)

    writer = threading.Thread(target=database.write, args=(slow,))
    writer.start()
    assert inside.wait(10)
    with database.read() as session:
        assert session.get(SettingRow, "a") is None
    go.set()
    writer.join()
    with database.read() as session:
        assert session.get(SettingRow, "a") is not None


def test_a_reader_sees_one_moment(database: Database) -> None:
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(SettingRow)) == 0
        database.write(put("a", 1))
        assert session.scalar(select(func.count()).select_from(SettingRow)) == 0


def test_who_is_told_of_writes_is_told_in_their_order(database: Database) -> None:
    outcomes: list[int] = []

    def add(session: Session) -> int:
        session.add(SettingRow(key=str(number := len(outcomes)), value={}))
        return number

    def work(_: int) -> None:
        for _ in range(10):
            database.write(add, outcomes.append)

    together(THREADS, work)
    assert outcomes == list(range(THREADS * 10))


def test_what_belongs_to_a_user_goes_with_it(database: Database) -> None:
    user = UserRow(name="ada", password_hash="", role="viewer", active=True, limited=True, created=NOW, generation=0)

    def add(session: Session) -> None:
        session.add(user)
        session.flush()
        session.add(CameraAccessRow(user="ada", camera="gate"))

    database.write(add)
    database.write(lambda session: session.delete(session.get(UserRow, "ada")))
    with database.read() as session:
        assert session.scalars(select(CameraAccessRow)).all() == []
    with pytest.raises(IntegrityError):
        database.write(lambda session: session.add(CameraAccessRow(user="nobody", camera="gate")))


def test_moments_are_utc_and_sort(database: Database) -> None:
    summer = timezone(timedelta(hours=2))
    later = (NOW + timedelta(hours=1)).astimezone(summer)
    moments = [NOW, NOW.replace(microsecond=0), later, NOW - timedelta(days=9999)]
    for number, moment in enumerate(moments):
        database.write(lambda session, n=number, m=moment: session.add(SuspensionRow(camera=str(n), until=m)))
    with database.read() as session:
        rows = session.scalars(select(SuspensionRow).order_by(SuspensionRow.until)).all()
    assert [row.until for row in rows] == sorted(moments)
    assert all(row.until.tzinfo is timezone.utc for row in rows)
    with pytest.raises(StatementError, match="no time zone"):
        database.write(lambda session: session.add(SuspensionRow(camera="x", until=NOW.replace(tzinfo=None))))


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)))
def test_any_moment_comes_back(moment: datetime) -> None:
    from sqlalchemy.dialects import sqlite

    dialect = sqlite.dialect()
    stored = Utc().process_bind_param(moment, dialect)
    back = Utc().process_result_value(stored, dialect)
    assert back is not None
    assert back.utcoffset() == timedelta(0)
    assert back == moment.astimezone(timezone.utc)


def test_nobody_else_reads_the_file(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new' / 'xaiva.db'}")
    database.write(put("a", 1))
    for file in (tmp_path / "new").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    database.close()


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount of the kernel's NFS cannot be had here; the mount table it would show is given instead."""
    place = str(tmp_path).replace(" ", r"\040")  # as the kernel writes it
    table = Path("/proc/self/mountinfo").read_text() + f"99 1 0:99 / {place} rw - nfs4 server:/export rw\n"
    monkeypatch.setattr(file_systems, "_mounts", lambda: table)
    with pytest.raises(DatabaseError, match=r"network file system \(nfs4\)") as caught:
        Database(f"sqlite:///{tmp_path / 'xaiva.db'}")
    assert "XAIVA_DATABASE_URL" in caught.value.remedy
    assert not (tmp_path / "xaiva.db").exists()


def test_a_lock_held_elsewhere_is_told(sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.2)
    code = (
        f"import sqlite3; c = sqlite3.connect({str(tmp_path / 'xaiva.db')!r}, isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); input(); c.execute('ROLLBACK')"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DatabaseError, match="another process holds its lock"):
            sqlite.write(put("a", 1))
        with sqlite.read() as session:  # readers go on
            assert session.get(SettingRow, "a") is None
        other.communicate("\n")
    sqlite.write(put("a", 1))


def test_a_write_that_hangs_does_not_hang_the_others(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    inside, go = threading.Event(), threading.Event()

    def slow(session: Session) -> None:
        inside.set()
        assert go.wait(10)

    writer = threading.Thread(target=sqlite.write, args=(slow,))
    writer.start()
    assert inside.wait(10)
    with pytest.raises(DatabaseError, match="takes too long"):
        sqlite.write(put("a", 1))
    go.set()
    writer.join()


def test_a_full_disk_is_told_and_the_file_stays_whole(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        database = Database(f"sqlite:///{disk / 'xaiva.db'}")
        database.write(put("a", 1))
        hog = fill(disk)
        with pytest.raises(DatabaseError, match="its disk is full"):
            database.write(lambda session: session.add(SettingRow(key="b", value={"text": "x" * 200_000})))
        hog.unlink()
        database.write(put("c", 1))
        with database.read() as session:
            assert set(session.scalars(select(SettingRow.key))) == {"a", "c"}
            assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        database.close()
        fill(disk)
        for name in ("xaiva.db", "other.db"):  # an old one, and a new one
            with pytest.raises(DatabaseError, match="its disk is full"):
                Database(f"sqlite:///{disk / name}")


def test_a_database_is_opened_on_a_disk_that_is_full(tmp_path: Path) -> None:
    """SQLite itself needs a little room for that, and some for what is then removed."""
    with small_disk(tmp_path / "disk", "48m") as disk:
        url = f"sqlite:///{disk / 'xaiva.db'}"
        Database(url).close()
        assert {file.name for file in disk.iterdir()} == {"xaiva.db", "xaiva.db.reserve"}
        hog = fill(disk)
        database = Database(url)
        database.write(put("a", 1))
        assert not (disk / "xaiva.db.reserve").exists()
        database.close()
        hog.unlink()
        with hog.open("wb") as room:  # all but two times what is kept for such a day
            os.posix_fallocate(room.fileno(), 0, shutil.disk_usage(disk).free - 2 * disk_reserve.RESERVE_BYTES)
        Database(url).close()
        assert not (disk / "xaiva.db.reserve").exists()  # it takes no room that others may need more
        hog.unlink()
        Database(url).close()
        assert (disk / "xaiva.db.reserve").stat().st_blocks * 512 == disk_reserve.RESERVE_BYTES


def test_a_disk_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        Database(f"sqlite:///{disk / 'xaiva.db'}").close()
        with read_only(disk), pytest.raises(DatabaseError, match="Read-only file system") as caught:
            Database(f"sqlite:///{disk / 'xaiva.db'}")
        assert "--data DIR" in caught.value.remedy


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "xaiva.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(DatabaseError, match="damaged"):
        Database(f"sqlite:///{tmp_path / 'xaiva.db'}")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "not a database URL"),
        ("xaiva.db", "not a database URL"),
        ("mysql://root:hidden@host/x", "not supported"),
        ("sqlite://", "nothing would survive"),
        ("sqlite:///:memory:", "nothing would survive"),
    ],
)
def test_a_url_that_cannot_be_meant_is_bad_input(url: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        Database(url)
    assert "hidden" not in str(caught.value)


def test_a_server_that_refuses_is_told_without_the_password(postgres: Postgres) -> None:
    url = postgres.new_database()
    wrong = url.replace(postgres.password, "wrong-secret")
    with pytest.raises(DatabaseError, match="the user or password was refused") as caught:
        Database(wrong)
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(DatabaseError, match="no such database"):
        Database(url.rpartition("/")[0] + "/nowhere")
    with pytest.raises(DatabaseError, match="nothing listens there") as caught:
        Database(f"postgresql://xaiva:{postgres.password}@127.0.0.1:1/x")
    assert postgres.password not in str(caught.value)
    database = Database(url)
    assert postgres.password not in database.url_shown
    database.close()


def test_a_server_that_came_back_is_used_again(postgres: Postgres) -> None:
    database = Database(postgres.new_database())
    database.write(put("a", 1))
    postgres.stop()
    try:
        with pytest.raises(DatabaseError), database.read() as session:
            session.get(SettingRow, "a")
    finally:
        postgres.start()
    with database.read() as session:
        assert session.get(SettingRow, "a") is not None
    database.close()


def test_a_server_that_hangs_is_told(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections and acknowledges every packet; only the clock on this side can tell."""
    monkeypatch.setattr(postgres_module, "ANSWER_SECONDS", 0.5)
    database = Database(postgres.new_database())
    database.write(put("a", 1))
    with postgres.frozen(), pytest.raises(DatabaseError, match="does not answer"), database.read() as session:
        session.get(SettingRow, "a")
    database.write(put("b", 1))
    with database.read() as session:
        assert set(session.scalars(select(SettingRow.key))) == {"a", "b"}
    database.close()


def test_a_standby_is_told(postgres: Postgres) -> None:
    url = postgres.new_database()
    database = Database(url)
    with psycopg.connect(url, autocommit=True) as connection:
        name = url.rpartition("/")[2]
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())
    database.close()  # the setting counts for new connections
    with pytest.raises(DatabaseError, match="does not accept writes"):
        database.write(put("a", 1))
    database.close()


def test_settled_writes_are_on_the_disk(sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut leaves cannot be seen here; that the WAL is fsynced can. SQLite fsyncs the rest itself."""
    sqlite.write(put("a", 1))
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    sqlite.make_durable()
    assert synced == ["xaiva.db-wal", tmp_path.name]


def test_a_process_that_comes_and_goes_takes_no_writes_with_it(sqlite: Database) -> None:
    """A job reads the settings of products and ends: if SQLite took it for the last one, it would delete the WAL."""

    def seen_by_another() -> list[str]:
        script = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(*(key for key, in connection.execute("SELECT key FROM settings ORDER BY key")))
connection.close()
"""
        command = [sys.executable, "-c", script, f"{sqlite.file}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    sqlite.write(put("a", 1))
    sqlite.make_durable()
    assert seen_by_another() == ["a"]
    sqlite.write(put("b", 1))
    assert seen_by_another() == ["a", "b"]


def test_two_open_an_empty_database_at_once(database_url: str) -> None:
    together(4, lambda _: Database(database_url).close())


def test_it_is_a_database_of_its_own_kind(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path / 'xaiva.db'}").close()
    with sqlite3.connect(tmp_path / "xaiva.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
