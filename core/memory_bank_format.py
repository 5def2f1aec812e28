"""The format of the file in which the inference service keeps what a camera has learned."""

from __future__ import annotations

BANK_VERSION = 1  # raised when older files can no longer be read
