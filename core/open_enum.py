"""Enumerations over somebody else's words: a word that is not known is kept as it is and raises no error.

An engine, a driver, a newer service or a newer xaiva may use a word that this version does not know. It becomes a
member of its own that is equal to no known one, so it never counts as fine and never takes the rest of a list with it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from core.validation_errors import every_problem

_MAX_WORD_LENGTH = 60  # characters of a word that is shown


class OpenEnum(str, Enum):
    """A `str` enumeration to which any value belongs. `value` of one that is null or missing is empty."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        word = "" if value is None else str(value)[:_MAX_WORD_LENGTH]
        member = str.__new__(cls, word)
        member._name_ = word  # Enum hashes by the name: equal words are equal keys
        member._value_ = word
        return member

    @property
    def is_known(self) -> bool:
        """Whether it is one of the listed words."""
        return self.value in type(self)._value2member_map_

    @property
    def word(self) -> str:
        """The word as it is shown."""
        return str(self.value) or "unknown"


def describe_misfit(error: Exception) -> str:
    """What of somebody else's row could not be read, in words, from the error that reading it raised."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return "; ".join(every_problem(error)[:3])
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
