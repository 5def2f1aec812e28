"""Logging in to the inference service: in this console, or for the site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual import on
from textual.widget import Widget

from core.inference.schemas import Tokens
from core.site import Site
from tui.console_app import console_of
from tui.present.cells import wrap
from tui.screens.fields import Field, FieldForm
from tui.widgets.button import Button
from tui.widgets.checkbox import Checkbox

LOOK = 1.0  # seconds between two looks at the site's login, which another terminal may change meanwhile


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

    def fields(self) -> Iterable[Widget]:
        """Name and password, and for whom the login is."""
        yield from super().fields()
        yield Checkbox("for this site: the command line and consoles started later", id="for_site", compact=True)

    def more_buttons(self) -> Iterable[Widget]:
        """The site's login, when that is another's."""
        yield Button("Use the site's login", id="take")

    def on_mount(self) -> None:
        """Why somebody has to."""
        super().on_mount()
        if self._why:
            self.say(lambda width: wrap(self._why, width, "warn"))
        self._offer()
        self.set_interval(LOOK, self._offer)

    def _offer(self) -> None:
        """Show the site's login while there is one that this console does not use."""
        who, button = console_of(self).who, self.query_one("#take", Button)
        button.display = bool(who and who.offered)
        if who and who.offered:
            button.label = f"Use the site's: {who.offered}"

    def send(self) -> None:
        """Ask the service."""
        name, password = self.value("user"), self.secret("password")
        console, for_site = console_of(self), self.query_one("#for_site", Checkbox).value

        def work() -> Tokens:
            tokens = console.service.login(name, password)
            if for_site:
                console.session.share()
            return tokens

        where = "for this site" if for_site else "in this console"
        self.attempt(work, lambda tokens: self._done(tokens.user, f"({tokens.role.value}) {where}"))

    @on(Button.Pressed, "#take")
    def _take(self) -> None:
        """Be who the site's login says."""
        self.attempt(console_of(self).session.use_site_login, lambda user: self._done(user, "with the site's login"))

    def _done(self, user: str, words: str) -> None:
        console_of(self).login_changed()
        self.app.notify(f"logged in as {user} {words}")
        self.dismiss(user)
