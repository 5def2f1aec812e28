"""`ScreenNavigation`: an application mix-in that opens screens and remembers where one came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.widget import AwaitMount

from tui.history import History
from tui.screens.base import ListScreen

if TYPE_CHECKING:
    from textual.app import App

    _Base = App[Any]
else:
    _Base = object


class ScreenNavigation(_Base):
    """`class XaivaApp(ScreenNavigation, App[int])`. Dialogs and editors stay with the screen they were opened on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._history = History(self.DEFAULT_MODE)
        super().__init__(*args, **kwargs)

    def switch_mode(self, mode: str) -> AwaitMount:
        """Open a screen, and remember the one before it."""
        self._history.visit(mode)
        return super().switch_mode(mode)

    async def go_back(self) -> None:
        """Return to the screen that one came from, if there is one."""
        if before := self._history.back():
            await super().switch_mode(before)

    async def action_go(self, name: str) -> None:
        """Open a screen. Dialogs and editors stay with the screen they were opened on."""
        await self.switch_mode(name)

    async def action_go_group(self, group: str) -> None:
        """Open the screen of a group that was open last."""
        await self.switch_mode(self._history.last_of(group))

    def action_go_menu(self) -> None:
        """List all screens with their letters."""
        from tui.screens.go_menu import GoMenu

        async def chosen(name: str | None) -> None:
            if name:
                await self.switch_mode(name)

        self.push_screen(GoMenu(self.current_mode), chosen)

    async def action_previous(self) -> None:
        await self.go_back()

    async def open_row(self, screen: str, key: str) -> None:
        """Show one row of a list on its screen."""
        await self.switch_mode(screen)
        list_screen = self.screen_stack[0]  # a dialog may be open over it
        if isinstance(list_screen, ListScreen) and key:
            list_screen.show_row(key)
