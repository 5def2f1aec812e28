"""The screens that were visited, as in a browser."""

from __future__ import annotations

from tui.navigation import SCREENS

LIMIT = 50


class History:
    """The way to the current screen, and where each group was left."""

    def __init__(self, current: str) -> None:
        self._visited: list[str] = []
        self._current = current
        self._last_of_group: dict[str, str] = {}

    def visit(self, name: str) -> None:
        """A screen is opened. The oldest screens are forgotten."""
        if name != self._current:
            self._visited = [*self._visited, self._current][-LIMIT:]
            self._show(name)

    def back(self) -> str:
        """Return to the screen before; its name, "" when there is none."""
        if not self._visited:
            return ""
        self._show(self._visited.pop())
        return self._current

    def last_of(self, group: str) -> str:
        """The screen of the group that was visited last, else its first."""
        return self._last_of_group.get(group) or next(name for name, entry in SCREENS.items() if entry.group == group)

    def _show(self, name: str) -> None:
        self._current = name
        if name in SCREENS:
            self._last_of_group[SCREENS[name].group] = name
