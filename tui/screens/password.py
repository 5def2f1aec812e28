"""Changing one's own password at the inference service."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from core.errors import InputError
from tui.console_app import console_of
from tui.screens.fields import Field, FieldForm


class PasswordDialog(FieldForm[bool]):
    """Gives back True when it was changed, None when the dialog was left."""

    VERB = "Change"
    WIDE = False

    def lines(self) -> Sequence[Field]:
        """The password there is, and the new one twice."""
        return (
            Field("current", "Password now", secret=True),
            Field("new", "New password", hint="at least 10 characters", secret=True),
            Field("again", "Once more", secret=True),
        )

    def send(self) -> None:
        """Ask the service; every other login of this person ends."""
        new = self.secret("new")
        if new != self.secret("again"):
            raise InputError("New password", "the two are not the same", "type it twice")
        work = partial(console_of(self).service.change_password, self.secret("current"), new)
        self.attempt(work, lambda _: self.dismiss(True))
