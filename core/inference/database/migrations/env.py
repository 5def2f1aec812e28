"""Run by Alembic: the steps, over the connection and inside the transaction that `migrate.py` gives it."""

from alembic import context

from core.inference.database.models import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
