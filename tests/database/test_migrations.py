"""The migrations against the tables that the code speaks of, on both databases."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from core.inference.database import migrations
from core.inference.database.engine import Database
from core.inference.database.models import Base


def test_the_migrations_make_the_tables_of_the_models(database_url: str) -> None:
    Database(database_url).close()
    engine = create_engine(database_url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_head_is_the_newest_step() -> None:
    assert migrations.__file__
    scripts = ScriptDirectory(migrations.__file__.rpartition("/")[0])
    assert scripts.get_heads() == [migrations.HEAD]
