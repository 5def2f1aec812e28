"""The base of screens with a list whose rows have a container: they follow the log of the one under the cursor."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from core.containers.model import Container
from tui.screens.base import ListScreen
from tui.widgets.log_panel import LogPanel

if TYPE_CHECKING:
    from tui.container_log import ContainerLog


class ContainerLogScreen(ListScreen):
    """Reads the log only while the screen is in view."""

    LOG = "Log"
    LOG_STAMPS = False  # most programs write times of their own

    def __init__(self) -> None:
        super().__init__()
        self._log: ContainerLog | None = None
        self._logged = ""  # the name of its container

    @abstractmethod
    def logged_container(self) -> Container | None:
        """The container of the row under the cursor, None without one."""

    def feed(self) -> None:
        """Also follow the log of a container that is new, and again when one that had ended runs again."""
        super().feed()
        container, stale = self.logged_container(), self.stale_reading()
        if stale is None:
            has_ended = self._log is not None and self._log.ended
            runs_again = has_ended and container is not None and container.running
            if runs_again or self._logged != _name(container):
                self._follow_log()
        self.query_one("#log", LogPanel).border_subtitle = stale.unknown_text if stale else ""

    def row_changed(self) -> None:
        self._follow_log()

    def _follow_log(self) -> None:
        """Follow the log of the container under the cursor; the reader of the previous one ends."""
        if self._log is not None:
            self._log.close()
        self._logged = name = _name(self.logged_container())
        self._log = self.console.parts.container_log(self.site, name) if name else None
        panel = self.query_one("#log", LogPanel)
        panel.show(self._log.lines if self._log else None, f"Log of {name}" if name else "Log")

    def on_screen_suspend(self) -> None:
        """Stop reading the log while the screen is out of view."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self.logged_container() is not None:
            self._follow_log()

    def action_logs(self) -> None:
        self.focus_panel(self.query_one("#log"))


def _name(container: Container | None) -> str:
    return "" if container is None else container.name
