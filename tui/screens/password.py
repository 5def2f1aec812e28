"""Changing one's own password at the inference service."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.errors import InputError
from tui.app_protocol import console_of
from tui.screens.field_form import Field, FieldForm


class PasswordDialog(FieldForm[bool]):
    """Returns True when the password was changed, None when the dialog was cancelled."""

    VERB = "Change"
    WIDE = False

    def fields(self) -> Sequence[Field]:
        return (
            Field("current", "Current password", secret=True),
            Field("new", "New password", hint="at least 10 characters", secret=True),
            Field("again", "Repeat new password", secret=True),
        )

    def send(self) -> None:
        """Change the password; the service ends the user's other logins."""
        new = self.exact_text("new")
        if new != self.exact_text("again"):
            raise InputError("New password", "the two passwords differ", "enter the same password twice")
        work = partial(console_of(self).service.change_password, self.exact_text("current"), new)
        self.run_once(work, lambda _: self.dismiss(True))
