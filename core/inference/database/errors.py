"""Errors of the databases as messages for the reader."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import exc

from core.errors import XaivaError

_CHECK = "see that the database runs and can be reached"
_HANGS = "see whether the server, its disk or the network hangs"
# (found in the driver's text, why, remedy); the first that fits
_KNOWN = (
    ("database is locked", "another process holds its lock", "stop the other program that has it open"),
    ("disk is full", "its disk is full", "make room on that disk; what was decided waits in the spool"),
    ("No space left", "its disk is full", "make room on that disk; what was decided waits in the spool"),
    ("readonly database", "it cannot be written", "make the file and its folder writable for this user"),
    ("read-only transaction", "it takes no writes now", "is it a standby? give the URL of the primary"),
    ("unable to open database file", "the file cannot be opened", "make its folder writable for this user"),
    ("not a database", "the file is damaged", "stop the service and put the newest backup beside it in its place"),
    ("malformed", "the file is damaged", "stop the service and put the newest backup beside it in its place"),
    ("disk I/O error", "its disk fails", "look at the disk's room and health; what was decided waits in the spool"),
    ("password authentication failed", "user or password is refused", "put the right ones into XAIVA_DATABASE_URL"),
    ("Connection refused", "nothing listens there", "start the database, or correct XAIVA_DATABASE_URL"),
    ("does not answer", "it does not answer", _HANGS),
    ("timeout expired", "it does not answer", _HANGS),
    ("starting up", "it is starting up", _CHECK),
    ("shutting down", "it is shutting down", _CHECK),
    ("does not exist", "no such database, user or table", "create it, or correct XAIVA_DATABASE_URL"),
)

PLAIN = frozenset(why for _, why, _ in _KNOWN)  # these name no host, no file and no user
LASTING = frozenset({"user or password is refused", "no such database, user or table"})  # until somebody changes it


class DatabaseError(XaivaError):
    """The database does not answer, is locked, full or damaged. Nothing was written; a later try may succeed."""


class DriverError(DatabaseError):
    """What the driver says: of the server, the line to it, the file, or what it is asked for."""


@contextlib.contextmanager
def explained(shown: str) -> Iterator[None]:
    """Turn the driver's errors into DatabaseError; what a row itself broke (IntegrityError, DataError) stays."""
    try:
        yield
    except (exc.IntegrityError, exc.DataError):
        raise
    except exc.DBAPIError as error:
        raise in_words(shown, str(error.orig)) from error
    except exc.TimeoutError as error:
        raise DatabaseError(f"Database {shown}", "all of its connections are in use", _CHECK) from error


def in_words(shown: str, text: str) -> DriverError:
    """The driver's text as an error for the reader; `shown` is the database without its password."""
    for mark, why, remedy in _KNOWN:
        if mark in text:
            return DriverError(f"Database {shown}", why, remedy)
    return DriverError(f"Database {shown}", text.strip().partition("\n")[0], _CHECK)
