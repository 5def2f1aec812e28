"""How an older database becomes one of today: `versions/` holds a file a step, which never changes once released."""

HEAD = "0001"  # the newest revision: a database that is at it is opened without Alembic
