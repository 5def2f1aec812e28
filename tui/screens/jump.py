"""A letter on each panel of the screen below; pressing it chooses the panel."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Label

LETTERS = "asdfghjklqwertyuiopzxcvbnm"  # those under the fingers first


class Jump(ModalScreen[Widget]):
    """Returns the panel, None for any other key and for a click."""

    def __init__(self, panels: Sequence[Widget]) -> None:
        super().__init__()
        self._panels = dict(zip(LETTERS, panels, strict=False))

    def compose(self) -> ComposeResult:
        for letter, panel in self._panels.items():
            label = Label(f" {letter} ")
            label.styles.offset = panel.region.offset
            yield label

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self.dismiss(self._panels.get(event.character or ""))

    def on_click(self) -> None:
        self.dismiss(None)
