"""Asks for a folder that is to be a medium, or for a folder of another machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from core.errors import InputError
from core.site import Site
from tui.screens.field_form import Field, FieldForm


class NameMedium(FieldForm[str]):
    """Returns the absolute path, or `ssh://…` as it was typed; None when the dialog was cancelled."""

    VERB = "Show"

    def __init__(self, site: Site) -> None:
        super().__init__("Medium", site)

    def fields(self) -> Sequence[Field]:
        """The path."""
        return (Field("path", "Folder", hint="where a stick is mounted, a folder, or ssh://user@host/path"),)

    def send(self) -> None:
        """Nothing is looked at here: the list shows what is wrong with it."""
        text = self.value("path")
        if not text:
            raise InputError("Folder", "it is empty", "enter a path, or ssh://user@host/path")
        if "://" in text:
            self.dismiss(text)
            return
        try:
            path = Path(text).expanduser()
        except RuntimeError:
            raise InputError(text, "there is no such user on this machine", "enter another path") from None
        self.dismiss(os.path.abspath(self.site.root / path))
