"""`IncrementalRender`: an application mix-in that sends only changed cells and ends cleanly.

It uses private names of Textual (`textual_private`). Where one is missing, Textual's own drawing is used.
`tests/terminal/test_frames_equal.py` compares the frames with Textual's own.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.color import ColorSystem
from rich.text import Text
from textual.strip import Strip

from core.errors import XaivaError
from core.redaction import redact_text
from tui.terminal import clipboard
from tui.terminal.driver import ConsoleDriver
from tui.terminal.frame import TerminalFrame
from tui.terminal.textual_private import SYNC_END, SYNC_START, ChopsUpdate, LayoutUpdate, missing_names

if TYPE_CHECKING:
    from textual.app import App
    from textual.geometry import Region
    from textual.screen import Screen

    _Base = App[Any]
else:
    _Base = object

_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_GRACE_SECONDS = 2.0  # seconds an orderly end may take after a signal
_GC_THRESHOLDS = (20_000, 20, 20)  # allocations, and rounds, between two collections: frames leave hardly any garbage
_SYNC_FROM_BYTES = 512  # bytes from which a frame may arrive in pieces and is better shown at one stroke


class IncrementalRender(_Base):
    """`class XaivaApp(IncrementalRender, App[int])`. Set `console_log` first, to keep what others print."""

    console_log: Path | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.frame = TerminalFrame(erase_keeps_background=_erase_keeps_background())
        self._ending = False

    def get_driver_class(self) -> Any:
        """The console's driver, unless the environment names another or Textual lacks a name that it needs."""
        if os.environ.get("TEXTUAL_DRIVER"):
            return super().get_driver_class()
        if missing := missing_names():
            what = f"This Textual has no {', '.join(missing)}"
            _append_to_log(self.console_log, f"{what}: its own driver is used, which sends many times the bytes.")
            return super().get_driver_class()
        return ConsoleDriver

    @property
    def console_driver(self) -> ConsoleDriver | None:
        """The console's own driver; None while another one runs the application."""
        driver = getattr(self, "_driver", None)
        return driver if isinstance(driver, ConsoleDriver) else None

    # -- frames ----------------------------------------------------------------

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        is_own = self.console_driver is not None
        if not is_own or not isinstance(renderable, (ChopsUpdate, LayoutUpdate)):
            super()._display(screen, renderable)
            if is_own and renderable is not None:
                self.frame.invalidate()
            return
        if not self._batch_count and self._running and not self._closed:
            self._apply_update(screen, renderable)
            self._send_frame()
        self.post_display_hook()

    def _apply_update(self, screen: Screen[Any], update: ChopsUpdate | LayoutUpdate) -> None:
        size = screen._compositor.size
        if (size.width, size.height) != (self.frame.width, self.frame.height):
            self.frame.resize(size.width, size.height)
        if isinstance(update, LayoutUpdate):
            for y, line in enumerate(update.strips, update.region.y):
                self._apply_strips(update.region.x, y, line)
            return
        for y, x1, x2 in update.spans:
            for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
                if strip is None or x > x2 or end <= x1:
                    continue
                self._apply_strips(x, y, (strip if x >= x1 and end <= x2 else strip.crop(0, min(end, x2) - x),))

    def _apply_strips(self, x: int, y: int, strips: Iterable[Strip]) -> None:
        colours = self.console._color_system or ColorSystem.TRUECOLOR
        fold = self.frame.set_text
        for strip in strips:
            for text, style, control in strip._segments:
                if not control and text:
                    codes = "" if style is None else style._ansi or Strip.render_ansi(style, colours)
                    x = fold(x, y, text, codes)

    def _send_frame(self) -> None:
        """Send the changes, or wait until the terminal has drawn the last frame."""
        driver = self.console_driver
        if driver is None or not driver.ready:
            return
        text = self.frame.flush() if self.frame.pending else ""
        if getattr(self.focused, "cursor_screen_offset", None) is not None:  # for input methods
            text += self.frame.cursor_to(*self.cursor_position)
        if not text:
            return
        if self._sync_available and len(text) >= _SYNC_FROM_BYTES:
            text = f"{SYNC_START}{text}{SYNC_END}"
        driver.send_frame(text)

    def send_picture(self, text: str) -> None:
        """Send a picture that is drawn over the cells, in order with the frames. It saves and restores the cursor."""
        if self.console_driver is not None:
            self.frame.forget_saved_style()
            self.console_driver.send_frame(f"{SYNC_START}{text}{SYNC_END}" if self._sync_available else text)

    def redraw_region(self, place: Region) -> None:
        """Draw these cells again: a picture was over them."""
        self.frame.mark_unknown(*place)
        self._send_frame()

    def action_redraw(self) -> None:
        """Draw everything again, because something else wrote to the terminal."""
        self.frame.invalidate()
        self._send_frame()

    # -- what the driver says ----------------------------------------------------

    def terminal_started(self) -> None:
        """The terminal is ours: nothing is known of what it shows."""
        self.frame.invalidate()
        self.frame.can_repeat = False
        for number in _ENDING_SIGNALS:
            signal.signal(number, self._on_signal)

    def terminal_ready(self) -> None:
        """The last frame has arrived: draw the newest state, if there is one."""
        if self.frame.pending:
            self._send_frame()

    def terminal_repeats(self) -> None:
        """The terminal can repeat a character: lines take a few bytes."""
        self.frame.can_repeat = True

    def terminal_lost(self) -> None:
        """The terminal is gone: there is nobody to show anything to."""
        self.end_now(signal.SIGHUP)

    # -- the end ---------------------------------------------------------------

    def _on_signal(self, number: int, _frame: object) -> None:
        # Not the event loop's own handler: this one runs even when the loop is held up by something.
        self._schedule_forced_end(number)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.end_now, number)

    def end_now(self, number: int) -> None:
        """End with exit code 128 + `number`, in an orderly way if that takes less than two seconds."""
        self._schedule_forced_end(number)
        self.exit(return_code=128 + number)

    def _schedule_forced_end(self, number: int) -> None:
        if not self._ending:
            self._ending = True
            timer = threading.Timer(_GRACE_SECONDS, self._force_end, (number,))
            timer.daemon = True
            timer.start()

    def _force_end(self, number: int) -> None:
        if self.console_driver is not None:
            self.console_driver.restore_terminal_now()
        os._exit(128 + number)

    def _fatal_error(self) -> None:
        """Log an internal fault in full, and tell the user what to do about it."""
        if missing_names():
            super()._fatal_error()
            return
        log_hint = _append_to_log(self.console_log, redact_text(traceback.format_exc()))
        error = XaivaError(
            "The console has failed",
            f"{type(self._exception).__name__}: {self._exception}",
            f"start it again; running operations continue without it. {log_hint}",
        )
        self._exit_renderables.append(Text(str(error)))
        self._close_messages_no_wait()

    # -- clipboard -------------------------------------------------------------

    def copy_to_clipboard(self, text: str) -> None:
        """Put `text` into the clipboard of the user's own terminal, also through SSH, tmux and screen."""
        if missing_names():
            super().copy_to_clipboard(text)
            return
        self._clipboard = text
        if self._driver is not None:
            self._driver.write(clipboard.osc52_sequence(text, os.environ))


def _append_to_log(path: Path | None, text: str) -> str:
    """Append to the log; says where the details are."""
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{text}\n")
        except OSError:
            return f"The details could not be written to {path}."
        return f"The details are in {path}."
    return "There is no log."


def _erase_keeps_background() -> bool:
    """Whether erasing fills with the current background: everywhere but in GNU screen."""
    return "TMUX" in os.environ or not os.environ.get("TERM", "").startswith("screen")


def run(app: Any) -> None:
    """Run the application and leave the process: no worker thread may hold it. Never returns."""
    gc.freeze()  # what is imported stays: without this, looking through it for garbage holds a key up to 0.1 s
    gc.set_threshold(*_GC_THRESHOLDS)
    gc.enable()
    app.run()
    code = app.return_code or 0
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
