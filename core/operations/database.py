"""Opens the ledger's SQLite file: schema version, durability, and which file systems are allowed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.errors import XaivaError, os_reason
from core.file_systems import NETWORK_FILE_SYSTEMS, file_system_type
from core.operations import sql

BUSY_SECONDS = 10.0
_MIN_FREE_BYTES = 1 << 16  # room for SQLite's index of the journal and a page or two
MAX_OPEN_LEDGERS = 4  # per thread
_local = threading.local()


class LedgerError(XaivaError):
    """The ledger cannot be read or written."""


def connect(path: Path, network_remedy: str = "") -> sqlite3.Connection:
    """Open the ledger for reading and writing, creating it and its folder when absent.

    `network_remedy` says what to do when it is on a network file system; "" for the advice for a site. Raises
    LedgerError when it is on one, cannot be written, is damaged or is from a newer xaiva.
    """
    with ledger_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        refuse_network_file_system(path.parent, network_remedy)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, path)
    return connection


def shared_connection(path: Path, network_remedy: str = "") -> sqlite3.Connection:
    """This thread's connection to the ledger, as `connect` opens it. It stays open: opening costs more than a query.

    A ledger that was moved or removed is opened again; a forked child never uses its parent's connection.
    """
    if getattr(_local, "pid", 0) != os.getpid():
        _local.pid, _local.connections = os.getpid(), {}
    connections: dict[Path, tuple[int, sqlite3.Connection]] = _local.connections
    inode, connection = connections.pop(path, (0, None))
    if connection is None or not path.exists() or path.stat().st_ino != inode:
        connection = connect(path, network_remedy)
        inode = path.stat().st_ino
    connections[path] = (inode, connection)
    if len(connections) > MAX_OPEN_LEDGERS:
        connections.pop(next(iter(connections)))[1].close()
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a ledger on a read-only medium, which no other process can write either.

    One of an older xaiva is copied into memory and brought up to date there.
    """
    with ledger_errors(path):
        connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True, check_same_thread=False)
        if 0 < _version(connection) < sql.VERSION:
            copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            with contextlib.closing(connection):
                connection.backup(copy)
            _migrate(copy, path)
            connection = copy
        connection.row_factory = sqlite3.Row
    return connection


def read_rows(path: Path, statement: str, values: Mapping[str, object], network_remedy: str = "") -> list[sqlite3.Row]:
    """The rows of a query; none when there is no ledger yet. Raises LedgerError."""
    if not path.exists():
        return []
    if not os.access(path.parent, os.W_OK):
        with contextlib.closing(connect_read_only(path)) as connection, ledger_errors(path):
            return connection.execute(statement, values).fetchall()
    with ledger_errors(path):
        return shared_connection(path, network_remedy).execute(statement, values).fetchall()


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
    """One write transaction. When not `durable`, a power failure may lose it but never damages the ledger."""
    if not durable:
        connection.execute("PRAGMA synchronous = NORMAL")
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        try:
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise
    finally:
        if not durable:
            connection.execute("PRAGMA synchronous = FULL")


@contextlib.contextmanager
def ledger_errors(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the file system inside the block into LedgerError."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        text = str(error)
        # Without room for its index SQLite reports "disk I/O error", not a full disk.
        if "full" in text or _disk_is_full(path.parent):
            remedy = f"make room on the disk that holds {path.parent}"
        elif "not a database" in text or "malformed" in text:
            remedy = f"move {path} away; it holds only the history of operations, artifacts and images do not need it"
        else:
            remedy = f"check that {path.parent} is writable and that its disk is healthy"
        raise LedgerError(f"Ledger {path}", text, remedy) from error
    except OSError as error:
        raise LedgerError(
            f"Ledger {path}", os_reason(error), f"make {path.parent} writable, or open another site"
        ) from error


def _disk_is_full(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free < _MIN_FREE_BYTES
    return False


def refuse_network_file_system(folder: Path, remedy: str = "") -> None:
    """Raise LedgerError when the folder is on a network file system. `remedy` is "" for that of a site."""
    kind = file_system_type(folder)
    if kind in NETWORK_FILE_SYSTEMS:
        raise LedgerError(
            f"Ledger in {folder}",
            f"it is on a network file system ({kind}), where file locks are not reliable",
            remedy or f"put the site on a local disk, or make {folder} a symbolic link to a folder on a local disk",
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables, or bring those of an older xaiva up to date, in one transaction."""
    version = _version(connection)
    if version > sql.VERSION:
        raise LedgerError(
            f"Ledger {path}",
            f"it was written by a newer xaiva (version {version}; this one supports version {sql.VERSION})",
            "use the newer xaiva for this site",
        )
    if version == sql.VERSION:
        return
    with transaction(connection):
        version = _version(connection)  # another process may have been faster
        if version == sql.VERSION:
            return
        for statement in (sql.MIGRATION_TO_2 if version else sql.SCHEMA).split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {sql.VERSION}")
