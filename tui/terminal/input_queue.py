"""`InputQueue`: an application mix-in that dispatches keys one at a time, to the focused widget of the moment.

Textual sends a key to the widget that has the focus when the key arrives. Its effects come later: a box opens, the
focus moves, a list is filtered. All keys of a burst would go to the widget that had the focus at its start. Here a key
waits until all effects of the key before it are complete. Pastes and the mouse wait in the same queue.

It uses private names of Textual (`textual_private`). Where one is missing, keys are dispatched as Textual does it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from textual import events
from textual.message_pump import MessagePump
from textual.worker import Worker

from tui.terminal.textual_private import missing_names

if TYPE_CHECKING:
    from textual.app import App

    _Base = App[Any]
else:
    _Base = object

HANG_SECONDS = 15.0  # seconds after which keys no longer wait for a busy part
_QUICK_CHECKS = 50  # at a part that has work, one each time round the event loop; then one a pause
_PAUSE = 0.005
_CANCEL_KEYS = ("escape", "ctrl+q")
log = logging.getLogger(__name__)


class InputQueue(_Base):
    """`class XaivaApp(InputQueue, App[int])`. Keys, pastes and the mouse are handled in order, one at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._input: deque[events.Event] = deque()
        self._dispatched: events.Event | None = None
        self._dispatcher: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()  # more input, or a box that the keys waited for
        self._pending_boxes: list[_PendingBox] = []  # boxes that are being prepared
        self._stuck: WeakSet[MessagePump | Worker[Any]] = WeakSet()
        super().__init__(*args, **kwargs)

    async def on_event(self, event: events.Event) -> None:
        """Put input in the queue; what comes out of it goes the usual way."""
        if missing_names():
            await super().on_event(event)
            return
        is_input = isinstance(event, (events.InputEvent, events.Paste)) and not event.is_forwarded
        past_the_keys = bool(self._pending_boxes) and isinstance(
            event, events.MouseEvent
        )  # a click is meant for what is visible
        if not is_input or event is self._dispatched or past_the_keys:
            await super().on_event(event)
            return
        self._input.append(event)
        self._arrived.set()
        if self._dispatcher is None and not self._closing:
            self._dispatcher = asyncio.create_task(self._dispatch_all(), name="input queue")

    async def _dispatch_all(self) -> None:
        try:
            await self._wait_until_idle(also_workers=not _is_text(self._input[0]))
            while self._input and self._running and self._screen_stack:
                if self._pending_boxes and not self._cancel_box():
                    self._arrived.clear()
                    await self._arrived.wait()
                elif self._input:
                    self._dispatched = self._input.popleft()
                    self.post_message(self._dispatched)
                await self._wait_until_idle(also_workers=bool(self._input) and not _is_text(self._input[0]))
        finally:
            self._dispatcher = None

    # -- boxes that are being prepared ---------------------------------------------------------------------------------

    def hold_keys(self, give_up: Callable[[], object] | None) -> Callable[[], None]:
        """Make keys wait for a box that opens later. Call the returned function when it is open.

        Escape calls `give_up` and drops the keys before it, which were meant for the box. Without `give_up`, Escape
        waits as the other keys do.
        """
        box = _PendingBox(give_up)
        self._pending_boxes.append(box)

        def release() -> None:
            if box in self._pending_boxes:
                self._pending_boxes.remove(box)
            self._arrived.set()

        return release

    def _cancel_box(self) -> bool:
        """Cancel the box that the keys wait for if one of them says so."""
        leaving = next(
            (at for at, event in enumerate(self._input) if isinstance(event, events.Key) and event.key in _CANCEL_KEYS),
            None,
        )
        give_up = self._pending_boxes[-1].give_up
        if leaving is None or give_up is None:
            return False
        for _ in range(leaving):
            self._input.popleft()
        if self._input[0].key == "escape":  # type: ignore[attr-defined]
            self._input.popleft()
        self._pending_boxes.pop()
        give_up()
        return True

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def _wait_until_idle(self, also_workers: bool) -> None:
        """Wait until no part is busy. A part that hangs is waited for once."""
        waiting_for: MessagePump | Worker[Any] | None = None
        began_at, checks = 0.0, 0
        while self._running and (part := next(self._busy_parts(also_workers), None)) is not None:
            if part is not waiting_for:
                waiting_for, began_at, checks = part, time.monotonic(), 0
            elif time.monotonic() > began_at + HANG_SECONDS:
                log.error("%r is still running after its time limit: keys no longer wait for it", part)
                self._stuck.add(part)
            checks += 1
            await asyncio.sleep(0 if checks < _QUICK_CHECKS else _PAUSE)

    def _busy_parts(self, also_workers: bool) -> Iterator[MessagePump | Worker[Any]]:
        """The parts in view that are busy."""
        parts: list[MessagePump] = [self]
        for screen in self._screen_stack:
            parts += screen.walk_children(with_self=True)
        for part in parts:
            if not _is_busy(part):
                self._stuck.discard(part)
            elif part not in self._stuck:
                yield part
        if also_workers:  # what the command palette looks for
            for worker in self.workers:
                if worker.node in parts and not worker.is_finished and worker not in self._stuck:
                    yield worker


@dataclass(eq=False)
class _PendingBox:
    """A box that keys wait for, and the function that cancels it."""

    give_up: Callable[[], object] | None


def _is_busy(part: MessagePump) -> bool:
    """Whether it is being mounted, or is not waiting for its next message."""
    if part._closing or part._closed:
        return False
    if not part._is_mounted:
        return part._task is not None and not part._task.done()
    messages: Any = part._message_queue
    return not messages.empty() or not messages.ready_event._waiters


def _is_text(event: events.Event) -> bool:
    """Whether the event only types text."""
    return isinstance(event, events.Paste) or (isinstance(event, events.Key) and event.is_printable)
