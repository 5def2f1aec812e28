"""Migrates an older database: makes a backup, then runs all steps in one transaction."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, exc, inspect, text

from core.errors import XaivaError
from core.inference.database import migrations
from core.inference.database.errors import DatabaseError, is_server_error

logger = logging.getLogger(__name__)

BACKUPS_KEPT = 3
_LOCK = 0x7861697661  # "xaiva": of two services that start on one database, the second waits


def migrate(engine: Engine, url_shown: str, file: Path | None) -> None:
    """Create or migrate the tables; `file` is SQLite's. Raises DatabaseError, and leaves the database unchanged."""
    with engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    if revision == migrations.HEAD:
        return
    with _migration_connection(engine) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        _migrate(connection, url_shown, file)


def _migrate(connection: Connection, url_shown: str, file: Path | None) -> None:
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision == migrations.HEAD:
        return  # another service was faster
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", os.fspath(Path(migrations.__file__).parent).replace("%", "%%"))
    revisions = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in revisions:
        why = f"a newer xaiva wrote it (step {revision}, this one knows {migrations.HEAD})"
        raise DatabaseError(f"Database {url_shown}", why, "use that newer xaiva, or restore a backup")
    if revision is not None:
        backup = _backup_file(file, revision) if file else _backup_schema(connection, revision)
        change = f"from {revision} to {migrations.HEAD}"
        logger.info("database %s: migrating %s, backed up as %s", url_shown, change, backup)
    try:
        command.upgrade(config, "head")
    except Exception as error:
        if isinstance(error, exc.DBAPIError) and is_server_error(error):
            raise
        why = f"its migration to {migrations.HEAD} failed: {error}".partition("\n")[0]
        remedy = "the database is unchanged; report this together with the log"
        raise DatabaseError(f"Database {url_shown}", why, remedy) from error


@contextlib.contextmanager
def _migration_connection(engine: Engine) -> Iterator[Connection]:
    """A connection on which SQLite may replace referenced tables, and PostgreSQL has no time-outs."""
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            raw.execute("PRAGMA foreign_keys = OFF")
        else:
            from core.inference.database.postgres import disable_timeouts

            disable_timeouts(raw)
        yield connection
        connection.invalidate()  # the next connection gets its usual settings


def _backup_file(file: Path, revision: str) -> str:
    """Copy the last committed state to a file beside it; only the newest backups are kept."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = file.with_name(f"{file.name}.before-{migrations.HEAD}-from-{revision}-{stamp}")
    try:
        handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with contextlib.closing(sqlite3.connect(file)) as source, contextlib.closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
        os.fsync(handle)
        os.close(handle)
    except (OSError, sqlite3.Error) as error:
        target.unlink(missing_ok=True)
        remedy = "free space on its disk: the database is not migrated without a backup"
        raise XaivaError(f"Backup {target}", f"it cannot be written: {error}", remedy) from error
    backups = sorted(file.parent.glob(f"{file.name}.before-*"), key=lambda path: path.stat().st_mtime)
    for old in backups[:-BACKUPS_KEPT]:
        old.unlink()
    return target.name


def _backup_schema(connection: Connection, revision: str) -> str:
    """Copy every table to a schema of its own, because the image has no PostgreSQL tools."""
    schema = f"xaiva_before_{migrations.HEAD}_from_{revision}"
    connection.execute(text(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'))
    connection.execute(text(f'CREATE SCHEMA "{schema}"'))
    for table in inspect(connection).get_table_names():
        connection.execute(text(f'CREATE TABLE "{schema}"."{table}" AS TABLE "{table}"'))
    return f"schema {schema}"
