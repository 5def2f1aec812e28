"""Deletes operations that are older or more than are to be kept, with their logs, and what killed supervisors left."""

from __future__ import annotations

import logging
import time

from core.errors import XaivaError
from core.operations import sql
from core.operations.database import ledger_errors, read_rows, shared_connection, transaction
from core.operations.place import Place

logger = logging.getLogger(__name__)

_DAY_SECONDS = 86400.0


def prune(place: Place) -> None:
    """Delete what is not to be kept. What cannot be deleted now is logged and stays: nothing depends on it."""
    try:
        oldest = time.time() - place.keep_days * _DAY_SECONDS
        for row in read_rows(place.ledger, sql.EXPIRED, {"keep": place.keep, "oldest": oldest}, place.network_remedy):
            _delete(place, row["id"])
    except (XaivaError, OSError) as error:
        logger.warning("old operations cannot be deleted: %s", error)


def remove_strays(place: Place) -> None:
    """Remove locks and reserves that nobody holds: a supervisor was killed between its last write and their removal."""
    folder = place.operation_file(0, ".log").parent
    try:
        paths = [path for suffix in ("lock", "reserve") for path in folder.glob(f"[0-9]*.{suffix}")]
        if not paths:
            return
        connection = shared_connection(place.ledger, place.network_remedy)
        with ledger_errors(place.ledger), transaction(connection, durable=False):  # nothing is started meanwhile
            held = {str(row["id"]) for row in connection.execute(sql.HELD).fetchall()}
            for path in paths:
                if path.name.partition(".")[0] not in held:
                    path.unlink(missing_ok=True)
    except (XaivaError, OSError) as error:
        logger.warning("what killed processes left cannot be removed: %s", error)


def _delete(place: Place, identifier: int) -> None:
    connection = shared_connection(place.ledger, place.network_remedy)
    with ledger_errors(place.ledger), transaction(connection, durable=False):
        newest = connection.execute(sql.LAST_EVENT_NUMBER, {"id": identifier}).fetchone()[0]
        if not connection.execute(sql.DELETE, {"id": identifier}).rowcount:
            return  # somebody has started it again in the meantime
        connection.execute(sql.COUNT_DELETED_EVENTS, {"seq": newest})
    place.operation_file(identifier, ".log").unlink(missing_ok=True)
