"""Logging of the service: one line a record to stderr, UTC, no password ever."""

from __future__ import annotations

import logging
import threading
from time import gmtime

from core.redaction import text


class RedactingFormatter(logging.Formatter):
    """Takes logins out of whole records, tracebacks included: the last defence, not the first."""

    converter = staticmethod(gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text without credentials."""
        return text(super().format(record))


def set_up() -> None:
    """Send every record from INFO up to stderr, and so what a thread ended with."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    threading.excepthook = _log_end
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every plugin at every start
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells every address, with what is secret in it


def _log_end(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is SystemExit:
        return
    name = ended.thread.name if ended.thread else "a thread"
    error = ended.exc_value or ended.exc_type()
    logging.getLogger(__name__).error("%s broke down", name, exc_info=(ended.exc_type, error, ended.exc_traceback))
