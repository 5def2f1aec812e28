"""Draws pictures over the cells of the frame, in order with the frames, no faster than the terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.geometry import Region

from tui.terminal.abilities import Abilities
from tui.terminal.driver import ConsoleDriver

if TYPE_CHECKING:
    from tui.terminal.difference import FrameDifference


@dataclass(frozen=True)
class Graphics:
    """`kind` is kitty, sixel or blocks; `cell` the size of a cell in pixels, when the terminal told."""

    kind: str = "blocks"
    cell: tuple[int, int] | None = None


class Surface:
    """An application that draws on no terminal of ours (a test's) takes everything and shows half blocks."""

    ready = True
    blind = False
    clearings = 0

    def ask(self, then: Callable[[Graphics], object]) -> None:
        """Find out which graphics there are."""
        then(Graphics())

    def draw_over(self, text: str) -> None:
        """Send a picture."""

    def uncover(self, place: Region, text: str) -> None:
        """Send `text`, then draw the cells of that place again."""


class TerminalSurface(Surface):
    """The terminal behind our driver."""

    def __init__(self, app: FrameDifference, driver: ConsoleDriver) -> None:
        self._app = app
        self._driver = driver

    @property
    def ready(self) -> bool:  # type: ignore[override]
        """Whether all that was sent has been drawn, as far as is known."""
        return self._driver.ready

    @property
    def blind(self) -> bool:  # type: ignore[override]
        """Whether the terminal does not tell what it has drawn."""
        return not self._driver.gives_receipts

    @property
    def clearings(self) -> int:  # type: ignore[override]
        """How often everything was drawn anew, which takes pictures away."""
        return self._app.frame.clearings

    def ask(self, then: Callable[[Graphics], object]) -> None:
        """From the terminal itself, once; kitty before sixel: it takes fewer bytes and scales."""

        def known(abilities: Abilities) -> None:
            sixel = abilities.sixel and abilities.cell is not None
            then(Graphics("kitty" if abilities.kitty else "sixel" if sixel else "blocks", abilities.cell))

        self._driver.ask_abilities(known)

    def draw_over(self, text: str) -> None:
        """At one stroke where the terminal knows how."""
        self._app.send_picture(text)

    def uncover(self, place: Region, text: str) -> None:
        """What the terminal shows there is not what the frame thinks."""
        self._driver.write(text)
        self._app.draw_again(place)


def surface_of(app: Any) -> Surface:
    """The surface of an application."""
    driver = getattr(app, "_driver", None)
    return TerminalSurface(app, driver) if isinstance(driver, ConsoleDriver) else Surface()
