"""The protocol of a language model: text and perhaps a picture in, JSON text out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue


@dataclass(frozen=True)
class Prompt:
    """What is asked. `schema` is the JSON Schema the answer should fit, `examples` pairs of text and good answer."""

    system: str
    text: str
    schema: Mapping[str, JsonValue]
    picture: bytes | None = None  # JPEG
    examples: tuple[tuple[str, str], ...] = ()
    max_tokens: int = 300  # tokens of the answer


class LanguageModel(Protocol):
    """Answers one prompt at a time. `name` goes into every answer as its backend; `sees`: it takes pictures."""

    name: str
    sees: bool

    def load(self) -> None:
        """Take what it needs. Raises XaivaError."""

    def complete(self, prompt: Prompt, seconds: float) -> str:
        """The answer's text, within `seconds` where the model can be held to it. Raises XaivaError."""

    def close(self) -> None:
        """Give everything back."""
