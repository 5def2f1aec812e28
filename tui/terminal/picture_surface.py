"""Draws pictures over the cells of the frame, in order with the frames, no faster than the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.geometry import Region

from tui.terminal.capabilities import TerminalCapabilities
from tui.terminal.driver import ConsoleDriver

if TYPE_CHECKING:
    from tui.terminal.incremental_render import IncrementalRender


@dataclass(frozen=True)
class Graphics:
    """`kind` is kitty, sixel or blocks; `cell` is a cell's size in pixels, when the terminal reported it."""

    kind: str = "blocks"
    cell: tuple[int, int] | None = None


class PictureSurface:
    """The surface without the console's driver, as in tests: it accepts everything and has half blocks only."""

    ready = True
    lacks_receipts = False
    full_redraws = 0

    def query_graphics(self, callback: Callable[[Graphics], object]) -> None:
        """Find out which graphics there are."""
        callback(Graphics())

    def draw_over(self, text: str) -> None:
        """Send a picture."""

    def uncover(self, place: Region, text: str) -> None:
        """Send `text`, then draw the cells of that place again."""


class TerminalSurface(PictureSurface):
    """The terminal behind the console's driver."""

    def __init__(self, app: IncrementalRender, driver: ConsoleDriver) -> None:
        self._app = app
        self._driver = driver

    @property
    def ready(self) -> bool:  # type: ignore[override]
        """Whether all that was sent has been drawn, as far as is known."""
        return self._driver.ready

    @property
    def lacks_receipts(self) -> bool:  # type: ignore[override]
        """Whether the terminal does not report what it has drawn."""
        return not self._driver.gives_receipts

    @property
    def full_redraws(self) -> int:  # type: ignore[override]
        """How often everything was drawn again, which removes pictures."""
        return self._app.frame.full_redraws

    def query_graphics(self, callback: Callable[[Graphics], object]) -> None:
        """Ask the terminal once. Kitty is preferred to sixel: it takes fewer bytes and scales."""

        def report(abilities: TerminalCapabilities) -> None:
            sixel = abilities.sixel and abilities.cell is not None
            callback(Graphics("kitty" if abilities.kitty else "sixel" if sixel else "blocks", abilities.cell))

        self._driver.query_capabilities(report)

    def draw_over(self, text: str) -> None:
        """Send a picture, as a synchronised update where the terminal supports it."""
        self._app.send_picture(text)

    def uncover(self, place: Region, text: str) -> None:
        """Send `text`, and draw the cells again: the frame does not know about the picture."""
        self._driver.write(text)
        self._app.redraw_region(place)


def surface_of(app: Any) -> PictureSurface:
    """The surface of an application."""
    driver = getattr(app, "console_driver", None)
    return TerminalSurface(app, driver) if driver is not None else PictureSurface()
