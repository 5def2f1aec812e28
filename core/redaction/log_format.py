"""The format of log records: whole records without secrets, tracebacks included."""

from __future__ import annotations

import logging

from core.redaction.texts import redact_text


class RedactingFormatter(logging.Formatter):
    """The last defence, not the first."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text without secrets."""
        return redact_text(super().format(record))
