"""The console's driver: Textual's, but it never waits for the terminal and notices when the terminal is gone."""

from __future__ import annotations

import os
import re
import signal
import termios
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from textual import constants, events
from textual.drivers.linux_driver import LinuxDriver

from tui.terminal.capabilities import QUERY_SECONDS, TerminalCapabilities
from tui.terminal.output_buffer import RECEIPT_ANSWER, OutputBuffer
from tui.terminal.stdio_capture import StdioCapture
from tui.terminal.textual_private import XTermParser

if TYPE_CHECKING:
    from textual.app import App

_READ = 4096
# A line, repeated three times (REP), and where is the cursor? Some terminals, and mosh, do not know how to repeat.
_REPEAT_QUERY = "\x1b[H─\x1b[3b\x1b[6n"
_REPEAT_ANSWER = re.compile(r"\x1b\[1;(\d+)R")
_REPEAT_ANSWER_START = re.compile(r"\x1b\[(?:1(?:;\d*)?)?$")
_REPEATED_COLUMN = "5"
_PASTE_START, _PASTE_END = "\x1b[200~", "\x1b[201~"
# Escape, not the begin of a sequence. On a slow line the next key may come in the same read: that is no Alt with a key
_ESCAPE = re.compile(r"(\x1b)(?![\[\]OP_\\\x1b])")
_RESTORE_SECONDS = 0.2  # seconds the terminal has to accept the sequences that restore it
_REPORT_MODES = (1000, 1002, 1006, 2004, 1004)  # mouse, paste and focus
RESTORE_TERMINAL = "".join(f"\x1b[?{mode}l" for mode in _REPORT_MODES) + "\x1b[?7h\x1b[m\x1b[?1049l\x1b[?25h"


class DriverListener(Protocol):
    """The events that the driver reports to the application."""

    def terminal_started(self) -> None:
        """The application has the terminal now; its content is unknown."""

    def terminal_ready(self) -> None:
        """The terminal accepts frames again."""

    def terminal_repeats(self) -> None:
        """The terminal can repeat a character."""

    def terminal_lost(self) -> None:
        """The terminal is gone."""


