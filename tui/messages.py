"""Messages between parts of the console."""

from __future__ import annotations

from textual.message import Message


class SourceChanged(Message):
    """A source of the store has its first answer, an error, or is well again."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
