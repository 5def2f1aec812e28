"""JSON objects that name every key once; of two values `json` would drop the first in silence."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

_MAX_KEY_LENGTH = 40  # characters of a key that are repeated


class RepeatedKey(ValueError):
    """A key that stands twice in one JSON object."""


def unique_keys(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, as an `object_pairs_hook`. Raises RepeatedKey."""
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise RepeatedKey(f"the key {json.dumps(key[:_MAX_KEY_LENGTH])} is given twice in one object")
        members[key] = value
    return members