class ConsoleDriver(LinuxDriver):
    """Reads and writes the terminal from the event loop, without a thread that could block or spin."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._listener = cast("DriverListener", app)
        self._output: OutputBuffer | None = None
        self._stdio_capture: StdioCapture | None = None
        self._reading = False
        self._parser: XTermParser
        self._held_input = ""
        self._pasting = False
        self._asks_for_repeat = False
        self._capabilities: TerminalCapabilities | None = None
        self._capability_callbacks: list[Callable[[TerminalCapabilities], object]] = []

    # -- frames ----------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether a frame written now would be seen soon."""
        return self._output is not None and self._output.ready

    @property
    def gives_receipts(self) -> bool:
        """Whether the terminal reports what it has drawn."""
        return self._output is not None and self._output.gives_receipts

    def send_frame(self, text: str) -> None:
        if self._output is not None:
            self._output.send_frame(text)

    def write(self, data: str) -> None:
        """Send control sequences; returns at once. Dropped while the application has no terminal."""
        if self._output is not None:
            self._output.write(data)

    def query_capabilities(self, callback: Callable[[TerminalCapabilities], object]) -> None:
        """Ask the terminal once for its graphics. Calls `callback` when it has answered, or at the deadline."""
        if self._capabilities is None:
            self._capabilities = TerminalCapabilities()
            self.write(TerminalCapabilities.query(os.environ))
            self._loop.call_later(QUERY_SECONDS, self._report_capabilities)
        self._capability_callbacks.append(callback)
        if self._capabilities.complete:
            self._report_capabilities()

    def _report_capabilities(self) -> None:
        assert self._capabilities is not None
        self._capabilities.complete = True
        callbacks, self._capability_callbacks = self._capability_callbacks, []
        for callback in callbacks:
            callback(self._capabilities)

    # -- life ------------------------------------------------------------------

    def start_application_mode(self) -> None:
        terminal = os.open(os.ttyname(2), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._output = OutputBuffer(terminal, self._listener.terminal_ready, self._listener.terminal_lost)
        self._stdio_capture = StdioCapture(getattr(self._app, "console_log", None))
        self._listener.terminal_started()
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._output.ask_for_receipts()
        self._asks_for_repeat = True
        self.write(_REPEAT_QUERY)  # before the first frame, which clears the screen

    def _sigcont_application(self, *_: object) -> None:
        """Resume from the event loop: the signal may have interrupted a write of a frame."""
        self._loop.call_soon_threadsafe(super()._sigcont_application)

    def resume_application_mode(self) -> None:
        """Take the terminal over again after a stop; it may be gone by now."""
        self.stop_application_mode()  # SIGSTOP left no time for it, and a shell may have changed everything
        try:
            self.start_application_mode()
        except OSError:
            self._listener.terminal_lost()

    def stop_application_mode(self) -> None:
        """Restore the terminal and give it back, even with output still on its way."""
        output = self._output
        if output is None:
            return
        output.discard()
        super().stop_application_mode()
        output.write(RESTORE_TERMINAL)
        output.finish(_RESTORE_SECONDS)
        self._output = None
        os.close(output.descriptor)
        if self._stdio_capture is not None:
            self._stdio_capture.stop()

    def restore_terminal_now(self) -> None:
        """Last resort, from any thread: write the sequences that restore the terminal, without waiting."""
        output = self._output
        if output is not None:
            try:
                termios.tcflush(output.descriptor, termios.TCOFLUSH)
                os.write(output.descriptor, b"\x18" + RESTORE_TERMINAL.encode())
                if self.attrs_before is not None:
                    termios.tcsetattr(output.descriptor, termios.TCSANOW, self.attrs_before)
            except (OSError, termios.error):
                pass

    def _get_terminal_size(self) -> tuple[int, int]:
        try:
            width, height = os.get_terminal_size(self._output.descriptor if self._output else 2)
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
        if self._output is None or self._reading:
            return
        self._parser = XTermParser(self._debug)
        self._decode = getincrementaldecoder("utf-8")("ignore").decode  # old mouse reports are not UTF-8
        self._held_input = ""
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
            self._listener.terminal_lost()
            return
        self._process_input(self._held_input + self._decode(data))

    def _process_input(self, text: str) -> None:
        self._held_input = ""
        for _ in range(text.count(RECEIPT_ANSWER)):
            if self._output is not None:
                self._output.receipt_arrived()
        text = text.replace(RECEIPT_ANSWER, "")
        if self._asks_for_repeat and (answer := _REPEAT_ANSWER.search(text)):
            self._asks_for_repeat = False
            text = text[: answer.start()] + text[answer.end() :]
            if answer[1] == _REPEATED_COLUMN:
                self._listener.terminal_repeats()
        if self._capabilities is not None:
            was_incomplete = not self._capabilities.complete
            text = self._capabilities.consume_answers(text)
            if was_incomplete and self._capabilities.complete:
                self._report_capabilities()
        is_querying = self._capabilities is not None and not self._capabilities.complete
        if (
            text.endswith(("\x1b", "\x1b[", "\x1b[0"))
            or (is_querying and TerminalCapabilities.may_begin_answer(text))
            or (self._asks_for_repeat and _REPEAT_ANSWER_START.search(text))
        ):  # the first part of an answer
            self._held_input = text
            self._loop.call_later(constants.ESCAPE_DELAY, self._release_held_input)
            return
        self._parse_input(text)

    def _release_held_input(self) -> None:
        text, self._held_input = self._held_input, ""
        if text:
            self._parse_input(text)

    def _parse_input(self, text: str) -> None:
        for piece in self._pieces(text):
            parsed_events = [events.Key("escape", piece)] if piece == "\x1b" else self._parser.feed(piece)
            for event in parsed_events:
                self.process_message(event)
        if "\x1b" in text:  # the start of a sequence is a key when nothing follows
            self._loop.call_later(constants.ESCAPE_DELAY + 0.01, self._flush_parser)

    def _pieces(self, text: str) -> Iterator[str]:
        """Split input into single Escape keys, the text between them, and pastes, which may contain anything."""
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

    def _flush_parser(self) -> None:
        for event in self._parser.tick():
            self.process_message(event)

    def disable_input(self) -> None:
        signal.signal(signal.SIGWINCH, signal.SIG_DFL)
        self._stop_reading()
        self._disable_mouse_support()
        try:
            termios.tcflush(self.fileno, termios.TCIFLUSH)
        except termios.error:
            pass
