"""JSON objects that name every key once; of two values `json` would drop the first in silence."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

_LONGEST = 40  # characters of a key that are repeated


class RepeatedKey(ValueError):
    """A key that stands twice in one JSON object."""


def unique_keys(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, as an `object_pairs_hook`. Raises RepeatedKey."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RepeatedKey(f"the key {json.dumps(key[:_LONGEST])} is given twice in one object")
        found[key] = value
    return found
