"""Enumerations of values that other programs define: an unknown value is kept and raises no error.

An engine, a driver, a newer service or a newer xaiva may use a value that this version does not know. It becomes a
new member that equals no known one, so that it never counts as fine and never makes the rest of a list unreadable.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from core.validation_errors import every_problem

_MAX_WORD_LENGTH = 60  # characters


class OpenEnum(str, Enum):
    """A `str` enumeration that accepts any value; null becomes an empty string."""

    @classmethod
    def _missing_(cls, value: object) -> Any:
        word = "" if value is None else str(value)[:_MAX_WORD_LENGTH]
        member = str.__new__(cls, word)
        member._name_ = word  # Enum hashes by name: equal values must be equal keys
        member._value_ = word
        return member

    @property
    def is_known(self) -> bool:
        """Whether it is one of the listed values."""
        return self.value in type(self)._value2member_map_

    @property
    def word(self) -> str:
        """The value for display; `unknown` if it is empty."""
        return str(self.value) or "unknown"


def describe_misfit(error: Exception) -> str:
    """Describe which field of another program's data could not be read, from the error that parsing raised."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return "; ".join(every_problem(error)[:3])
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
