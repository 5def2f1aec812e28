"""What an operation came to, in a few words beside its state: why it failed, what a lock lacks, what checks found."""

from __future__ import annotations

from collections import Counter

from core.errors import XaivaError
from core.operations.model import Operation

RESULT_LABELS = {"unlocked": "not locked", "diff": "change"}  # the lists of an outcome whose items have another name
_COUNTED_LEVELS = ("error", "warning")  # levels of findings; notes are not worth a word here


def summarize_outcome(operation: Operation) -> str:
    """One line; empty while there is nothing to say: `partial: 2 not locked, 1 warning, 14 changes`."""
    if operation.failure is not None:
        return ": ".join(filter(None, (operation.failure.what, operation.failure.why))).replace("\n", " ")
    result = operation.result or {}
    unlocked, findings, changes = (_as_list(result.get(name)) for name in ("unlocked", "findings", "diff"))
    levels = Counter(finding.get("level") for finding in findings if isinstance(finding, dict))
    parts = [f"partial: {len(unlocked)} not locked"] if unlocked else []
    parts += [_count_of(levels[level], level) for level in _COUNTED_LEVELS if levels[level]]
    parts += [_count_of(len(changes), "change")] if changes else []
    return ", ".join(parts)


def result_label(name: str) -> str:
    """The words before a part of an outcome."""
    return RESULT_LABELS.get(name, name.replace("_", " "))


def format_value(value: object) -> str:
    """A part of an outcome, or one item of its lists, in words."""
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
