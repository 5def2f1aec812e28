"""The protocol of the application, as screens and widgets use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from textual.message_pump import MessagePump

from core.site import Site
from tui.store import Store

if TYPE_CHECKING:
    from core.errors import XaivaError
    from core.service_client import ConsoleSession, LoginIdentity, ServiceAddress, ServiceClient

T = TypeVar("T")


THIS_CONSOLE = " (this console)"  # stands after a user whose login counts nowhere else


class ConsoleApp(Protocol):
    """The application of `tui.app`, as its parts see it."""

    site: Site
    store: Store
    read_only: bool
    low_bandwidth: bool
    started_by_name: (
        bool  # an action was chosen by its name in the palette and is being run: it was not a letter typed unasked
    )
    preset: str  # the one last under the cursor, on whichever screen
    service_address: ServiceAddress | None  # where the service that is shown was found
    new_rows: dict[str, str]  # screen → the row that was just made for its list, until its cursor is there

    @property
    def service(self) -> ServiceClient:
        """The client of the inference service that is shown, for what is done by hand. Its calls block."""

    @property
    def session(self) -> ConsoleSession:
        """This console's login at the service that is shown. What it does with the site's login blocks."""

    @property
    def who(self) -> LoginIdentity | None:
        """Who this console is, as far as that is known already."""

    @property
    def user(self) -> str:
        """Who is logged in here, and for whom that counts; "" for nobody."""

    def login_changed(self) -> None:
        """Somebody else asks from now on."""

    def ask_service(self, work: Callable[[ServiceClient], T]) -> T:
        """What the service says, from a source's thread: it is looked for where it is now."""

    @property
    def site_name(self) -> str:
        """What the site calls itself, else its folder's name."""

    @property
    def flags(self) -> str:
        """How this console is limited, in words."""

    def background(
        self, work: Callable[[], T], done: Callable[[T], object], failed: Callable[[XaivaError], object] | None = None
    ) -> None:
        """Run blocking work in a thread of its own, then `done(result)` here. An error is shown, or told `failed`."""

    def load_then_open(
        self, work: Callable[[], T], open_box: Callable[[T], object], abandoned: Callable[[], object] | None = None
    ) -> None:
        """As `background`, for work whose result opens a box: what is typed meanwhile waits for that box."""

    def hold_keys(self, give_up: Callable[[], object] | None) -> Callable[[], None]:
        """Keys wait until what is returned is called; Escape calls `give_up` instead, or waits, too, without one."""

    def show_error(self, error: XaivaError) -> None:
        """What failed, why and what to do, until it is closed; a lost login is asked for."""

    def login_lost(self, error: XaivaError) -> None:
        """The service asks for a login: offer the dialog, once until somebody is logged in again."""

    def login_found(self) -> None:
        """The service answers whoever asks now."""

    def copy(self, text: str) -> None:
        """To the clipboard of the terminal, also over SSH."""

    async def open_operation(self, identifier: int) -> None:
        """Show one operation on its screen."""

    async def run_named(self, identifier: str) -> None:
        """Run an action of the table on its screen."""

    async def switch_mode(self, mode: str) -> object:
        """Show another screen."""


def console_of(part: MessagePump) -> ConsoleApp:
    """The application that a screen or widget belongs to."""
    return cast("ConsoleApp", part.app)
