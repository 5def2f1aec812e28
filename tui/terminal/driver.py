"""The console's driver: Textual's, but it never waits for the terminal, notices when it is gone, and guards it."""

from __future__ import annotations

import os
import re
import signal
import termios
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from textual import constants, events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from tui.terminal.abilities import DEADLINE, Abilities
from tui.terminal.outbox import RECEIPT_ANSWER, Outbox
from tui.terminal.stray import StrayOutput

if TYPE_CHECKING:
    from textual.app import App

_READ = 4096
_PASTE_START, _PASTE_END = "\x1b[200~", "\x1b[201~"
# Escape, not the begin of a sequence. On a slow line the next key may come in the same read: that is no Alt with a key
_ESCAPE = re.compile(r"(\x1b)(?![\[\]OP_\\\x1b])")
_LAST_WORDS = 0.2  # seconds the terminal has to take the sequences that put it back
_REPORTS = (1000, 1002, 1006, 2004, 1004)  # mouse, paste and focus
PUT_BACK = "".join(f"\x1b[?{mode}l" for mode in _REPORTS) + "\x1b[?7h\x1b[m\x1b[?1049l\x1b[?25h"


class Console(Protocol):
    """What the driver tells the application."""

    def terminal_started(self) -> None:
        """The terminal is ours and its content unknown."""

    def terminal_ready(self) -> None:
        """The terminal takes frames again."""

    def terminal_lost(self) -> None:
        """The terminal is gone."""


