"""A small application with one picture, for the tests in a terminal: `python -m tests.tui.picture_app [live] [noisy]`.

`d` opens a dialog over it, `x` prints the last key pressed, `w` shows words instead, `s` makes the picture smaller.
"""

from __future__ import annotations

import itertools
import random
import sys

from textual import events
from textual.app import App, ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Label

from tui.terminal import environment
from tui.terminal.incremental_render import IncrementalRender, run
from tui.theme import TERMINAL_VARIABLES
from tui.widgets.picture_view import PictureView

COUNT = itertools.count()


def picture(width: int) -> bytes:
    """Red on the left, blue on the right, and a green that changes."""
    height = width * 9 // 16
    green = next(COUNT) % 8 * 30
    if "noisy" in sys.argv:
        return b"P6 %d %d 255\n" % (width, height) + _noisy(width * height)
    line = bytes((250, green, 10)) * (width // 2) + bytes((10, green, 250)) * (width - width // 2)
    return b"P6 %d %d 255\n" % (width, height) + line * height


def _noisy(pixels: int) -> bytes:
    """A dim scene with the noise of a camera at night."""
    noise = random.randbytes(pixels * 3)
    return noise.translate(bytes(60 + value // 6 for value in range(256)))


class Over(ModalScreen[None]):
    """A dialog."""

    BINDINGS = [("escape", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        yield Label("a dialog over the picture")


class PictureApp(IncrementalRender, App[int]):
    """The picture, and a line for the newest key."""

    CSS = "PictureView { height: 20; width: 60; border: round white; } #keys { height: 1; }"
    BINDINGS = [("d", "over", "Dialog"), ("q", "quit", "Quit"), ("w", "words", "Words"), ("s", "small", "Smaller")]
    low_bandwidth = False

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return TERMINAL_VARIABLES

    def compose(self) -> ComposeResult:
        """The picture above, the keys below."""
        yield PictureView(id="picture")
        yield Label("no key", id="keys")

    def on_mount(self) -> None:
        view = self.query_one(PictureView)
        view.set_source("one", picture, live="live" in sys.argv)

    def on_key(self, event: events.Key) -> None:
        """Say which key it was: answers of the terminal must never be taken for keys."""
        self.query_one("#keys", Label).update(f"key {event.key}")

    def action_over(self) -> None:
        """Open the dialog; what a screen of the console does when another comes before it."""
        view = self.query_one(PictureView)
        view.set_in_view(False)
        self.push_screen(Over(), lambda _: view.set_in_view(True))

    def action_small(self) -> None:
        styles = self.query_one(PictureView).styles
        styles.width, styles.height = 30, 10

    def action_words(self) -> None:
        self.query_one(PictureView).set_source("none", None, words="nothing to see")


if __name__ == "__main__":
    environment.prepare()
    run(PictureApp())
