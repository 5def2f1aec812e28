"""A menu whose rows are chosen by a letter, by the arrows and Enter, or by a click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget

from tui.formatters.cells import Span, fit, truncate
from tui.widgets.role_styles import RoleStyled

GAP = 2  # columns between two groups
FRAME_COLUMNS = 4  # of the border and the padding of a dialog
LABEL_COLUMNS = 6  # what a border draws beside its label
HINT = "a letter chooses · Esc closes"


@dataclass(frozen=True)
class MenuItem:
    id: str
    letter: str
    title: str
    help: str = ""
    key: str = ""
    """Another key that chooses it, which also works outside of the menu."""


@dataclass(frozen=True)
class MenuGroup:
    title: str
    items: Sequence[MenuItem]


@dataclass(frozen=True)
class _Place:
    """Where an item or, without one, the title of a group stands."""

    x: int
    y: int
    title: str
    item: MenuItem | None = None


class LetterGrid(RoleStyled, Widget, can_focus=True):
    """The groups beside each other as far as they fit; below them the help of the item under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "Down", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("right", "move_group(1)", "Right", show=False),
        Binding("left", "move_group(-1)", "Left", show=False),
        Binding("enter", "choose", "Choose", show=False),
    ]

    class Chosen(Message):
        """Somebody chose an item."""

        def __init__(self, identifier: str) -> None:
            super().__init__()
            self.identifier = identifier

    def __init__(self, groups: Sequence[MenuGroup], current: str) -> None:
        super().__init__()
        self._groups = groups
        self._items = [item for group in groups for item in group.items]
        self._current = current
        self._cursor = next((index for index, item in enumerate(self._items) if item.id == current), 0)

    # -- drawing -------------------------------------------------------------------------------------------------------

    @property
    def full_width(self) -> int:
        """The columns that all groups take beside each other, and the help below them."""
        helps = max(len(item.help) for item in self._items)
        return max(len(self._groups) * (self._column + GAP) - GAP, helps)

    @property
    def _column(self) -> int:
        """The width of a group: letter, title and key."""
        return 4 + max(len(item.title) for item in self._items) + self._key_columns

    @property
    def _key_columns(self) -> int:
        return 2 if any(item.key for item in self._items) else 0

    def _places(self, width: int) -> list[_Place]:
        beside = max((width + GAP) // (self._column + GAP), 1)
        out: list[_Place] = []
        y = 0
        for first in range(0, len(self._groups), beside):
            row = self._groups[first : first + beside]
            for number, group in enumerate(row):
                x = number * (self._column + GAP)
                out.append(_Place(x, y, group.title))
                out += [_Place(x, y + 1 + index, item.title, item) for index, item in enumerate(group.items)]
            y += 2 + max(len(group.items) for group in row)
        return out

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002
        return max(place.y for place in self._places(width)) + 3  # a blank line and the help

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == self.size.height - 1:
            return self.role_strip((Span(truncate(self._items[self._cursor].help, width), "dim"),), width)
        line: list[Span] = []
        used = 0
        for place in sorted((place for place in self._places(width) if place.y == y), key=lambda place: place.x):
            line += [Span(" " * (place.x - used)), *self._cell(place)]
            used = place.x + self._column
        return self.role_strip(tuple(line), width)

    def _cell(self, place: _Place) -> tuple[Span, ...]:
        item = place.item
        if item is None:
            return fit(Span(place.title, "dim"), self._column)
        role = "cursor" if item is self._items[self._cursor] else "title" if item.id == self._current else ""
        title = fit(Span(f" {item.title}", role), self._column - 2 - self._key_columns)
        return Span(item.letter, "key"), Span(" "), *title, Span(item.key.rjust(self._key_columns), "dim")

    # -- choosing ------------------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """A letter or another key of an item chooses it."""
        for item in self._items:
            if event.character and event.character in (item.letter, item.key):
                event.stop()
                self.post_message(self.Chosen(item.id))

    def action_move(self, step: int) -> None:
        self._cursor = (self._cursor + step) % len(self._items)
        self.refresh()

    def action_move_group(self, step: int) -> None:
        """To the same row of the group beside."""
        groups = [list(group.items) for group in self._groups]
        item = self._items[self._cursor]
        at = next(index for index, items in enumerate(groups) if item in items)
        beside = groups[(at + step) % len(groups)]
        self._cursor = self._items.index(beside[min(groups[at].index(item), len(beside) - 1)])
        self.refresh()

    def action_choose(self) -> None:
        self.post_message(self.Chosen(self._items[self._cursor].id))

    def on_click(self, event: events.Click) -> None:
        """A click on an item chooses it."""
        for place in self._places(self.size.width):
            if place.item and event.y == place.y and place.x <= event.x < place.x + self._column:
                self.post_message(self.Chosen(place.item.id))


class LetterMenu(ModalScreen[str]):
    """Returns the id of the chosen item, None when the menu was closed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Close")]

    def __init__(self, title: str, groups: Sequence[MenuGroup], current: str = "") -> None:
        super().__init__()
        self._title = title
        self._groups = groups
        self._current = current

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog letter-menu") as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = HINT
            grid = LetterGrid(self._groups, self._current)
            dialog.styles.width = max(grid.full_width + FRAME_COLUMNS, len(HINT) + LABEL_COLUMNS)
            yield grid

    def on_mount(self) -> None:
        self.query_one(LetterGrid).focus()

    @on(LetterGrid.Chosen)
    def _chosen(self, message: LetterGrid.Chosen) -> None:
        self.dismiss(message.identifier)

    def action_leave(self) -> None:
        self.dismiss(None)
