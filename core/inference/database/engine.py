"""The open database: parallel readers, one writer at a time, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session, sessionmaker

from core.errors import InputError, os_reason
from core.file_systems import NETWORK_FILE_SYSTEMS, file_system_type
from core.files import fsync_folder
from core.inference.database import disk_reserve
from core.inference.database.errors import DatabaseError, driver_error, translate_errors
from core.inference.database.migrate import migrate
from core.redaction import redact_address

T = TypeVar("T")
BUSY_SECONDS = 10  # a lock held longer is an error
PRIVATE = 0o600  # it contains password hashes, and camera URLs with passwords
_FORM = "write it as sqlite:///FILE or postgresql://…"
_WRITES = "xaiva_writes"  # execution option of writing connections


class Database:
    """Opens `url`; backs up and migrates an older database. Thread-safe.

    Raises InputError for an invalid URL, and DatabaseError when the database cannot be opened: it is on a network file
    system, locked, full, damaged, or of a newer xaiva.
    """

    def __init__(self, url: str) -> None:
        self._url = _parse_url(url)
        self.url_shown = redact_address(self._url.render_as_string(hide_password=False))
        self._writer = threading.Lock()
        if self.file is not None:
            _prepare_file(self.file)
        self._engine = _create_engine(self._url)
        self._readers = sessionmaker(_for_reading(self._engine), expire_on_commit=False)
        self._writers = sessionmaker(self._engine.execution_options(**{_WRITES: True}), expire_on_commit=False)
        try:
            self._migrate()
        except BaseException:
            self._engine.dispose()
            raise
        if self.file is not None:
            disk_reserve.create_reserve(self.file)

    @property
    def file(self) -> Path | None:
        """The file of SQLite; None for a server."""
        return Path(self._url.database or "") if self._url.get_backend_name() == "sqlite" else None

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """A session on a consistent snapshot. Raises DatabaseError."""
        with translate_errors(self.url_shown), self._readers() as session:
            yield session

    @property
    def is_full(self) -> bool:
        """Whether SQLite's disk is nearly full; always False for a server."""
        return self.file is not None and disk_reserve.is_full(self.file)

    def write(self, work: Callable[[Session], T], on_commit: Callable[[T], object] | None = None) -> T:
        """Run `work` in a transaction of its own, one writer at a time.

        After the commit, and before the next writer starts, calls `on_commit` with the result of `work`.
        Raises DatabaseError, and IntegrityError or DataError when the database refuses a row.
        """
        if not self._writer.acquire(timeout=BUSY_SECONDS):
            raise DatabaseError(f"Database {self.url_shown}", "a write before this one takes too long", "try again")
        try:
            with translate_errors(self.url_shown), self._writers.begin() as session:
                outcome = work(session)
            if on_commit is not None:
                on_commit(outcome)
            return outcome
        finally:
            self._writer.release()

    def make_durable(self) -> None:
        """Make all commits so far survive a power cut, which SQLite does not guarantee for the newest.

        They are in the WAL, or in the file, which SQLite fsyncs at each checkpoint. The file itself is not opened here:
        closing it would drop the locks of this process, and the next one to leave would delete the WAL in use.
        Raises DatabaseError.
        """
        if self.file is None:
            return
        try:
            with contextlib.suppress(FileNotFoundError):
                _fsync(self.file.with_name(self.file.name + "-wal"))
            fsync_folder(self.file.parent)  # the WAL is a new file after each start
        except OSError as error:
            raise driver_error(self.url_shown, os_reason(error)) from error

    def close(self) -> None:
        self._engine.dispose()
        if self.file is not None:
            disk_reserve.create_reserve(self.file)

    def _migrate(self) -> None:
        while True:
            try:
                with translate_errors(self.url_shown):
                    migrate(self._engine.execution_options(**{_WRITES: True}), self.url_shown, self.file)
                return
            except DatabaseError as error:
                if self.file is None or not self.is_full:
                    raise
                if not disk_reserve.release_reserve(self.file):  # SQLite reports an I/O error
                    raise driver_error(self.url_shown, "disk is full") from error


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the port is no number
        raise InputError("XAIVA_DATABASE_URL", "it is not a database URL", _FORM) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise InputError(f"Database {parsed.drivername}", "it is not supported", _FORM)
    if parsed.drivername == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise InputError("Database in memory", "nothing would survive a restart", "write it as sqlite:///FILE")
    return parsed


def _prepare_file(file: Path) -> None:
    """Refuse a network file system; create a missing file as private."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        kind = file_system_type(file.parent)
        if kind in NETWORK_FILE_SYSTEMS:
            raise DatabaseError(
                f"Database {file}",
                f"it is on a network file system ({kind}), where file locks are not reliable",
                "put the data folder on a local disk, or give a PostgreSQL server with XAIVA_DATABASE_URL",
            )
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, PRIVATE))
    except OSError as error:
        why = os_reason(error)
        raise DatabaseError(f"Database {file}", why, "give a writable data folder with --data DIR") from error


def _create_engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        from core.inference.database import postgres

        postgres.check_options(url.query)
        engine = create_engine(url, connect_args=postgres.OPTIONS, pool_pre_ping=True, pool_size=8, max_overflow=8)
        event.listen(engine, "do_connect", postgres.connect_bounded)
        return engine
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, pool_size=8, max_overflow=8)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_transaction)
    return engine


def _for_reading(engine: Engine) -> Engine:
    """The engine for reading: SQLite's sessions see a snapshot by default, PostgreSQL's need an isolation level."""
    return engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="REPEATABLE READ")


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # _begin_transaction starts transactions, not the driver
    _turn_on_wal(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _turn_on_wal(connection: Any) -> None:
    """Retry while the file is locked: SQLite's busy time-out does not cover this statement."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= until:
                raise
            time.sleep(0.02)


def _begin_transaction(connection: Connection) -> None:
    """A writer takes the lock at once: upgrading a read lock could fail without waiting."""
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _fsync(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
