"""The dialog before `up`: its plan for the chosen options, and what would stop it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from textual.widget import Widget

from core.site import Site
from tui.app_protocol import console_of
from tui.formatters.cells import Span, line
from tui.screens.form import Form
from tui.widgets.checkbox import Checkbox
from tui.widgets.panel import Formatter


class Up(Form[Mapping[str, bool]]):
    """Returns the chosen options at Enter, None when the dialog was cancelled. Enter does not wait for the plan."""

    VERB = "Up"
    WIDE = True

    def __init__(self, site: Site, name: str) -> None:
        super().__init__(f"Up {name}", site)
        self._preset_name = name
        self._newest: object = None  # plans for earlier options are dropped

    def compose_fields(self) -> Iterable[Widget]:
        yield Checkbox("replace the preset's container", id="replace", compact=True)
        yield Checkbox("create missing folders", True, id="create_folders", compact=True)

    def on_mount(self) -> None:
        """Load the plan in a thread."""
        self.query_one("#submit").focus()  # Enter starts; it must not toggle "replace"
        self._load_plan()

    def on_checkbox_changed(self) -> None:
        self._load_plan()

    def _options(self) -> dict[str, bool]:
        return {str(box.id): box.value for box in self.query(Checkbox)}

    def _load_plan(self) -> None:
        look = console_of(self).parts.preview("up")
        assert look is not None
        self.show_message(lambda _: [line(Span("looking at what is done already…", "dim"))])
        self._newest = work = partial(look, self.site, self._preset_name, self._options())

        def show(formatter: Formatter) -> None:
            if self._newest is work:
                self.show_message(formatter)

        self.background(work, show)

    def submit(self) -> None:
        self.dismiss(self._options())
