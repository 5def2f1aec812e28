"""Real parts the tests bring up and down: an engine, an index, cameras, terminals."""

from __future__ import annotations

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Skip the test when a real part is missing; fail instead where everything is required (CI)."""
    if condition:
        return
    if os.environ.get("XAIVA_REQUIRE_ALL") == "1":
        pytest.fail(f"required here: {reason}")
    pytest.skip(reason)
