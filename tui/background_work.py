"""`BackgroundWork`: an application mix-in that runs blocking work in threads of its own."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from core.errors import XaivaError
from tui.terminal.input_queue import InputQueue

T = TypeVar("T")
WAIT_NOTICE_SECONDS = 0.7  # keys may wait this long for a result before the console says so
log = logging.getLogger(__name__)


class BackgroundWork(InputQueue):
    """`class XaivaApp(BackgroundWork, App[int])`. Results come back to the event loop.

    Textual's workers are not used: they share a small pool, and an engine that hangs would use it up.
    """

    @abstractmethod
    def show_error(self, error: XaivaError) -> None:
        """Show an error until it is closed."""

    def background(
        self, work: Callable[[], T], done: Callable[[T], object], failed: Callable[[XaivaError], object] | None = None
    ) -> None:
        """Run `work` in a thread, then call `done(result)`. An error goes to `failed`, or is shown."""
        report = failed or self.show_error

        def run() -> None:
            try:
                result = work()
            except XaivaError as error:
                self.call_later(self._deliver, report, error)
            except Exception as error:
                log.exception("background work")
                unexpected = XaivaError("That did not work", f"{type(error).__name__}: {error}")
                self.call_later(self._deliver, report, unexpected)
            else:
                self.call_later(self._deliver, done, result)

        threading.Thread(target=run, name="background", daemon=True).start()

    def load_then_open(
        self, work: Callable[[], T], open_box: Callable[[T], object], abandoned: Callable[[], object] | None = None
    ) -> None:
        """Like `background`, for work whose result opens a box. Keys wait for the box.

        Escape abandons the box before it opens; `abandoned` is called then.
        """
        given_up = False
        words = "Loading… what you type waits for the answer; Esc cancels"
        notice_timer = self.set_timer(WAIT_NOTICE_SECONDS, partial(self.notify, words))

        def give_up() -> None:
            nonlocal given_up
            given_up = True
            notice_timer.stop()
            if abandoned is not None:
                abandoned()

        release = self.hold_keys(give_up)

        def deliver(callback: Callable[[Any], object], outcome: Any) -> None:
            try:
                if not given_up:
                    callback(outcome)
            finally:
                notice_timer.stop()
                release()

        self.background(work, partial(deliver, open_box), partial(deliver, self.show_error))

    def _deliver(self, callback: Callable[[T], object], outcome: T) -> object:
        """Hand over the outcome, unless the console is ending: its screens have lost their widgets."""
        return callback(outcome) if self.is_running else None
