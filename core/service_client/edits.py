"""Sends what a person changed, and nothing else: what another person changed meanwhile stays, or is said."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from core.errors import InputError

M = TypeVar("M", bound=BaseModel)


class Clash(NamedTuple):
    """A field that two people changed: its name, what the other person wrote, and what this one wants."""

    field: str
    theirs: Any
    mine: Any


class ChangedMeanwhile(InputError):
    """Somebody else changed the same fields. `fields` names them: they may be overwritten on purpose."""

    def __init__(self, what: str, clashes: Iterable[Clash]) -> None:
        clashes = list(clashes)
        self.fields = frozenset(clash.field for clash in clashes)
        words = "; ".join(f"{clash.field.replace('_', ' ')} is {_words(clash.theirs)} now" for clash in clashes)
        super().__init__(what, f"somebody else changed it meanwhile: {words}", "save again to overwrite that")


def only_changes(what: str, opened: M, untouched: M, wanted: M, now: M, overwrite: Collection[str] = ()) -> M:
    """`now` with what a person changed of the form.

    `opened` is what the form was filled from and `untouched` what the form says while nobody types in it, which is
    rounded. Raises ChangedMeanwhile for fields that somebody else changed, too, except those of `overwrite`.
    """
    clashes: list[Clash] = []
    merged = _merge(opened, untouched, wanted, now, overwrite, clashes)
    if clashes:
        raise ChangedMeanwhile(what, clashes)
    return merged


def _merge(opened: M, untouched: M, wanted: M, now: M, overwrite: Collection[str], clashes: list[Clash]) -> M:
    changed: dict[str, Any] = {}
    for name in type(wanted).model_fields:
        before, mine, was, theirs = (getattr(one, name) for one in (untouched, wanted, opened, now))
        if isinstance(mine, BaseModel):
            changed[name] = _merge(was, before, mine, theirs, overwrite, clashes)
        elif mine != before:
            changed[name] = mine
            if theirs not in (was, mine) and name not in overwrite:
                clashes.append(Clash(name, theirs, mine))
    return now.model_copy(update=changed)


def _words(value: Any) -> str:
    """A value for people; a list of settings has no short form."""
    if value is None or value in ("", (), []):
        return "empty"
    return "another one" if isinstance(value, (list, tuple)) else str(getattr(value, "value", value))
