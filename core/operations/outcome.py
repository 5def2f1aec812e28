"""Summarizes the outcome of an operation in one line: why it failed, what is not locked, what the checks found."""

from __future__ import annotations

from collections import Counter

from core.errors import XaivaError
from core.operations.model import Operation

RESULT_LABELS = {"unlocked": "not locked", "diff": "change"}  # where the label differs from the field of the result
_COUNTED_LEVELS = ("error", "warning")


def summarize_outcome(operation: Operation) -> str:
    """The outcome in one line, such as `partial: 2 not locked, 1 warning, 14 changes`; may be empty."""
    if operation.failure is not None:
        return operation.failure.headline
    result = operation.result or {}
    unlocked, findings, changes = (_as_list(result.get(name)) for name in ("unlocked", "findings", "diff"))
    levels = Counter(finding.get("level") for finding in findings if isinstance(finding, dict))
    parts = [f"partial: {len(unlocked)} not locked"] if unlocked else []
    parts += [_count_of(levels[level], level) for level in _COUNTED_LEVELS if levels[level]]
    parts += [_count_of(len(changes), "change")] if changes else []
    return ", ".join(parts)


def result_label(name: str) -> str:
    """The label to print before a field of an operation's result."""
    return RESULT_LABELS.get(name, name.replace("_", " "))


def format_value(value: object) -> str:
    """A value of an operation's result as text; lists and objects are joined with commas."""
    if isinstance(value, dict) and isinstance(value.get("what"), str):
        return str(XaivaError(value["what"], str(value.get("why") or ""), str(value.get("remedy") or "")))
    if isinstance(value, dict):
        return ", ".join(f"{key} {format_value(item)}" for key, item in value.items() if item not in (None, "", [], {}))
    if isinstance(value, list):
        return ", ".join(map(format_value, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _count_of(count: int, noun: str) -> str:
    """`1 change`, `2 changes`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
