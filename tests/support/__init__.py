"""Real parts that the tests start and stop: an engine, an index, cameras, terminals."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

PATIENCE = 30.0  # seconds; a deadline for what should come soon, on a machine that may be busy

# For tests of what lies above SQL: on PostgreSQL they would prove nothing more.
SQLITE_ALONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Value = TypeVar("Value")


def require(condition: object, reason: str) -> None:
    """Skip the test when a real part is missing; fail instead where everything is required (CI)."""
    if condition:
        return
    if os.environ.get("XAIVA_REQUIRE_ALL") == "1":
        pytest.fail(f"required here: {reason}")
    pytest.skip(reason)


def until(probe: Callable[[], Value], accept: Callable[[Value], object] = bool, seconds: float = PATIENCE) -> Value:
    """Call `probe` until `accept` is true for its value, and return the value."""
    deadline = time.monotonic() + seconds
    while True:
        value = probe()
        if accept(value):
            return value
        assert time.monotonic() < deadline, f"still {value} after {seconds} s"
        time.sleep(0.02)
