"""Asks for a preset's name."""

from __future__ import annotations

from collections.abc import Sequence

from core.presets.store import preset_path
from core.site import Site
from tui.screens.field_form import Field, FieldForm


class AskName(FieldForm[str]):
    """Returns a valid preset name, None when the dialog was cancelled."""

    WIDE = False

    def __init__(self, title: str, site: Site, value: str = "") -> None:
        super().__init__(title, site)
        self._value = value

    def fields(self) -> Sequence[Field]:
        return (Field("name", "Name", self._value, "cpu-debian12"),)

    def send(self) -> None:
        """Refuse a name that an image could not have."""
        name = self.value("name")
        preset_path(self.site, name)
        self.dismiss(name)


class AskNewPreset(AskName):
    """Returns the name of a new preset; `source` is the requirements file it is made from, "" for none."""

    source = ""

    def fields(self) -> Sequence[Field]:
        return (*super().fields(), Field("source", "Requirements file", hint="empty: a minimal preset"))

    def send(self) -> None:
        self.source = self.value("source")
        super().send()
