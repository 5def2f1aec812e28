"""Backups of the databases of a site before its console is updated, and the way back to them.

A backup is a folder of `.xaiva/backups`: the databases, and `backup.json`, which says whose they are.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.containers.run_settings import DATA_FOLDER
from core.errors import InputError, XaivaError, os_reason
from core.files import TEMPORARY_PREFIX, fsync_folder, write_atomic, write_remedy
from core.presets.run_fields import parse_volume
from core.presets.store import list_presets
from core.site import Site

BACKUPS = "backups"
DESCRIPTION = "backup.json"
LEDGER = "ledger.sqlite"
SERVICE_DATABASE = "xaiva.db"
_FOLDER_NAME = re.compile(r"(\d{4,})-.+")
_BUSY_SECONDS = 10.0


class SavedDatabase(BaseModel):
    """One database of a backup."""

    model_config = ConfigDict(frozen=True)

    file: str
    """Its name in the backup's folder."""
    path: str
    """Where it belongs, relative to the site."""
    table: str
    """The table whose rows are counted when it is restored: `operation` or `events`."""


class Backup(BaseModel):
    """`backup.json`: the databases of a site at the moment when its console was changed."""

    model_config = ConfigDict(frozen=True)

    number: int
    earlier: str
    """The release that was in use until then."""
    later: str
    """The release that was in use from then on."""
    created: datetime
    databases: list[SavedDatabase] = []


class Loss(BaseModel):
    """What is in a database now and is not in its backup."""

    model_config = ConfigDict(frozen=True)

    path: str
    table: str
    rows: int | None
    """None: it cannot be counted."""


def list_backups(site: Site) -> list[Backup]:
    """The complete backups of a site, the oldest first. Raises InputError for one that cannot be read."""
    folder = site.state / BACKUPS
    if not folder.is_dir():
        return []
    backups = []
    for path in folder.iterdir():
        if _FOLDER_NAME.fullmatch(path.name):
            try:
                backups.append(Backup.model_validate_json((path / DESCRIPTION).read_bytes()))
            except (OSError, ValidationError) as error:
                raise InputError(f"Backup {path}", "its backup.json cannot be read", "move this folder away") from error
    return sorted(backups, key=lambda backup: backup.number)


def backup_folder(site: Site, backup: Backup) -> Path:
    """The folder of a backup."""
    return site.state / BACKUPS / f"{backup.number:04}-{backup.earlier}"


