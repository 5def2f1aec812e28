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
    """`kind` is kitty, sixel or blocks; `cell` the size of a cell in pixels, when the terminal told."""

    kind: str = "blocks"
    cell: tuple[int, int] | None = None


class PictureSurface:
    """An application that draws on no terminal of ours (a test's) takes everything and shows half blocks."""

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
    """The terminal behind our driver."""

    def __init__(self, app: IncrementalRender, driver: ConsoleDriver) -> None:
        self._app = app
        self._driver = driver

    @property
    def ready(self) -> bool:  # type: ignore[override]
        """Whether all that was sent has been drawn, as far as is known."""
        return self._driver.ready

    @property
    def lacks_receipts(self) -> bool:  # type: ignore[override]
        """Whether the terminal does not tell what it has drawn."""
        return not self._driver.gives_receipts

    @property
    def full_redraws(self) -> int:  # type: ignore[override]
        """How often everything was drawn anew, which takes pictures away."""
        return self._app.frame.full_redraws

    def query_graphics(self, callback: Callable[[Graphics], object]) -> None:
        """From the terminal itself, once; kitty before sixel: it takes fewer bytes and scales."""

        def report(abilities: TerminalCapabilities) -> None:
            sixel = abilities.sixel and abilities.cell is not None
            callback(Graphics("kitty" if abilities.kitty else "sixel" if sixel else "blocks", abilities.cell))

        self._driver.query_capabilities(report)

    def draw_over(self, text: str) -> None:
        """At one stroke where the terminal knows how."""
        self._app.send_picture(text)

    def uncover(self, place: Region, text: str) -> None:
        """What the terminal shows there is not what the frame thinks."""
        self._driver.write(text)
        self._app.redraw_region(place)


def surface_of(app: Any) -> PictureSurface:
    """The surface of an application."""
    driver = getattr(app, "console_driver", None)
    return TerminalSurface(app, driver) if driver is not None else PictureSurface()
