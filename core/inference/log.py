"""Logging of the service: one line a record to stderr, UTC, no password ever."""

from __future__ import annotations

import logging
from time import gmtime

from core.inference.cameras.address import redact


class RedactingFormatter(logging.Formatter):
    """Takes logins out of whole records, tracebacks included: the last defence, not the first."""

    converter = staticmethod(gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text without credentials."""
        return redact(super().format(record))


def set_up() -> None:
    """Send every record from INFO up to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every plugin at every start
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells every address, with what is secret in it
