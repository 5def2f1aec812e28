"""Summarizes the outcome of an operation in one line: why it failed, what is not locked, what the checks found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pydantic import JsonValue

from core.errors import XaivaError
from core.operations.model import Operation

RESULT_LABELS = {"unlocked": "not locked", "diff": "change"}  # where the label differs from the field of the result
FINDINGS_TOTAL = "findings_total"
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
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def without_known_total(result: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The result; the number of its findings only where not all of them are listed."""
    total, listed = result.get(FINDINGS_TOTAL), len(_as_list(result.get("findings")))
    is_known = total is None or total == listed
    return {name: value for name, value in result.items() if name != FINDINGS_TOTAL or not is_known}


def record_table(name: str, value: object) -> list[list[str]]:
    """Records by name, such as what became of each product, as a head and rows of texts; empty for any other value."""
    if not isinstance(value, dict) or not value or not all(isinstance(record, dict) for record in value.values()):
        return []
    fields = dict.fromkeys(field for record in value.values() for field in record)
    rows = [
        [key, *("" if record.get(field) is None else format_value(record[field]) for field in fields)]
        for key, record in value.items()
    ]
    return [[result_label(one) for one in (name, *fields)], *rows]


def _count_of(count: int, noun: str) -> str:
    """`1 change`, `2 changes`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
