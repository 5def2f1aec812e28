"""Goes from the row under the cursor to one of its relatives."""

from __future__ import annotations

from typing import Any

from tui.relatives import RELATIVES, NoRelative, Relative
from tui.screens.base import ListScreen
from tui.screens.letter_menu import LetterMenu, MenuGroup, MenuItem

SEARCH_SECONDS = 6.0  # how long a relative is searched for


def choose_relative(screen: ListScreen) -> None:
    """Let the user choose a relative; the only one is opened at once."""
    relatives = {relative.letter: relative for relative in RELATIVES[screen.NAME]}
    items = [MenuItem(letter, letter, relative.title) for letter, relative in relatives.items()]

    def chosen(letter: str | None) -> None:
        if letter:
            open_relative(screen, relatives[letter])

    if len(items) == 1:
        chosen(items[0].letter)
    else:
        screen.app.push_screen(LetterMenu("Go to", [MenuGroup("", items)]), chosen)


def open_relative(screen: ListScreen, relative: Relative) -> None:
    """Find the relative in its source, then show it on its screen; else say why there is none."""
    row, console = screen.selected(), screen.console
    if row is None:
        screen.notify("nothing is selected")
        return

    def find() -> str | NoRelative:
        try:
            return relative.find(console, row, _value_for(screen, relative))
        except NoRelative as missing:
            return missing

    def found(key: str | NoRelative) -> None:
        if isinstance(key, NoRelative):
            screen.notify(str(key))
            screen.watch_sources()
        else:
            screen.app.call_next(console.open_row, relative.screen, key)

    if relative.source:
        screen.watch_sources(relative.source)
    console.load_then_open(find, found)


def _value_for(screen: ListScreen, relative: Relative) -> Any:
    """What the relative is searched in. Waits for it. Raises NoRelative when it is not known."""
    if not relative.source:
        return None
    reading = screen.console.store.answer(relative.source, SEARCH_SECONDS)
    if reading.value is None or reading.is_stale:
        raise NoRelative(f"{relative.title.capitalize()}: not known. {reading.problem.summary}")
    return reading.value
