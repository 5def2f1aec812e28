"""The protocol of a language model: takes a text and possibly a picture, returns JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue


@dataclass(frozen=True)
class Prompt:
    """A question to a language model."""

    system: str
    text: str
    schema: Mapping[str, JsonValue]  # JSON Schema of the answer
    picture: bytes | None = None  # JPEG
    examples: tuple[tuple[str, str], ...] = ()  # pairs of text and answer
    max_tokens: int = 300  # of the answer


class LanguageModel(Protocol):
    """Answers one prompt at a time."""

    name: str  # the backend, as shown with each answer
    sees: bool  # whether it takes pictures

    def complete(self, prompt: Prompt, seconds: float) -> str:
        """The answer's text, within `seconds` if the model supports a time-out. Raises XaivaError."""