class ConsoleDriver(LinuxDriver):
    """Reads and writes the terminal from the event loop, without threads that could block or spin."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._console = cast("Console", app)
        self._outbox: Outbox | None = None
        self._stray: StrayOutput | None = None
        self._reading = False
        self._parser: XTermParser
        self._held = ""
        self._pasting = False
        self._abilities: Abilities | None = None
        self._want_abilities: list[Callable[[Abilities], object]] = []

    # -- frames ----------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether a frame written now would be seen soon."""
        return self._outbox is not None and self._outbox.ready

    @property
    def gives_receipts(self) -> bool:
        """Whether the terminal tells what it has drawn."""
        return self._outbox is not None and self._outbox.receipts

    def send_frame(self, text: str) -> None:
        """Send a frame."""
        if self._outbox is not None:
            self._outbox.send_frame(text)

    def write(self, data: str) -> None:
        """Send control sequences; returns at once. Dropped while the terminal is not ours."""
        if self._outbox is not None:
            self._outbox.write(data)

    def ask_abilities(self, then: Callable[[Abilities], object]) -> None:
        """Ask the terminal, once, which graphics it has; `then` is called when it has answered, or at the deadline."""
        if self._abilities is None:
            self._abilities = Abilities()
            self.write(Abilities.question(os.environ))
            self._loop.call_later(DEADLINE, self._abilities_known)
        self._want_abilities.append(then)
        if self._abilities.complete:
            self._abilities_known()

    def _abilities_known(self) -> None:
        assert self._abilities is not None
        self._abilities.complete = True
        wanting, self._want_abilities = self._want_abilities, []
        for then in wanting:
            then(self._abilities)

    # -- life ------------------------------------------------------------------

    def start_application_mode(self) -> None:
        """Take the terminal over."""
        terminal = os.open(os.ttyname(2), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._outbox = Outbox(terminal, self._console.terminal_ready, self._console.terminal_lost)
        self._stray = StrayOutput(getattr(self._app, "stray_log", None))
        self._console.terminal_started()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._outbox.ask_for_receipts()

    def resume_application_mode(self) -> None:
        """Take the terminal over again after a stop; it may be gone by now."""
        self.stop_application_mode()  # SIGSTOP left no time for that, and a shell may have changed everything since
        try:
            self.start_application_mode()
        except OSError:
            self._console.terminal_lost()

    def stop_application_mode(self) -> None:
        """Give the terminal back as it was, whatever is still on its way."""
        outbox = self._outbox
        if outbox is None:
            return
        outbox.discard()
        super().stop_application_mode()
        outbox.write(PUT_BACK)
        outbox.finish(_LAST_WORDS)
        self._outbox = None
        os.close(outbox.descriptor)
        if self._stray is not None:
            self._stray.stop()

    def put_back_now(self) -> None:
        """Last resort, from any thread: write what puts the terminal back, without waiting."""
        outbox = self._outbox
        if outbox is not None:
            try:
                termios.tcflush(outbox.descriptor, termios.TCOFLUSH)
                os.write(outbox.descriptor, b"\x18" + PUT_BACK.encode())
                if self.attrs_before is not None:
                    termios.tcsetattr(outbox.descriptor, termios.TCSANOW, self.attrs_before)
            except (OSError, termios.error):
                pass

    def _get_terminal_size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self._outbox.descriptor if self._outbox else 2)
        except OSError:
            width = height = 0
        return width or 80, height or 24

    def _enable_mouse_support(self) -> None:
        if self._mouse:  # clicks, wheel and drags; not every motion, which the line would have to carry upstream
            self.write("\x1b[?1000h\x1b[?1002h\x1b[?1006h")

    def _disable_mouse_support(self) -> None:
        if self._mouse:
            self.write("\x1b[?1000l\x1b[?1002l\x1b[?1006l")

    # -- input -----------------------------------------------------------------

    def _run_input_thread(self) -> None:
        """Textual's input thread: hands over to the event loop and ends."""
        self._loop.call_soon_threadsafe(self._start_reading)

    def _start_reading(self) -> None:
        if self._outbox is None or self._reading:
            return
        self._parser = XTermParser(self._debug)
        self._decode = getincrementaldecoder("utf-8")("ignore").decode  # old mouse reports are not UTF-8
        self._held = ""
        self._pasting = False
        self._loop.add_reader(self.fileno, self._readable)
        self._reading = True

    def _stop_reading(self) -> None:
        if self._reading:
            self._loop.remove_reader(self.fileno)
            self._reading = False

    def _readable(self) -> None:
        try:
            data = os.read(self.fileno, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # end of file: the terminal is gone. Reading on would spin
            self._stop_reading()
            self._console.terminal_lost()
            return
        self._take(self._held + self._decode(data))

    def _take(self, text: str) -> None:
        self._held = ""
        for _ in range(text.count(RECEIPT_ANSWER)):
            if self._outbox is not None:
                self._outbox.answered()
        text = text.replace(RECEIPT_ANSWER, "")
        if self._abilities is not None:
            asked = not self._abilities.complete
            text = self._abilities.take(text)
            if asked and self._abilities.complete:
                self._abilities_known()
        asking = self._abilities is not None and not self._abilities.complete
        if text.endswith(("\x1b", "\x1b[", "\x1b[0")) or (
            asking and Abilities.begins(text)
        ):  # the first part of an answer
            self._held = text
            self._loop.call_later(constants.ESCAPE_DELAY, self._release)
            return
        self._feed(text)

    def _release(self) -> None:
        held, self._held = self._held, ""
        if held:
            self._feed(held)

    def _feed(self, text: str) -> None:
        for piece in self._pieces(text):
            given = [events.Key("escape", piece)] if piece == "\x1b" else self._parser.feed(piece)
            for event in given:
                self.process_message(event)
        if "\x1b" in text:  # what began like a sequence is none when nothing follows
            self._loop.call_later(constants.ESCAPE_DELAY + 0.01, self._tick)

    def _pieces(self, text: str) -> Iterator[str]:
        """Every Escape that was typed for itself, what is between them, and what is pasted, which may hold anything."""
        while text:
            if self._pasting:
                pasted, end, text = text.partition(_PASTE_END)
                self._pasting = not end
                yield pasted + end
                continue
            typed, start, text = text.partition(_PASTE_START)
            yield from filter(None, _ESCAPE.split(typed))
            if start:
                self._pasting = True
                yield start

    def _tick(self) -> None:
        for event in self._parser.tick():
            self.process_message(event)

    def disable_input(self) -> None:
        """No more input."""
        signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        self._stop_reading()
        self._disable_mouse_support()
        try:
            termios.tcflush(self.fileno, termios.TCIFLUSH)
        except termios.error:
            pass
