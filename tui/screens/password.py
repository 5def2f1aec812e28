"""Changing one's own password at the inference service."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.errors import InputError
from tui.app_protocol import console_of
from tui.screens.field_form import Field, FieldForm


class PasswordDialog(FieldForm[bool]):
    """Gives back True when it was changed, None when the dialog was left."""

    VERB = "Change"
    WIDE = False

    def fields(self) -> Sequence[Field]:
        """The password there is, and the new one twice."""
        return (
            Field("current", "Password now", secret=True),
            Field("new", "New password", hint="at least 10 characters", secret=True),
            Field("again", "Once more", secret=True),
        )

    def send(self) -> None:
        """Ask the service; every other login of this person ends."""
        new = self.exact_text("new")
        if new != self.exact_text("again"):
            raise InputError("New password", "the two are not the same", "type it twice")
        work = partial(console_of(self).service.change_password, self.exact_text("current"), new)
        self.run_once(work, lambda _: self.dismiss(True))
