"""A log formatter that redacts whole records, including tracebacks."""

from __future__ import annotations

import logging

from core.redaction.texts import redact_text


class RedactingFormatter(logging.Formatter):
    """Redacts formatted records: the last line of defence; secrets should not reach the log at all."""

    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))
