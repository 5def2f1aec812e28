"""Merges the edits of a form with changes that somebody else made in the meantime."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from core.errors import InputError

ModelT = TypeVar("ModelT", bound=BaseModel)


class EditConflict(NamedTuple):
    """A field that two people changed, with the other person's value and this person's."""

    field: str
    theirs: Any
    mine: Any


class EditConflictError(InputError):
    """Somebody else changed the same fields. `fields` has their names, for overwriting them on purpose."""

    def __init__(self, what: str, conflicts: Iterable[EditConflict]) -> None:
        conflicts = list(conflicts)
        self.fields = frozenset(conflict.field for conflict in conflicts)
        words = "; ".join(
            f"{conflict.field.replace('_', ' ')} is now {_format_value(conflict.theirs)}" for conflict in conflicts
        )
        super().__init__(what, f"somebody else changed it in the meantime: {words}", "save again to overwrite that")


def merge_changes(
    what: str, opened: ModelT, untouched: ModelT, edited: ModelT, current: ModelT, overwrite: Collection[str] = ()
) -> ModelT:
    """Apply to `current` the changes that a person made in a form.

    `opened` is the model the form was filled from, and `untouched` is what the unedited form yields, which is rounded.
    Raises EditConflictError for fields that somebody else changed, too, except those in `overwrite`.
    """
    conflicts: list[EditConflict] = []
    merged = _merge(opened, untouched, edited, current, overwrite, conflicts)
    if conflicts:
        raise EditConflictError(what, conflicts)
    return merged


def _merge(
    opened: ModelT,
    untouched: ModelT,
    edited: ModelT,
    current: ModelT,
    overwrite: Collection[str],
    conflicts: list[EditConflict],
) -> ModelT:
    changed: dict[str, Any] = {}
    for name in type(edited).model_fields:
        shown, mine, original, theirs = (getattr(model, name) for model in (untouched, edited, opened, current))
        if isinstance(mine, BaseModel):
            changed[name] = _merge(original, shown, mine, theirs, overwrite, conflicts)
        elif mine != shown:
            changed[name] = mine
            if theirs not in (original, mine) and name not in overwrite:
                conflicts.append(EditConflict(name, theirs, mine))
    return current.model_copy(update=changed)


def _format_value(value: Any) -> str:
    """A value as text. Lists of settings have no short form."""
    if value is None or value in ("", (), []):
        return "empty"
    return "different" if isinstance(value, (list, tuple)) else str(getattr(value, "value", value))
