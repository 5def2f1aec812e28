"""What an operation came to, in a few words beside its state: why it failed, what a lock lacks, what checks found."""

from __future__ import annotations

from collections import Counter

from core.operations.model import Operation

_COUNTED = ("error", "warning")  # levels of findings; notes are not worth a word here


def outcome(operation: Operation) -> str:
    """One line; empty while there is nothing to say: `partial: 2 not locked, 1 warning, 14 changes`."""
    if operation.failure is not None:
        return ": ".join(filter(None, (operation.failure.what, operation.failure.why))).replace("\n", " ")
    result = operation.result or {}
    unlocked, findings, changes = (_items(result.get(name)) for name in ("unlocked", "findings", "diff"))
    levels = Counter(finding.get("level") for finding in findings if isinstance(finding, dict))
    said = [f"partial: {len(unlocked)} not locked"] if unlocked else []
    said += [_number(levels[level], level) for level in _COUNTED if levels[level]]
    said += [_number(len(changes), "change")] if changes else []
    return ", ".join(said)


def _number(count: int, noun: str) -> str:
    """`1 change`, `2 changes`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []
