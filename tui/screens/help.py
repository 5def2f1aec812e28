"""Help, made from the active bindings of the screen below, so it is never out of date."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen

from tui.formatters.cells import Line, Span, fit, wrap
from tui.navigation import SCREENS
from tui.widgets.panel import Panel

KEY_WIDTH = 14


class HelpScreen(ModalScreen[None]):
    """The keys that work on the screen below, and what they do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark,f1", "dismiss", "Close"),
        Binding("down,j", "scroll(1)", show=False),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
    ]

    def __init__(self, below: Screen[Any]) -> None:
        super().__init__()
        self._rows = list(self._key_rows(below))

    def compose(self) -> ComposeResult:
        with Vertical(classes="help"):
            yield Panel("Keys", id="help")

    def on_mount(self) -> None:
        self.query_one(Panel).show(self._lines, "Esc closes · ↑↓ scroll")

    def action_scroll(self, by: int) -> None:
        """Scroll by so many lines."""
        self.query_one(Panel).scroll_relative(y=by, animate=False)

    def _key_rows(self, below: Screen[Any]) -> list[tuple[str, str, str, str]]:
        """(place, keys, title, help) of every active binding; the keys of one action are in one row."""
        keys_by_action: dict[tuple[str, str], tuple[list[str], str, str]] = {}
        for active in below.active_bindings.values():
            if not active.enabled or active.binding.system or active.binding.action.startswith("go("):
                continue
            place = {below: "This screen", below.app: "Everywhere"}.get(active.node, "Focused panel")
            if place == "This screen" and active.binding.id is None:
                place = "Moving around"
            keys, _, _ = keys_by_action.setdefault(
                (place, active.binding.action), ([], active.binding.description, active.tooltip or "")
            )
            display = below.app.get_key_display(active.binding)
            if display not in keys:
                keys.append(display)
        order = ["This screen", "Focused panel", "Everywhere", "Screens", "Moving around"]
        rows = [(where, " ".join(keys), title, text) for (where, _), (keys, title, text) in keys_by_action.items()]
        rows += [
            ("Screens", f"{entry.key:1}  ,{entry.letter}", entry.title, entry.help)
            for entry in SCREENS.values()
            if not below.is_modal
        ]
        return sorted(rows, key=lambda row: order.index(row[0]))

    def _lines(self, width: int) -> list[Line]:
        out: list[Line] = []
        heading = ""
        for place, keys, title, text in self._rows:
            if place != heading:
                out += [(), (Span(place, "title"),)] if out else [(Span(place, "title"),)]
                heading = place
            words = f"{title} — {text}" if text and text != title else title
            first, *rest = wrap(words, max(width - KEY_WIDTH - 2, 20))
            out.append((*fit(Span(keys, "key"), KEY_WIDTH), Span("  "), *first))
            out += [(Span(" " * (KEY_WIDTH + 2)), *rest_line) for rest_line in rest]
        return out
