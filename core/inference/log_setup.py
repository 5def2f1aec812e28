"""Logging of the service: one line per record to stderr, times in UTC, passwords redacted."""

from __future__ import annotations

import logging
import sys
import threading
from time import gmtime
from types import TracebackType

from core.redaction.log_format import RedactingFormatter


def set_up_logging() -> None:
    """Log everything from INFO up to stderr, including exceptions that end a thread or the process."""
    handler = logging.StreamHandler()
    formatter = RedactingFormatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    threading.excepthook = lambda ended: _log_uncaught(ended.exc_type, ended.exc_value, ended.exc_traceback)
    sys.excepthook = _log_uncaught
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs every plugin at every start
    logging.getLogger("faiss").setLevel(logging.WARNING)  # it logs an error for each instruction set that it lacks
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every URL with its secrets


def _log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if kind is not SystemExit:
        logging.getLogger(__name__).error("an unexpected error", exc_info=(kind, error or kind(), traceback))
