"""The migrations against the tables that the code speaks of, and an older database that is brought up to date."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, insert, inspect, select, text
from sqlalchemy.orm import Session

from core.api_schema import DayStatistics
from core.inference.database import migrate, migrations, models
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.database.models import Base, CameraAccessRow, CameraRow, EventRow, UserRow
from core.inference.events.row_conversion import event_columns
from tests.database.test_engine import NOW
from tests.events.support import an_event

STEP = """
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade():
    with op.batch_alter_table("users") as users:  # SQLite copies the table, others alter it
        users.add_column(sa.Column("colour{revision}", sa.String(), nullable=False, server_default="red"))
    {last}
"""
NextRelease = Callable[..., None]
HEAD = migrations.HEAD


def later(steps: int) -> str:
    """The number of the step that many after the newest."""
    return f"{int(HEAD) + steps:04d}"


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NextRelease:
    """Add a step, as a later release would."""
    folder = tmp_path / "migrations"
    shutil.copytree(Path(migrations.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrations, "__file__", str(folder / "__init__.py"))

    def release(last: str = "") -> None:
        old_head = migrations.HEAD
        revision = f"{int(old_head) + 1:04d}"
        step = STEP.format(revision=revision, before=old_head, last=last)
        (folder / "versions" / f"r{revision}_next.py").write_text(step)
        monkeypatch.setattr(migrations, "HEAD", revision)

    return release


def connected(url: str) -> Connection:
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:")).connect()


def with_a_user(url: str) -> None:
    database = Database(url)
    user = UserRow(name="ada", password_hash="h", role="admin", active=True, limited=True, created=NOW, generation=1)
    database.write(lambda session: session.add(user))
    database.write(lambda session: session.add(CameraAccessRow(user="ada", camera="gate")))
    database.close()


def test_the_migrations_make_the_tables_of_the_models(database_url: str) -> None:
    Database(database_url).close()
    with connected(database_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_head_is_the_newest_step() -> None:
    assert ScriptDirectory(str(Path(migrations.__file__).parent)).get_heads() == [migrations.HEAD]


def test_old_databases_are_backed_up_and_migrated(database_url: str, next_release: NextRelease, tmp_path: Path) -> None:
    with_a_user(database_url)
    next_release()
    Database(database_url).close()
    with connected(database_url) as connection:
        assert connection.execute(text(f"SELECT name, colour{later(1)} FROM users")).all() == [("ada", "red")]
        # replacing a table must not take along what refers to it
        assert connection.execute(text('SELECT "user", camera FROM camera_access')).all() == [("ada", "gate")]
        if connection.dialect.name == "postgresql":
            copied = text(f"SELECT name FROM xaiva_before_{later(1)}_from_{HEAD}.users")
            assert connection.execute(copied).all() == [("ada",)]
            assert not any(column["name"] == f"colour{later(1)}" for column in _copied_columns(connection))
            return
    (backup,) = tmp_path.glob(f"xaiva.db.before-{later(1)}-from-{HEAD}-*")
    assert backup.stat().st_mode & 0o777 == 0o600
    backup.rename(tmp_path / "xaiva.db")  # as it is put back: stop, rename, start the older version
    with sqlite3.connect(tmp_path / "xaiva.db") as copy:
        assert copy.execute("SELECT * FROM alembic_version").fetchall() == [(HEAD,)]
        assert copy.execute("SELECT name FROM users").fetchall() == [("ada",)]
    copy.close()


def _copied_columns(connection: Connection) -> list[object]:
    return list(inspect(connection).get_columns("users", schema=f"xaiva_before_{later(1)}_from_{HEAD}"))


def test_a_step_that_fails_leaves_all_as_it_was(database_url: str, next_release: NextRelease) -> None:
    with_a_user(database_url)
    next_release()
    next_release('raise RuntimeError("in the middle")')
    with pytest.raises(DatabaseError, match=f"migration to {later(2)} failed: in the middle"):
        Database(database_url)
    with connected(database_url) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [(HEAD,)]
        assert f"colour{later(1)}" not in {column["name"] for column in inspect(connection).get_columns("users")}
        assert connection.execute(text("SELECT count(*) FROM camera_access")).scalar() == 1


def test_a_newer_database_is_refused(database_url: str) -> None:
    Database(database_url).close()
    with connected(database_url) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    with pytest.raises(DatabaseError, match=r"a newer xaiva wrote it \(step 0099"):
        Database(database_url)


def test_only_the_newest_backups_stay(next_release: NextRelease, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'xaiva.db'}"
    Database(url).close()
    for _ in range(5):
        next_release()
        Database(url).close()
    steps = sorted(path.name.split("-")[1] for path in tmp_path.glob("xaiva.db.before-*"))
    assert steps == [later(3), later(4), later(5)]
    assert len(steps) == migrate.BACKUPS_KEPT


def test_a_new_database_needs_no_backup(database_url: str, tmp_path: Path) -> None:
    Database(database_url).close()
    assert not list(tmp_path.glob("*.before-*"))
    with connected(database_url) as connection:
        assert not [name for name in inspect(connection).get_schema_names() if name.startswith("xaiva_before")]


def test_types_of_events_say_what_was_seen(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(
        Path(migrations.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__", "r000[23]_*")
    )
    with monkeypatch.context() as older:
        older.setattr(migrations, "__file__", str(folder / "__init__.py"))
        older.setattr(migrations, "HEAD", "0001")
        database = Database(database_url)
    rows = [event_columns(an_event()) | {"type": word} for word in ("memory", "onnx", "motion", "intrusion")]
    for row in rows:
        del row["product"]  # a column of a later step
    request = {"name": "ops", "types": ["memory", "onnx", "fire"], "channels": [{"kind": "email", "to": "a@b"}]}
    day = DayStatistics(date=NOW.date(), camera="gate", events=6, by_type={"intrusion": 1}).model_dump()
    day |= {"zone": "UTC", "by_type": {"memory": 1, "onnx": 2, "motion": 3}}

    def fill(session: Session) -> None:
        session.execute(insert(EventRow), rows)
        session.add(models.NotificationRuleRow(name="ops", position=1, request=request))
        session.add(models.DailyStatisticsRow(**day))

    database.write(fill)
    database.close()
    database = Database(database_url)
    with database.read() as session:
        assert sorted(session.scalars(select(EventRow.type))) == ["anomaly", "anomaly", "intrusion", "motion"]
        request |= {"types": ["anomaly", "fire"]}
        assert session.scalars(select(models.NotificationRuleRow.request)).one() == request
        assert session.scalars(select(models.DailyStatisticsRow.by_type)).one() == {"anomaly": 3, "motion": 3}
    database.close()


def test_settings_survive_a_migration(database_url: str, next_release: NextRelease) -> None:
    database = Database(database_url)
    request = {"id": "gate", "source": "x", "zones": [{"name": "門", "polygon": []}]}
    database.write(lambda session: session.add(CameraRow(id="gate", position=1, request=request)))
    database.close()
    next_release()
    database = Database(database_url)
    with database.read() as session:
        row = session.get(CameraRow, "gate")
        assert row is not None
        assert row.request == request
    database.close()
