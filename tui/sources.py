"""What the store asks, and how often: one function of core a source. Each runs in a thread of its own and may block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.site import Site

LIVE = 1.0  # seconds between two samples of what is watched
CALM = 5.0  # of what seldom changes
SLOWER = 4  # low bandwidth asks this many times less often
OPERATIONS_SHOWN = 200


def fetchers(site: Site, slower: int = 1) -> dict[str, tuple[Callable[[], Any], float]]:
    """Every source by name, with its interval in seconds."""
    return {
        "operations": (_operations(site), LIVE * slower),
        "operation": (_nothing, LIVE * slower),
    }


def _nothing() -> None:
    """The answer of a source before a screen pointed it at something."""


def _operations(site: Site) -> Callable[[], Any]:
    def fetch() -> Any:
        from core.operations.ledger import Ledger

        return Ledger(site).list(OPERATIONS_SHOWN)

    return fetch
