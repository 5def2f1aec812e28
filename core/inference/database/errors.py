"""Turns errors of the database drivers into messages for users."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import exc

from core.errors import XaivaError

_CHECK = "check that the database is running and can be reached"
_HANGS = "check whether the server, its disk or the network hangs"
_START = "start the database, or correct XAIVA_DATABASE_URL"
_CONNECTIONS_USED_UP = "all of its connections are in use"
_FREE_CONNECTIONS = "close other programs that use it, or raise max_connections or the limit of the user or database"
_REFUSED = "the user or password was refused"
_NO_RIGHTS = "its user lacks the rights for this"
_GRANT = "grant the user USAGE and CREATE on the database's schema, or name another user"
_HOST_REFUSED = "it does not let this machine or user connect"
_NO_TLS = "it does not speak TLS"
_CERTIFICATE = "its certificate cannot be checked"
_MISSING = "no such database, user or table"
# (part of the driver's text, why, remedy); the first match counts
_KNOWN_ERRORS = (
    ("database is locked", "another process holds its lock", "stop the other program that has it open"),
    ("disk is full", "its disk is full", "free space on that disk; events wait in the spool"),
    ("No space left", "its disk is full", "free space on that disk; events wait in the spool"),
    ("readonly database", "it is read-only", "make the file and its folder writable for this user"),
    ("read-only transaction", "it does not accept writes now", "if it is a standby, use the URL of the primary"),
    ("unable to open database file", "the file cannot be opened", "make its folder writable for this user"),
    ("not a database", "the file is damaged", "stop the service and replace the file with the newest backup beside it"),
    ("malformed", "the file is damaged", "stop the service and replace the file with the newest backup beside it"),
    ("disk I/O error", "its disk fails", "check the disk's free space and health; events wait in the spool"),
    ("password authentication failed", _REFUSED, "correct them in XAIVA_DATABASE_URL"),
    ("not permitted to log in", _REFUSED, "let the user log in, or name another user in XAIVA_DATABASE_URL"),
    ("no pg_hba.conf entry", _HOST_REFUSED, "add a line for it to the server's pg_hba.conf"),
    ("does not support SSL", _NO_TLS, "turn ssl on there, or remove sslmode from XAIVA_DATABASE_URL"),
    ("certificate", _CERTIFICATE, "name its authority's file with sslrootcert=FILE in XAIVA_DATABASE_URL"),
    ("too many clients", _CONNECTIONS_USED_UP, _FREE_CONNECTIONS),
    ("too many connections", _CONNECTIONS_USED_UP, _FREE_CONNECTIONS),
    ("remaining connection slots", _CONNECTIONS_USED_UP, _FREE_CONNECTIONS),
    ("permission denied", _NO_RIGHTS, _GRANT),
    ("no schema has been selected", _NO_RIGHTS, _GRANT),
    ("failed to resolve host", "its host name is unknown", "correct the host in XAIVA_DATABASE_URL"),
    ("No route to host", "its machine cannot be reached", "check that the machine and the network are up"),
    ("Network is unreachable", "its machine cannot be reached", "check that the machine and the network are up"),
    ("Connection refused", "nothing listens there", _START),
    ("server on socket", "nothing listens there", _START),
    ("does not answer", "it does not answer", _HANGS),
    ("timeout expired", "it does not answer", _HANGS),
    ("Connection timed out", "it does not answer", _HANGS),
    ("starting up", "it is starting up", _CHECK),
    ("not yet accepting connections", "it is starting up", _CHECK),
    ("in recovery mode", "it is starting up", _CHECK),
    ("shutting down", "it is shutting down", _CHECK),
    ("terminating connection", "it ended the connection", _CHECK),
    ("closed the connection", "it ended the connection", _CHECK),
    ("does not exist", _MISSING, "create it, or correct XAIVA_DATABASE_URL"),
)

PUBLIC_REASONS = frozenset(why for _, why, _ in _KNOWN_ERRORS)  # safe for strangers: no host, file or user
LASTING_REASONS = frozenset(
    {_REFUSED, _HOST_REFUSED, _NO_TLS, _CERTIFICATE, _NO_RIGHTS, _MISSING}
)  # until it is changed
# SQLSTATEs, or their classes, that are not the statement's fault: connection, standby, rights, space, locks, shutdown
_SERVER_SQLSTATES = ("08", "25", "3F", "40", "42501", "53", "55", "57", "58")


class DatabaseError(XaivaError):
    """The database is down, locked, full or damaged. Nothing was written; a retry may succeed."""


class DriverError(DatabaseError):
    """An error that the driver reported."""


@contextlib.contextmanager
def translate_errors(url_shown: str) -> Iterator[None]:
    """Turn the driver's errors into DatabaseError, except IntegrityError and DataError, which are a row's fault."""
    try:
        yield
    except (exc.IntegrityError, exc.DataError):
        raise
    except exc.DBAPIError as error:
        raise driver_error(url_shown, str(error.orig)) from error
    except exc.TimeoutError as error:
        raise DatabaseError(f"Database {url_shown}", "all of its connections are in use", _CHECK) from error


def is_server_error(error: exc.DBAPIError) -> bool:
    """Whether the server or the connection failed, not the statement, which may succeed later."""
    state: str | None = getattr(error.orig, "sqlstate", "")
    return state is None or state.startswith(_SERVER_SQLSTATES)  # None: no answer


def driver_error(url_shown: str, text: str) -> DriverError:
    """The error for a driver's text; `url_shown` is the URL without its password."""
    for mark, why, remedy in _KNOWN_ERRORS:
        if mark in text:
            return DriverError(f"Database {url_shown}", why, remedy)
    return DriverError(f"Database {url_shown}", text.strip().partition("\n")[0], _CHECK)