def back_up(site: Site, earlier: str, later: str) -> Backup:
    """Save the ledger and the databases of the service that lie in the site. Raises XaivaError.

    The caller sees to it that no other process does the same.
    """
    number = max((backup.number for backup in list_backups(site)), default=0) + 1
    folder = site.state / BACKUPS
    temporary = folder / f"{TEMPORARY_PREFIX}new"
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
    databases = []
    try:
        temporary.mkdir(mode=0o700, parents=True)
        for position, (path, table) in enumerate(_databases(site)):
            file = f"{position}-{path.name}"
            _copy(path, temporary / file)
            if table == "operation":
                _remove_live(temporary / file)
            databases.append(SavedDatabase(file=file, path=path.relative_to(site.root).as_posix(), table=table))
        now = datetime.now(timezone.utc)
        backup = Backup(number=number, earlier=earlier, later=later, created=now, databases=databases)
        write_atomic(temporary / DESCRIPTION, backup.model_dump_json(indent=1) + "\n")
        os.replace(temporary, backup_folder(site, backup))
        fsync_folder(folder)
    except OSError as error:
        raise XaivaError(f"Backup in {folder}", os_reason(error), write_remedy(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return backup


def losses(site: Site, backup: Backup) -> list[Loss]:
    """What restoring a backup would lose."""
    folder = backup_folder(site, backup)
    return [
        Loss(
            path=saved.path, table=saved.table, rows=_new_rows(site.root / saved.path, folder / saved.file, saved.table)
        )
        for saved in backup.databases
    ]


@contextlib.contextmanager
def prepared_restore(site: Site, backup: Backup) -> Iterator[Callable[[], None]]:
    """A function that puts the databases of a backup back. Raises XaivaError before the block when one is in use."""
    folder = backup_folder(site, backup)
    with contextlib.ExitStack() as stack:
        targets = [
            stack.enter_context(_opened_alone(site.root / saved.path, must_be_alone=saved.path != _ledger_path(site)))
            for saved in backup.databases
        ]

        def restore() -> None:
            for saved, target in zip(backup.databases, targets, strict=True):
                with _sqlite_errors(site.root / saved.path), contextlib.closing(_open(folder / saved.file)) as source:
                    source.backup(target)

        yield restore


def remove_backups(site: Site, releases: set[str]) -> None:
    """Remove the backups that lead back to none of these releases, and all but the newest of each pair."""
    newest = {(backup.earlier, backup.later): backup.number for backup in list_backups(site)}
    for backup in list_backups(site):
        if backup.earlier not in releases or newest[backup.earlier, backup.later] != backup.number:
            shutil.rmtree(backup_folder(site, backup), ignore_errors=True)


def _ledger_path(site: Site) -> str:
    return (site.state / LEDGER).relative_to(site.root).as_posix()


def _databases(site: Site) -> Iterator[tuple[Path, str]]:
    """The databases that are there, each with the table that counts."""
    if (ledger := site.state / LEDGER).is_file():
        yield ledger, "operation"
    folders = {site.root / "data"}
    for entry in list_presets(site):
        for volume in map(parse_volume, entry.preset.run.volumes if entry.preset else []):
            if volume.container == DATA_FOLDER and not volume.is_named:
                folders.add((site.root / volume.host).resolve())
    for folder in sorted(folders):
        if folder.is_relative_to(site.root) and (folder / SERVICE_DATABASE).is_file():
            yield folder / SERVICE_DATABASE, "events"


def _open(path: Path) -> sqlite3.Connection:
    """An existing database."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


@contextlib.contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        remedy = "check that you may write this file and its folder (sudo may be needed), and that the disk has room"
        raise XaivaError(f"Database {path}", str(error), remedy) from error


def _copy(source: Path, target: Path) -> None:
    """Save the last committed state, even while a program writes; on disk when this returns."""
    with _sqlite_errors(source), contextlib.closing(_open(source)) as old:
        target.touch(mode=0o600)
        with contextlib.closing(_open(target)) as new:
            old.backup(new)
        with open(target, "rb") as file:
            os.fsync(file.fileno())


def _remove_live(ledger: Path) -> None:
    """The operation that updates is live now; in a restored ledger it would look like one that crashed."""
    with _sqlite_errors(ledger), contextlib.closing(_open(ledger)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM operation WHERE state IN ('queued', 'running')")


@contextlib.contextmanager
def _opened_alone(path: Path, *, must_be_alone: bool) -> Iterator[sqlite3.Connection]:
    """A database into which a backup is restored.

    SQLite leaves its journal of the kind WAL only for the one program that has a database open. A running service would
    go on with what it has in memory; for the ledger, a console that is open does no harm.
    """
    with _sqlite_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        connection = _open(path)
    with contextlib.closing(connection):
        if must_be_alone:
            with _sqlite_errors(path):
                connection.execute("PRAGMA busy_timeout = 0")
                try:
                    alone = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete"
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error):
                        raise
                    alone = False
            if not alone:
                remedy = "stop the service's container first: run xaiva ps for its name, then: xaiva stop NAME"
                raise XaivaError(f"Database {path}", "a program uses it, and would go on with what it knows", remedy)
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000:.0f}")
        yield connection


def _new_rows(now: Path, before: Path, table: str) -> int | None:
    """How many rows are in a database and not in its backup; None when they cannot be counted."""
    if not now.is_file():
        return 0
    try:
        with contextlib.closing(_open(now)) as connection:
            connection.execute("ATTACH ? AS saved", (str(before),))
            query = f"SELECT count(*) FROM main.{table} WHERE id NOT IN (SELECT id FROM saved.{table})"
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.Error:
        return None
