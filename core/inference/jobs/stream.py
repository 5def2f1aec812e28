"""The messages of one stream of jobs. A stream asks for what is new when its reader has room, and so buffers nothing.

Order: snapshots of what has changed, then the events up to there. So the final event of a job is its last message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, Protocol, TypeAlias

from core.api_schema import Job, JobEvent, JobHeartbeat, JobLines, JobResync, JobSnapshot
from core.inference.bulkhead import TooManyRequests
from core.inference.database.errors import DatabaseError
from core.inference.jobs.service import JobService
from core.inference.jobs.watch import JobsView

HEARTBEAT_SECONDS = 5.0  # clients treat a longer silence as a broken connection
CHECK_SECONDS = 5.0
CLOSING_POLL_SECONDS = 1.0
EVENTS_AT_ONCE = 200
LINES_AT_ONCE = 500

Message: TypeAlias = JobEvent | JobSnapshot | JobLines | JobHeartbeat | JobResync


class Runner(Protocol):
    """Runs a blocking call in a thread and awaits it."""

    def __call__(self, work: Callable[[], Any], /) -> Awaitable[Any]: ...


class JobStream:
    """The messages of all jobs, or of one (`job`) with the lines of its log from `offset` on.

    `after` is the seq of the last event that the reader has; None: it wants no old events. `check` is awaited every
    few seconds; what it raises ends the stream, unless it could not look. The stream of one job ends after the job's
    final event.
    """

    def __init__(
        self,
        jobs: JobService,
        run: Runner,
        check: Callable[[], Awaitable[object]],
        closing: asyncio.Event,
        *,
        job: int = 0,
        after: int | None = None,
        offset: int = 0,
    ) -> None:
        self._jobs = jobs
        self._run = run
        self._check = check
        self._closing = closing
        self._job = job
        self._after = after
        self._log = jobs.log_reader(job, offset)
        self._sent: dict[int, int] = {}  # by job: the version of its state that was sent
        self._checked = time.monotonic()
        self._over = False  # whether the one job's final event was sent

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Yield messages until the service closes, `check` raises, or the one job has ended. Raises UnknownJob."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def on_look() -> None:
            with suppress(RuntimeError):  # the loop was closed in the meantime
                loop.call_soon_threadsafe(changed.set)

        unsubscribe = self._jobs.watch.listen(on_look)
        try:
            async for message in self._messages(changed):
                yield message
        finally:
            unsubscribe()
            self._log.close()

    async def _messages(self, changed: asyncio.Event) -> AsyncIterator[Message]:
        view: JobsView = await self._run(self._jobs.watch.refresh)
        sent = 0.0  # with nothing else to send there is a heartbeat at once: the reader knows that it listens
        async for message in self._beginning(view):
            yield message
            sent = time.monotonic()
        while not self._over and not self._closing.is_set():
            changed.clear()
            async for message in self._news(self._jobs.watch.view):
                yield message
                sent = time.monotonic()
                await self._check_when_due()  # a slow reader may take long for all of them
            if self._over:
                return
            await self._check_when_due()
            if time.monotonic() - sent >= HEARTBEAT_SECONDS:
                yield JobHeartbeat(at=datetime.now(timezone.utc))
                sent = time.monotonic()
            # Not wait_for: before Python 3.12 it may swallow a cancel that comes together with the change.
            waking = asyncio.get_running_loop().call_later(CLOSING_POLL_SECONDS, changed.set)
            try:
                await changed.wait()
            finally:
                waking.cancel()

    async def _check_when_due(self) -> None:
        if time.monotonic() - self._checked >= CHECK_SECONDS:
            self._checked = time.monotonic()
            with suppress(TooManyRequests, DatabaseError):  # if it cannot be found out, the next time will do
                await self._check()

    async def _beginning(self, view: JobsView) -> AsyncIterator[Message]:
        """The current states, and where the events start."""
        if self._job:
            job: Job = await self._run(lambda: self._jobs.get(self._job))
            if not job.state.live:
                yield JobSnapshot(job=job)
                async for message in self._all_of_ended():
                    yield message
                return
        for identifier, (version, one) in sorted(view.jobs.items()):
            self._sent[identifier] = version
            if one.state.live and self._job in (0, identifier):
                yield JobSnapshot(job=one)
        oldest, _ = await self._run(lambda: self._jobs.ledger.event_range())
        is_lost = self._after is not None and (
            self._after > view.newest or (not self._job and self._after < oldest - 1)
        )
        if is_lost:
            yield JobResync(seq=view.newest)
        if is_lost or self._after is None:
            self._after = view.newest

    async def _all_of_ended(self) -> AsyncIterator[Message]:
        """The events that the reader wants of the one job, which has ended; always its final event."""
        events: list[JobEvent] = await self._run(lambda: self._jobs.events_of(self._job))
        final = next((event for event in reversed(events) if event.final), None)
        for event in events:
            if event is not final and self._after is not None and event.seq > self._after:
                yield event
        if final is not None:
            async for message in self._end(final):
                yield message
        self._over = True

    async def _news(self, view: JobsView) -> AsyncIterator[Message]:
        """What is new in `view`."""
        if self._after is not None and self._after > view.newest:  # of another ledger, which was lost
            self._after = view.newest
            yield JobResync(seq=view.newest)
        if self._job and self._job not in view.jobs:
            one: Job = await self._run(lambda: self._jobs.get(self._job))
            if not one.state.live:  # it ended so long ago that the watch has forgotten it
                async for message in self._all_of_ended():
                    yield message
                return
        self._sent = {identifier: version for identifier, version in self._sent.items() if identifier in view.jobs}
        for identifier, (version, job) in sorted(view.jobs.items()):
            if self._job in (0, identifier) and self._sent.get(identifier, 0) < version:
                self._sent[identifier] = version
                yield JobSnapshot(job=job)
        async for lines in self._lines():
            yield lines
        is_ended = self._job in view.jobs and not view.jobs[self._job][1].state.live
        while events := await self._events(view.newest):
            for event in events:
                self._after = event.seq
                if is_ended and event.final and event is events[-1] and not await self._events(view.newest):
                    async for message in self._end(event):
                        yield message
                    return
                yield event

    async def _end(self, final: JobEvent) -> AsyncIterator[Message]:
        """The end of the stream of one job: what its log holds still, and the final event as the last message."""
        async for lines in self._lines():
            yield lines
        self._over = True
        yield final

    async def _events(self, until: int) -> list[JobEvent]:
        after = until if self._after is None else self._after
        if after >= until:
            return []
        events: list[JobEvent] = await self._run(lambda: self._jobs.events(after, until, EVENTS_AT_ONCE, self._job))
        return events

    async def _lines(self) -> AsyncIterator[JobLines]:
        """New lines of the one job's log."""
        while self._job:
            lines, offset = await self._run(lambda: self._log.read(LINES_AT_ONCE))
            if not lines:
                return
            yield JobLines(job=self._job, lines=lines, next=offset)
