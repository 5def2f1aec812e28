"""Recovery: starts overdue flows, completes pending analyses, and finishes the events of an earlier run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from core.api_schema import Analysis, AnalysisState, Clip, Event
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.event_pipeline import recovery_queries
from core.inference.event_pipeline.coordinator import EventCoordinator
from core.inference.events.clips import clip_seconds
from core.inference.events.logger import EventLogger
from core.inference.events.media_store import MediaStore
from core.inference.models.analysis import Analyser

logger = logging.getLogger(__name__)

CLOCK_SECONDS = 0.25  # seconds between checks for due flows
ROUND_SECONDS = 5.0  # between two queries for pending events
MAX_EVENT_AGE = timedelta(hours=24)  # older events get neither messages nor an analysis
FLUSH_SECONDS = 5.0
STOP_SECONDS = 2.0
_EPOCH = datetime.fromtimestamp(0, timezone.utc)


class Recovery:
    """Two threads: one watches the clock, one the database, which may be slow.

    `flow_of` returns the name of the flow that an event goes through.
    """

    def __init__(
        self,
        database: Database,
        event_logger: EventLogger,
        media: MediaStore,
        analyser: Analyser,
        coordinator: EventCoordinator,
        flow_of: Callable[[Event], str],
    ) -> None:
        self._database = database
        self._logger = event_logger
        self._media = media
        self._analyser = analyser
        self._coordinator = coordinator
        self._flow_of = flow_of
        self._started = datetime.now(timezone.utc)  # older events are of an earlier run
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch_clock, name="event-clock", daemon=True),
            threading.Thread(target=self._watch_database, name="event-recovery", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _watch_clock(self) -> None:
        while not self._stopping.wait(CLOCK_SECONDS):
            self._coordinator.start_due_flows()

    def _watch_database(self) -> None:
        recovered = False
        while not self._stopping.is_set():
            try:
                recovered = recovered or self._recover()
                self._complete_analyses()
            except DatabaseError as error:
                logger.debug("recovery waits until the database answers: %s", error.why)
            except Exception:  # the thread must survive
                logger.exception("recovery failed and will be tried again")
            self._stopping.wait(ROUND_SECONDS)

    def _recover(self) -> bool:
        """Finish the events of an earlier run, once the database has its spool; False when there are more."""
        if not self._logger.flush(FLUSH_SECONDS):
            return False
        interrupted = recovery_queries.interrupted_events(self._database, self._started)
        for ident in interrupted:
            self._end_interrupted(ident)
        since = datetime.now(timezone.utc) - MAX_EVENT_AGE
        unfinished_flows = recovery_queries.unfinished_flows(self._database, since, self._started)
        for ident in unfinished_flows:
            event = self._logger.get(ident)
            if event is not None and event.response_time is None and not self._coordinator.is_pending(ident):
                self._coordinator.resume_flow(event, self._flow_of(event))
        pending = recovery_queries.pending_analyses(self._database, _EPOCH)
        given_up = sum(map(self._give_up_analysis, pending))
        return max(len(interrupted), len(unfinished_flows), given_up) < recovery_queries.MAX_EVENTS

    def _end_interrupted(self, ident: str) -> None:
        """End an event that was open when the service was killed; its clip is what was recorded until then."""
        event = self._logger.get(ident)
        if event is None:
            return
        if event.clip.state == "recording":
            clip, end = self._interrupted_clip(event)
            self._coordinator.save(ident, clip=clip, ended=event.ended or end)
        elif event.ended is None:
            self._coordinator.save(ident, ended=event.decided)

    def _interrupted_clip(self, event: Event) -> tuple[Clip, datetime]:
        try:
            clip_stat = self._media.clip_path(event.id).stat()
        except OSError:
            return Clip(state="failed", why="the service stopped before the clip began"), event.decided
        end = max(event.decided, datetime.fromtimestamp(clip_stat.st_mtime, timezone.utc))
        why = "the service stopped while the clip was being recorded"
        seconds = clip_seconds(self._media.clip_path(event.id))
        if not seconds:
            return Clip(state="failed", bytes=clip_stat.st_size, why=f"{why}, before the first picture"), end
        return Clip(state="done", seconds=seconds, bytes=clip_stat.st_size, why=why), end

    def _complete_analyses(self) -> None:
        """Ask the analyser about events with a pending analysis, as many as its queue has room for."""
        room = self._analyser.room()
        for ident in recovery_queries.pending_analyses(self._database, datetime.now(timezone.utc) - 2 * MAX_EVENT_AGE):
            if self._coordinator.is_pending(ident) or self._give_up_analysis(ident):
                continue
            if not room:
                return
            event = self._logger.get(ident)
            if event is not None and event.analysis.state is AnalysisState.PENDING:
                self._coordinator.ask_again(event)
                room -= 1

    def _give_up_analysis(self, ident: str) -> bool:
        """Mark the analysis failed if it can no longer succeed; returns whether it did."""
        event = self._logger.get(ident)
        if event is None or event.analysis.state is not AnalysisState.PENDING:
            return False
        if self._analyser.off:
            why = "the analyser was switched off before it answered"
        elif datetime.now(timezone.utc) - event.decided > MAX_EVENT_AGE:
            why = "the analyser did not answer within 24 hours"
        else:
            return False
        self._coordinator.save(ident, analysis=Analysis(state=AnalysisState.FAILED, why=why))
        return True
