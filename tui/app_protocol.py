"""The protocol of the application, as screens and widgets use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from textual.message_pump import MessagePump

from core.site import Site
from tui.parts import ConsoleParts
from tui.store import Store

if TYPE_CHECKING:
    from core.errors import XaivaError
    from core.service_client import ConsoleSession, LoginIdentity, ServiceAddress, ServiceClient
    from tui.actions import Action
    from tui.formatters.top_lines import Status

T = TypeVar("T")


class ConsoleApp(Protocol):
    """The application of `tui.app`, as screens and widgets see it."""

    site: Site
    store: Store
    parts: ConsoleParts
    read_only: bool
    low_bandwidth: bool
    started_by_name: bool  # an action chosen in the palette is running, so it was not a key pressed by accident
    preset: str  # the preset last selected on any screen
    service_address: ServiceAddress | None  # where the current service was found
    new_rows: dict[str, str]  # screen → a new row that its cursor should move to

    @property
    def service(self) -> ServiceClient:
        """The client of the current inference service, for actions. Its calls block."""

    @property
    def session(self) -> ConsoleSession:
        """This console's login at the current service. Its calls that use the site's login block."""

    @property
    def who(self) -> LoginIdentity | None:
        """Who this console is logged in as, None while that is unknown."""

    def allows(self, action: Action) -> bool:
        """Whether this console offers the action: by `--read-only`, and by the role of its user."""

    @property
    def status(self) -> Status:
        """What the first line of every screen shows."""

    def login_changed(self) -> None:
        """The login changed: ask the service's sources again."""

    def ask_service(self, work: Callable[[ServiceClient], T]) -> T:
        """Run `work` with a client of the service, in a source's thread."""

    def background(
        self, work: Callable[[], T], done: Callable[[T], object], failed: Callable[[XaivaError], object] | None = None
    ) -> None:
        """Run blocking work in a thread, then `done(result)` here. An error is shown, or passed to `failed`."""

    def load_then_open(
        self, work: Callable[[], T], open_box: Callable[[T], object], abandoned: Callable[[], object] | None = None
    ) -> None:
        """As `background`, for work whose result opens a dialog; keys typed meanwhile wait for that dialog."""

    def hold_keys(self, give_up: Callable[[], object] | None) -> Callable[[], None]:
        """Hold keys until the returned function is called. Escape calls `give_up`; without one it waits too."""

    def show_error(self, error: XaivaError) -> None:
        """Show an error in a dialog; when the login was lost, ask for it."""

    def login_lost(self, error: XaivaError) -> None:
        """The service requires a login: open the login dialog, once until somebody has logged in."""

    def login_found(self) -> None:
        """The service answers the current user."""

    def copy(self, text: str) -> None:
        """Copy to the terminal's clipboard, also over SSH."""

    async def open_row(self, screen: str, key: str) -> None:
        """Show one row of a list on its screen."""

    async def go_back(self) -> None:
        """Return to the screen that one came from, if there is one."""

    async def run_named(self, identifier: str) -> None:
        """Run an action of the table on its screen."""

    async def switch_mode(self, mode: str) -> object:
        """Show the screen with that name."""


def console_of(part: MessagePump) -> ConsoleApp:
    """The application that a screen or widget belongs to."""
    return cast("ConsoleApp", part.app)
