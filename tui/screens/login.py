"""Logging in to the inference service: in this console, or for the site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual import on
from textual.widget import Widget

from core.api_schema import Tokens
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters.cells import wrap
from tui.screens.field_form import Field, FieldForm
from tui.widgets.button import Button
from tui.widgets.checkbox import Checkbox

SITE_LOGIN_SECONDS = 1.0  # seconds between two reads of the site's login, which another terminal may change


class LoginDialog(FieldForm[str]):
    """Returns who is logged in now, None when the dialog was cancelled and nothing changed."""

    VERB = "Log in"
    WIDE = False

    def __init__(self, site: Site, reason: str = "") -> None:
        super().__init__("Log in to the inference service", site)
        self._reason = reason

    def fields(self) -> Sequence[Field]:
        return Field("user", "User name"), Field("password", "Password", secret=True)

    def compose_fields(self) -> Iterable[Widget]:
        yield from super().compose_fields()
        yield Checkbox("for this site: command line and new consoles", id="for_site", compact=True)

    def extra_buttons(self) -> Iterable[Widget]:
        """Take over the site's login, when it is not this console's."""
        yield Button("Use the site's login", id="take")

    def on_mount(self) -> None:
        super().on_mount()
        if self._reason:
            self.show_message(lambda width: wrap(self._reason, width, "warn"))
        self._show_site_login()
        self.set_interval(SITE_LOGIN_SECONDS, self._show_site_login)

    def _show_site_login(self) -> None:
        """Show the button while the site has a login that this console does not use."""
        session, button = console_of(self).who, self.query_one("#take", Button)
        button.display = bool(session and session.offered)
        if session and session.offered:
            button.label = f"Use the site's: {session.offered}"

    def send(self) -> None:
        name, password = self.value("user"), self.exact_text("password")
        console, for_site = console_of(self), self.query_one("#for_site", Checkbox).value

        def work() -> Tokens:
            tokens = console.service.login(name, password)
            if for_site:
                console.session.share()
            return tokens

        scope = "for this site" if for_site else "in this console"
        self.run_once(work, lambda tokens: self._done(tokens.user, f"({tokens.role.value}) {scope}"))

    @on(Button.Pressed, "#take")
    def _use_site_login(self) -> None:
        self.run_once(console_of(self).session.use_site_login, lambda user: self._done(user, "with the site's login"))

    def _done(self, user: str, words: str) -> None:
        console_of(self).login_changed()
        self.app.notify(f"logged in as {user} {words}")
        self.dismiss(user)
