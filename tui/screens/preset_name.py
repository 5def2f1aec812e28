"""Asks for a preset's name."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Input

from core.errors import InputError
from core.presets.store import preset_path
from core.site import Site
from tui.formatters.cells import wrap
from tui.screens.form import Form, labelled_input


class AskName(Form[str]):
    """Gives back a name that a preset can have, None when the dialog was left."""

    def __init__(self, title: str, site: Site, value: str = "") -> None:
        super().__init__(title, site)
        self._value = value

    def compose_fields(self) -> Iterable[Widget]:
        """The name."""
        yield from labelled_input("Name", "name", self._value, "cpu-debian12")

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one("#name", Input).focus()

    def submit(self) -> None:
        """Refuse what an image could not carry."""
        name = self.value("name")
        try:
            preset_path(self.site, name)
        except InputError as error:
            text = f"{error.why}: {error.remedy}"
            self.show_message(lambda width: wrap(text, width, "error"))
        else:
            self.dismiss(name)


class AskNewPreset(AskName):
    """The name of a new preset, and in `source` the requirement file that it is made of."""

    source = ""

    def compose_fields(self) -> Iterable[Widget]:
        """The name and the file."""
        yield from super().compose_fields()
        yield from labelled_input(
            "From a requirement file", "source", hint="requirements.txt; empty: a small one to edit"
        )

    def submit(self) -> None:
        """Keep the file's path."""
        self.source = self.value("source")
        super().submit()
