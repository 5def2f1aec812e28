"""Help, made from the active bindings of the screen below, so it is never out of date; it can be searched."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from tui.formatters.cells import Line, Span, fit, wrap
from tui.navigation import SCREENS
from tui.widgets.choice_list import matches
from tui.widgets.panel import Panel

KEY_WIDTH = 14


class HelpScreen(ModalScreen[None]):
    """The keys that work on the screen below, and what they do."""

    AUTO_FOCUS = ""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close"),
        Binding("enter,q,question_mark,f1", "dismiss", "Close"),
        Binding("slash", "search", "Search"),
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
            search = Input(placeholder="words to show, !word to hide · Esc shows all", id="search")
            search.cursor_blink = False
            yield search

    def on_mount(self) -> None:
        self._show("")

    def _show(self, query: str) -> None:
        """Show the rows that match the query."""
        panel = self.query_one(Panel)
        panel.show(partial(self._lines, query), "/ searches · Esc closes · ↑↓ scroll")
        panel.scroll_home(animate=False)

    @property
    def _search(self) -> Input:
        return self.query_one("#search", Input)

    def action_search(self) -> None:
        self._search.add_class("-open")
        self._search.focus()

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        self._show(event.value)

    @on(Input.Submitted)
    def _keep(self) -> None:
        """Keep the rows that are shown; the keys scroll and close again."""
        self._search.remove_class("-open")
        self.set_focus(None)

    def action_leave(self) -> None:
        """Show all keys again; close when they are shown."""
        if self._search.has_class("-open") or self._search.value:
            self._search.value = ""
            self._keep()
        else:
            self.dismiss(None)

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

    def _lines(self, query: str, width: int) -> list[Line]:
        out: list[Line] = []
        heading = ""
        for place, keys, title, text in self._rows:
            if not matches(f"{keys} {title} {text}", query):
                continue
            if place != heading:
                out += [(), (Span(place, "title"),)] if out else [(Span(place, "title"),)]
                heading = place
            words = f"{title} — {text}" if text and text != title else title
            first, *rest = wrap(words, max(width - KEY_WIDTH - 2, 20))
            out.append((*fit(Span(keys, "key"), KEY_WIDTH), Span("  "), *first))
            out += [(Span(" " * (KEY_WIDTH + 2)), *rest_line) for rest_line in rest]
        return out or [(Span(f"nothing matches “{query}”: Esc shows all", "dim"),)]
