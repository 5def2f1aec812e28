"""What screens and widgets use of the application, so that they need not know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, cast

from textual.message_pump import MessagePump

from core.site import Site
from tui.store import Store

T = TypeVar("T")


class ConsoleApp(Protocol):
    """The application of `tui.app`, as its parts see it."""

    site: Site
    store: Store
    read_only: bool
    low_bandwidth: bool

    @property
    def site_name(self) -> str:
        """What the site calls itself, else its folder's name."""

    @property
    def flags(self) -> str:
        """How this console is limited, in words."""

    def background(self, work: Callable[[], T], done: Callable[[T], object]) -> None:
        """Run blocking work in a thread of its own, then `done(result)` here. An error is shown and ends nothing."""

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
