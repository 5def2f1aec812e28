"""Rejects JSON objects with a repeated key, of which `json` would silently drop the first value."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

_MAX_KEY_LENGTH = 40  # characters of a key in the message


class RepeatedKey(ValueError):
    """A JSON object has a key twice."""


def unique_keys(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` for `json`. Raises RepeatedKey."""
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise RepeatedKey(f"the key {json.dumps(key[:_MAX_KEY_LENGTH])} is given twice in one object")
        members[key] = value
    return members
