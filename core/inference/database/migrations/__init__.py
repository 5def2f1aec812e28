"""Migrations of the database: `versions/` holds a file per step, which never changes once released."""

HEAD = "0003"  # the newest revision: a database that is at it is opened without Alembic
