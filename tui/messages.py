"""Messages between parts of the console."""

from __future__ import annotations

from textual.message import Message


class SourceChanged(Message):
    """A source of the store has its first answer, failed, or recovered."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
