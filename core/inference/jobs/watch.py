"""Watches the ledger of jobs for all streams at once: one reader, however many listen."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.api_schema import Job
from core.errors import XaivaError
from core.inference.jobs.conversion import job_of
from core.operations.ledger import Ledger
from core.operations.model import Operation, OperationState

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
EVENTS_AT_ONCE = 500
MAX_ENDED = 100  # jobs that have ended and whose last state is still known to the streams


@dataclass(frozen=True)
class JobsView:
    """The jobs at one moment. A reader that remembers `version` knows later which of them have changed."""

    version: int = 0
    newest: int = 0
    """The seq of the newest event; the jobs are at least as new."""
    jobs: Mapping[int, tuple[int, Job]] = field(default_factory=dict)
    """By id: the version that changed it last, and the job. All live ones, and the newest that ended."""


class JobWatch:
    """Keeps a `JobsView` while a job is live or anybody listens; it does nothing otherwise. Thread-safe."""

    def __init__(self, ledger: Callable[[], Ledger], release_ended: Callable[[], None]) -> None:
        self._open_ledger = ledger
        self._release_ended = release_ended  # as in `JobService`
        self._view: JobsView | None = None
        self._trouble = ""
        self._refresh_lock = threading.Lock()
        self._change = threading.Condition()  # guards what follows
        self._listeners: set[Callable[[], None]] = set()
        self._woken = False
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to watch; jobs may be live already."""
        self._woken = True
        self._thread = threading.Thread(target=self._run, name="job-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        with self._change:
            self._stopped = True
            self._change.notify_all()

    def wake(self) -> None:
        """A job may have become live: watch it."""
        with self._change:
            self._woken = True
            self._change.notify_all()

    def listen(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` in the watch's thread after every look at the ledger. Returns what ends that."""
        with self._change:
            self._listeners.add(on_change)
            self._change.notify_all()

        def end() -> None:
            with self._change:
                self._listeners.discard(on_change)

        return end

    @property
    def _ledger(self) -> Ledger:
        return self._open_ledger()

    @property
    def view(self) -> JobsView:
        """What the last look saw."""
        return self._view or JobsView()

    def refresh(self) -> JobsView:
        """Look at the ledger now. Raises XaivaError when it cannot be read."""
        with self._refresh_lock:
            before = self._view
            if before and self._ledger.event_range()[1] < before.newest:  # it was lost, and this is another one
                before = JobsView(before.version)
            newest, touched = self._new_events(before)
            operations = {operation.id: operation for operation in self._ledger.list(limit=-1, live_only=True)}
            known = before.jobs if before else {}
            for identifier in touched | {one for one, (_, job) in known.items() if job.state.live}:
                if identifier not in operations and (operation := self._ledger.find(identifier)):
                    operations[identifier] = operation
            self._release_ended()
            self._view = self._next_view(before or JobsView(), newest, operations)
            return self._view

    def _new_events(self, before: JobsView | None) -> tuple[int, set[int]]:
        """The seq of the newest event, and the ids of the jobs that have new ones."""
        if before is None:
            return self._ledger.event_range()[1], set()
        newest, touched = before.newest, set()
        while events := self._ledger.stored_events(newest, EVENTS_AT_ONCE):
            newest = events[-1].seq
            touched |= {event.operation for event in events}
        return newest, touched

    def _next_view(self, before: JobsView, newest: int, operations: Mapping[int, Operation]) -> JobsView:
        version = before.version + 1
        jobs = dict(before.jobs)
        for identifier, operation in operations.items():
            waits = operation.state is OperationState.QUEUED
            job = job_of(operation, () if waits else self._ledger.stages(identifier))
            known = jobs.get(identifier)
            if known is None or not _same(known[1], job):
                jobs[identifier] = (version, job)
        ended = sorted(identifier for identifier, (_, job) in jobs.items() if not job.state.live)
        for identifier in ended[:-MAX_ENDED]:
            del jobs[identifier]
        return JobsView(version, newest, jobs)

    def _run(self) -> None:
        while True:
            with self._change:
                while not (self._stopped or self._woken or self._listeners):
                    self._change.wait()
                if self._stopped:
                    return
                self._woken = False
            live = self._look()
            with self._change:
                self._woken = self._woken or live
                listeners = list(self._listeners)
            for tell in listeners:
                tell()
            with self._change:
                self._change.wait_for(lambda: self._stopped, POLL_SECONDS)

    def _look(self) -> bool:
        """Look at the ledger; whether a job is live. The ledger ends what has died and starts what has room then."""
        try:
            view = self.refresh()
            self._trouble = ""
            return any(job.state.live for _, job in view.jobs.values())
        except XaivaError as error:
            trouble = error.summary
        except Exception as error:
            logger.debug("a fault in watching the jobs", exc_info=True)
            trouble = f"an unexpected error: {type(error).__name__}: {error}"
        if trouble != self._trouble:  # not every time
            logger.error("the jobs cannot be watched: %s", trouble)
        self._trouble = trouble
        return any(job.state.live for _, job in self.view.jobs.values())


def _same(one: Job, other: Job) -> bool:
    """Whether two states of a job differ in nothing but the time it has worked."""
    return one.model_copy(update={"seconds": 0.0}) == other.model_copy(update={"seconds": 0.0})
