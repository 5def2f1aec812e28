"""The application: screens, keys, themes, the store, and the timer that updates the screen in view."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual.app import App
from textual.binding import BindingType
from textual.screen import Screen

from core.errors import XaivaError
from core.site import Site
from core.terminal_text import escape_invisible
from tui.actions import ACTION_BY_ID, Action, bindings
from tui.background_work import BackgroundWork
from tui.formatters.cells import Span
from tui.formatters.top_lines import Status, engine_span
from tui.messages import SourceChanged
from tui.navigation import SCREENS
from tui.parts import ConsoleParts
from tui.screen_navigation import ScreenNavigation
from tui.screens.base import ConsoleScreen
from tui.sources import LOW_BANDWIDTH_FACTOR, MANUAL_SECONDS, QUICK, SERVICE_SOURCES, SOURCE_TITLES
from tui.stylesheet import ConsoleStylesheet
from tui.terminal import clipboard
from tui.terminal.incremental_render import IncrementalRender
from tui.theme import CONSOLE_THEMES, TERMINAL_THEME, TERMINAL_VARIABLES, THEME_NAMES

if TYPE_CHECKING:
    from core.service_client import ConsoleSession, LoginIdentity, ServiceAddress, ServiceClient

T = TypeVar("T")
SERVICE_SECONDS = 10.0  # for a call to the inference service that a key starts
THIS_CONSOLE = " (this console)"  # follows the name of a user who is logged in only here
TALL_LINES = 36  # lines from which a toast has room for a title of its own


def screen_class(name: str) -> type[Screen[Any]]:
    """The class of a screen. It is imported when the screen is first opened, which keeps the start short."""
    module = importlib.import_module(f"tui.screens.{name}")
    return cast("type[Screen[Any]]", getattr(module, f"{name.capitalize()}Screen"))


class XaivaApp(ScreenNavigation, BackgroundWork, IncrementalRender, App[int]):
    """The console over one site."""

    TITLE = "xaiva"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[Any]] = {lambda: _action_provider()}
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("app")]
    MODES: ClassVar[dict[str, Any]] = {name: partial(lambda name: screen_class(name)(), name) for name in SCREENS}
    DEFAULT_MODE = "overview"

    def __init__(
        self,
        site: Site,
        read_only: bool = False,
        low_bandwidth: bool = False,
        *,
        start: str = "overview",
        parts: ConsoleParts = ConsoleParts(),  # noqa: B008
    ) -> None:
        self.parts = parts
        self.site = site
        self.read_only = read_only
        self.low_bandwidth = low_bandwidth
        self.started_by_name = False
        self._preset = ""
        self.new_rows: dict[str, str] = {}
        self.console_log = site.state / "console.log"
        super().__init__()
        self._first_screen = start
        self._login_offered = False
        self._who_before: LoginIdentity | None = None  # at the last check; None: not known yet
        self._settings: str | int = site.generation  # how often they were reloaded, or the error of the last reload
        self._sources = parts.sources(site)
        self._sources.on_service_found = self._service_found
        self.service_address: ServiceAddress | None = None
        table = {**self._sources.fetchers(), "settings": (site.reload, MANUAL_SECONDS)}
        self.store = parts.store(table, self._source_changed, QUICK, SOURCE_TITLES)
        for theme in CONSOLE_THEMES:
            self.register_theme(theme)
        self.theme = TERMINAL_THEME if low_bandwidth else CONSOLE_THEMES[0].name
        self.stylesheet = ConsoleStylesheet(variables=self.get_css_variables())
        self.animation_level = "none"

    # -- life ----------------------------------------------------------------------------------------------------------

    async def on_mount(self) -> None:
        if self._first_screen != self.DEFAULT_MODE:
            await self.switch_mode(self._first_screen)
        self._start_ticking()

    def on_unmount(self) -> None:
        """Stop asking the sources."""
        self.store.close()
        self._sources.close()

    def _start_ticking(self) -> None:
        slower = LOW_BANDWIDTH_FACTOR if self.low_bandwidth else 1
        self.store.slow_down(slower)
        self._ticker = self.set_interval(self.parts.tick * slower, self.tick, name="tick")

    def post_display_hook(self) -> None:
        """Tell the store that a frame was drawn."""
        if isinstance(self.screen, ConsoleScreen) and self.screen.is_mounted:
            self.store.first_frame_drawn()

    def tick(self) -> None:
        """Update the screen in view. Dialogs are not updated, nor screens without widgets (starting or ending)."""
        if not (self.is_running and self.screen_stack):
            return
        self._check_settings()
        self._check_login()
        if isinstance(self.screen, ConsoleScreen) and self.screen.is_mounted:
            self.screen.update_now()

    def _source_changed(self, name: str) -> None:
        self.post_message(SourceChanged(name))

    def on_source_changed(self, message: SourceChanged) -> None:
        """Update at once when a source of the screen in view has news."""
        if self.screen_stack and message.name in getattr(self.screen, "SOURCES", ()):
            self.tick()

    def _check_settings(self) -> None:
        """Notify once that the settings were reloaded, or that they are broken."""
        reading = self.store.reading("settings")
        state = reading.error.summary if reading.error else reading.value or self._settings
        if state == self._settings:
            return
        self._settings = state
        if reading.error is not None:
            words = f"{reading.error}\nThe previous settings stay in force."
            self.notify(words, title="Settings", severity="error", timeout=15)
        else:
            self.notify("site.toml and .env were read again", title="Settings")
            self.store.ask_now(*self._sources.fetchers())

    def _check_login(self) -> None:
        """Notify when the site's login changes. This console keeps its own login until the user changes it."""
        who = self.who
        before, self._who_before = self._who_before, who or self._who_before
        if who is not None and who.role is not (before.role if before else None):
            self.screen.refresh_bindings()  # the keys of the role
        if who is None or before is None or before.site_user == who.site_user or who.site_user == who.user:
            return
        ended = f"The site's login ({before.site_user}) has ended"
        words = f"The site's login is {who.site_user} now" if who.site_user else ended
        stays = f"This console stays {who.user}" if who.user else "Nobody is logged in to this console"
        offer = f"; F4 offers {who.site_user}." if who.offered else "."
        if before.shared and not who.site_user:
            stays, offer = "This console used it too: F4 logs in again", "."
        self.notify(f"{words}. {stays}{offer}", title="Login", timeout=15)

    # -- what screens use ----------------------------------------------------------------------------------------------

    @property
    def service(self) -> ServiceClient:
        """The client of the current inference service, for actions of the user. Its calls block."""
        return self.parts.service or self._sources.services.current(SERVICE_SECONDS)

    @property
    def session(self) -> ConsoleSession:
        """This console's login at the current service. Operations on the site's login block."""
        return self._sources.services.session

    @property
    def who(self) -> LoginIdentity | None:
        """Who is logged in to this console; None while that is not known."""
        who: LoginIdentity | None = self.store.reading("login").value
        return who

    def allows(self, action: Action) -> bool:
        """Whether this console offers the action: by `--read-only`, and by the role of its user."""
        if action.changes and self.read_only:
            return False
        role = self.who.role if action.role and self.who else None
        if role is None:
            return True
        from core.api_schema import Role

        return role.rank >= Role(action.role).rank

    @property
    def preset(self) -> str:
        """The preset that was last under the cursor, on any screen."""
        return self._preset

    @preset.setter
    def preset(self, name: str) -> None:
        self._preset = self._sources.preset = name

    def _service_found(self, address: ServiceAddress) -> None:
        self.service_address = address

    def ask_service(self, work: Callable[[ServiceClient], T]) -> T:
        """Ask the service, from a source's thread. The service is located first."""
        return self._sources.ask_service(work)

    @property
    def site_name(self) -> str:
        """The site's name from its settings, else the name of its folder."""
        return self.site.settings.name or self.site.root.name

    @property
    def flags(self) -> str:
        """What is special about this console, in words: demo, read-only, low bandwidth."""
        words = [
            ("demo", self.site.settings.demo),
            ("read-only", self.read_only),
            ("low bandwidth", self.low_bandwidth),
        ]
        return " · ".join(word for word, on in words if on)

    @property
    def status(self) -> Status:
        """What the first line of every screen shows."""
        user = Span(self.user or "no login", "" if self.user else "dim") if self.who else Span("login …", "dim")
        return Status(
            self.site_name, self.parts.host(), engine_span(self.store.reading("engine_identity")), user, self.flags
        )

    @property
    def user(self) -> str:
        """The user's name, marked when only this console uses the login; "" for nobody."""
        who = self.who
        if who is None or not who.user:
            return ""
        return who.user if who.shared else who.user + THIS_CONSOLE

    def show_error(self, error: XaivaError) -> None:
        """Show an error until it is closed. For a lost login, open the login dialog instead."""
        from core.service_client import NotLoggedIn
        from tui.screens.login import LoginDialog
        from tui.screens.text_dialog import TextDialog

        if isinstance(error, NotLoggedIn) and not isinstance(self.screen, LoginDialog):
            self.push_screen(LoginDialog(self.site, error.why))
            return

        self.push_screen(TextDialog.of_error(error))

    def login_lost(self, error: XaivaError) -> None:
        """Open the login dialog, once until somebody is logged in again."""
        if not self._login_offered:
            self._login_offered = True
            self.show_error(error)

    def login_found(self) -> None:
        """Note that the service accepts the current login."""
        self._login_offered = False

    def notify(self, message: str, *, title: str = "", **how: Any) -> None:
        """Show a toast. On short terminals its title becomes part of the text; a form leaves it only the last line.

        The text is never markup: the name of a file or camera may contain brackets.
        """
        if title and self.size.height < TALL_LINES:
            message, title = f"{title}: {message}", ""
        super().notify(escape_invisible(message, keep="\n"), title=escape_invisible(title), **{**how, "markup": False})

    def copy(self, text: str) -> None:
        """Copy to the clipboard of the user's terminal, also over SSH."""
        if not text:
            self.notify("There is nothing to copy here")
            return
        self.background(lambda: clipboard.copy(self, text, self.site.state / "clips"), self.notify)

    def on_log_panel_copied(self, message: Any) -> None:
        """Copy the text of a log panel."""
        self.copy(message.text)

    # -- actions -------------------------------------------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Quit. If any screen has unsaved input, ask first."""
        from tui.screens.confirm import Confirm

        stacks = getattr(self, "_screen_stacks", {"": self.screen_stack})
        if not any(getattr(screen, "unsaved", False) for stack in stacks.values() for screen in stack):
            self.exit()
        elif not isinstance(self.screen, Confirm):
            question = Confirm("Leave without saving?", "What you typed will be lost.", "Leave")
            self.push_screen(question, lambda yes: self.exit() if yes else None)

    def action_help_quit(self) -> None:
        """Ctrl+C, which ends other programs, says how to leave this one; Textual's own text has markup."""
        self.notify("Ctrl+Q closes the console; operations continue")

    def action_next_theme(self) -> None:
        index = THEME_NAMES.index(self.theme) if self.theme in THEME_NAMES else -1
        self.theme = THEME_NAMES[(index + 1) % len(THEME_NAMES)]
        self.notify(self.theme, title="Theme", timeout=2)

    def action_bandwidth(self) -> None:
        """Switch low bandwidth on or off."""
        self.low_bandwidth = not self.low_bandwidth
        self._ticker.stop()
        self._start_ticking()
        self.theme = TERMINAL_THEME if self.low_bandwidth else CONSOLE_THEMES[0].name

    def action_choose_service(self) -> None:
        from core.containers.service_discovery import running_services
        from tui.screens.pick import Pick

        def offer(names: list[str]) -> None:
            if not names:
                self.notify("No container runs an inference service: launch a preset (2, then L)")
                return
            current = self.service_address.container if self.service_address else ""
            self.push_screen(Pick("Which inference service", names, current), chosen)

        def chosen(name: str | None) -> None:
            if name:
                self._sources.services.choose(name, "F8")
                self.store.ask_now(*SERVICE_SOURCES)

        self.load_then_open(partial(running_services, self.site, self.preset), offer)

    def action_login(self) -> None:
        """Open the login dialog."""
        from tui.screens.login import LoginDialog

        self.push_screen(LoginDialog(self.site))

    def action_password(self) -> None:
        """Change the password of the current user."""
        from tui.screens.password import PasswordDialog

        def ask(name: str) -> None:
            if not name:
                self.notify("Nobody is logged in here: F4 logs in")
                return
            words = f"{name}: the password was changed. All other logins of {name} have ended"
            dialog = PasswordDialog(f"Change the password of {name}", self.site)
            self.push_screen(dialog, lambda changed: self.notify(words) if changed else None)

        self.load_then_open(self.service.logged_in, ask)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hide actions that this console does not allow."""
        named = ACTION_BY_ID.get(f"app.{action}")
        return (named is None or self.allows(named)) and super().check_action(action, parameters)

    def action_logout(self) -> None:
        """End this console's login. The service's token is used again, if the site has one."""

        def done(before: LoginIdentity) -> None:
            words = f"{before.user} is logged out of this console" if before.user else "Nobody was logged in here"
            site = before.site_user
            stays = f". The site's login is still {site}; `xaiva logout` ends it" if site else ""
            self.notify(words + stays)
            self.login_changed()

        self.background(self._logout, done)

    def _logout(self) -> LoginIdentity:
        before = self.session.identity()
        self.service.logout()
        return before

    def login_changed(self) -> None:
        """Ask again everything that depends on the login."""
        self.store.ask_now("login", *SERVICE_SOURCES)

    def action_help(self) -> None:
        from tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.screen))

    async def run_named(self, identifier: str) -> None:
        """Run an action of the command palette, on the screen it belongs to."""
        action = ACTION_BY_ID[identifier]
        if action.screen == "app":
            await self.run_action(f"app.{action.method}")
            return
        if action.screen in SCREENS:
            await self.switch_mode(action.screen)
        self.started_by_name = True
        try:
            await self.screen.run_action(f"screen.{action.method}")
        finally:
            self.started_by_name = False

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """The console's own variables, for Textual's themes."""
        return TERMINAL_VARIABLES


def _action_provider() -> Any:
    from tui.commands import ActionProvider

    return ActionProvider
