"""Logging in to the inference service."""

from __future__ import annotations

from collections.abc import Sequence

from core.inference.schemas import Tokens
from core.site import Site
from tui.console_app import console_of
from tui.present.cells import wrap
from tui.screens.fields import Field, FieldForm


class LoginDialog(FieldForm[str]):
    """Gives back who is logged in now, None when the dialog was left: everything stays as it was."""

    VERB = "Log in"
    WIDE = False

    def __init__(self, site: Site, why: str = "") -> None:
        super().__init__("Log in to the inference service", site)
        self._why = why

    def lines(self) -> Sequence[Field]:
        """Name and password."""
        return Field("user", "Name"), Field("password", "Password", secret=True)

    def on_mount(self) -> None:
        """Why somebody has to."""
        super().on_mount()
        if self._why:
            self.say(lambda width: wrap(self._why, width, "warn"))

    def send(self) -> None:
        """Ask the service."""
        name, password = self.value("user"), self.secret("password")
        service = console_of(self).service
        self.attempt(lambda: service.login(name, password), self._done)

    def _done(self, tokens: Tokens) -> None:
        console = console_of(self)
        console.store.ask_now("cameras", "events", "statistics", "service")
        self.app.notify(f"logged in as {tokens.user} ({tokens.role.value})")
        self.dismiss(tokens.user)
