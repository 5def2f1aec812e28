"""The dialog before a medium is unpacked or checked: what would happen, and first of all whose shipment it is."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Label

from core.carry.trust import ShipmentRefused
from core.errors import InputError, XaivaError
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters import carry as carry_format
from tui.formatters.cells import Span, line
from tui.screens.form import Form
from tui.widgets.panel import Formatter

BLOCK = 4  # characters of a fingerprint that stand together on the paper, as `xaiva key show` prints it


class ReadMedium(Form[bool]):
    """Returns True when the operation is to start, None when the dialog was cancelled.

    A site that trusts no key asks for the end of the fingerprint, which is not on the screen. What is typed right is
    trusted from then on, and the preview follows.
    """

    WIDE = True

    def __init__(self, site: Site, kind: str, medium: str) -> None:
        super().__init__(f"{kind.capitalize()} {medium}", site)
        self.VERB = kind.capitalize()  # type: ignore[misc]
        self._kind = kind
        self._medium = medium
        self._fingerprint = ""  # of the key that a person has to compare with the paper
        self._ready = False

    def compose_fields(self) -> Iterable[Widget]:
        """The last block; hidden unless the site trusts no key."""
        with Horizontal(classes="row"):
            yield Label("Last block")
            box = Input(placeholder="the last block of the fingerprint on the paper", id="block")
            box.cursor_blink = False
            yield box

    def on_mount(self) -> None:
        """Look at the medium in a thread."""
        self.query_one(".dialog").border_subtitle = "Enter starts what is shown · Esc cancels"
        self._ask_block("")
        self._look("")

    def _ask_block(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        self.query_one(".row").display = bool(fingerprint)
        self.query_one("#block" if fingerprint else "#submit").focus()

    def _look(self, trust: str) -> None:
        self.show_message(lambda _: [line(Span("reading the medium…", "dim"))])
        console = console_of(self)
        look = console.parts.preview(self._kind)
        assert look is not None, self._kind
        work = partial(look, self.site, self._medium, {"trust": trust})
        console.background(work, self._show_preview, self._show_obstacle)

    def _show_preview(self, formatter: Formatter) -> None:
        if self.is_attached:
            self._ready = True
            self._ask_block("")
            self.show_message(formatter)

    def _show_obstacle(self, error: XaivaError) -> None:
        if not self.is_attached:
            return
        if isinstance(error, ShipmentRefused) and error.cause == "no-keys" and error.fingerprint:
            self._ask_block(error.fingerprint)
            self.show_message(partial(carry_format.trust_question, " ".join(_blocks(error.fingerprint)[:-1])))
        else:
            self._ask_block("")
            self.show_error(error)

    def submit(self) -> None:
        """Start, or trust the key whose last block was typed."""
        if self._ready:
            self.dismiss(True)
        elif self._fingerprint and self.value("block") == _blocks(self._fingerprint)[-1]:
            fingerprint = self._fingerprint
            self.query_one("#block", Input).value = ""
            self._ask_block("")
            self._look(fingerprint)
        elif self._fingerprint:
            why = "it is not the last block of the key on the medium"
            remedy = "type it again from the paper; capital and small letters differ"
            self.show_error(InputError(f"“{self.value('block')}”", why, remedy))


def _blocks(fingerprint: str) -> list[str]:
    bare = fingerprint.removeprefix("SHA256:")
    return [bare[start : start + BLOCK] for start in range(0, len(bare), BLOCK)]
