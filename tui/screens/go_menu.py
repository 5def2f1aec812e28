"""All screens by group, each with the letter that opens it."""

from __future__ import annotations

from tui.navigation import groups_with_screens
from tui.screens.letter_menu import LetterMenu, MenuGroup, MenuItem


class GoMenu(LetterMenu):
    """Returns the name of a screen, None when the menu was closed."""

    def __init__(self, current: str) -> None:
        groups = [
            MenuGroup(
                group, [MenuItem(entry.name, entry.letter, entry.title, entry.help, entry.key) for entry in entries]
            )
            for group, entries in groups_with_screens()
        ]
        super().__init__("Go to", groups, current)
