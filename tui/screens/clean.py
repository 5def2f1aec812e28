"""The dialog before a clean-up: what would go and why, and what stays."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.errors import XaivaError
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters import previews
from tui.formatters.cells import Span, line
from tui.screens.form import Form

if TYPE_CHECKING:
    from core.clean.model import CleanPlan


class Clean(Form[list[str]]):
    """Returns the ids of the items that were shown; None when the dialog was cancelled, or nothing can go."""

    VERB = "Remove"
    WIDE = True

    def __init__(self, site: Site) -> None:
        super().__init__("Clean up", site)
        self._plan: CleanPlan | None = None

    def on_mount(self) -> None:
        """Make the plan in a thread."""
        self.query_one("#submit").focus()
        self.query_one(".dialog").border_subtitle = "Enter removes what is listed · Esc cancels"
        self.show_message(lambda _: [line(Span("looking at what can go…", "dim"))])
        look = partial(console_of(self).parts.clean_plan, self.site)
        console_of(self).background(look, self._show_plan, self._show_obstacle)

    def _show_plan(self, plan: CleanPlan) -> None:
        if self.is_attached:
            self._plan = plan
            self.show_message(partial(previews.clean_preview, plan))

    def _show_obstacle(self, error: XaivaError) -> None:
        if self.is_attached:
            self.show_error(error)

    def submit(self) -> None:
        """Only what was shown is removed, so Enter does nothing before the plan is there."""
        if self._plan is not None:
            self.dismiss([item.id for item in self._plan.items] or None)
