"""Recovery: continues overdue flows, outstanding analyses, and what an earlier run left unfinished."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from core.inference.agents.flow_file import DEFAULT_NAME
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.events.clips import length_of
from core.inference.events.logger import EventLogger
from core.inference.events.media import MediaStore
from core.inference.incidents import unfinished
from core.inference.incidents.incidents import Incidents
from core.inference.models.analysis import Analyser
from core.inference.schemas import Analysis, AnalysisState, CameraRequest, Clip, Event

logger = logging.getLogger(__name__)

TICK = 0.25  # seconds between two looks at what has waited long enough
ROUND_SECONDS = 5.0  # between two looks into the database
WORTH_TELLING = timedelta(hours=24)  # older events get neither messages nor an analysis any more
FLUSH_SECONDS = 5.0
STOP_SECONDS = 2.0
_EVER = datetime.fromtimestamp(0, timezone.utc)


class Aftercare:
    """Two threads: one looks at the clock, one at the database, which may not answer for a while.

    `camera` gives the settings of a camera by its id, None when there is no such camera any more.
    """

    def __init__(
        self,
        database: Database,
        event_logger: EventLogger,
        media: MediaStore,
        analyser: Analyser,
        incidents: Incidents,
        camera: Callable[[str], CameraRequest | None],
    ) -> None:
        self._database = database
        self._logger = event_logger
        self._media = media
        self._analyser = analyser
        self._incidents = incidents
        self._camera = camera
        self._since = datetime.now(timezone.utc)  # what was decided before is an earlier run's
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch_clock, name="incident-clock", daemon=True),
            threading.Thread(target=self._watch_database, name="incident-aftercare", daemon=True),
        ]

    def start(self) -> None:
        """Begin, after the incidents."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, before the incidents do."""
        self._stopping.set()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _watch_clock(self) -> None:
        while not self._stopping.wait(TICK):
            self._incidents.begin_due_flows()

    def _watch_database(self) -> None:
        taken_up = False
        while not self._stopping.is_set():
            try:
                taken_up = taken_up or self._take_up()
                self._complete()
            except DatabaseError as error:
                logger.debug("nothing is taken up while the database does not answer: %s", error.why)
            except Exception:  # the thread must go on
                logger.exception("taking up what waits failed")
            self._stopping.wait(ROUND_SECONDS)

    def _take_up(self) -> bool:
        """What an earlier run left, once its spool is in the database; False when there is more of it."""
        if not self._logger.flush(FLUSH_SECONDS):
            return False
        cut_off = unfinished.cut_off(self._database, self._since)
        for ident in cut_off:
            self._end(ident)
        since = datetime.now(timezone.utc) - WORTH_TELLING
        without = unfinished.without_end_of_flow(self._database, since, self._since)
        for ident in without:
            event = self._logger.get(ident)
            if event is not None and event.response_time is None and not self._incidents.under_way(ident):
                camera = self._camera(event.camera)
                self._incidents.run_flow_late(event, camera.flow if camera else DEFAULT_NAME)
        given_up = sum(self._give_up_hopeless(ident) for ident in unfinished.unanswered(self._database, _EVER))
        return max(len(cut_off), len(without), given_up) < unfinished.MOST

    def _end(self, ident: str) -> None:
        """An event that went on when the service was killed ended then; its clip is as long as it got."""
        event = self._logger.get(ident)
        if event is None:
            return
        if event.clip.state == "recording":
            clip, end = self._what_there_is(event)
            self._incidents.save(ident, clip=clip, ended=event.ended or end)
        elif event.ended is None:
            self._incidents.save(ident, ended=event.decided)

    def _what_there_is(self, event: Event) -> tuple[Clip, datetime]:
        try:
            found = self._media.clip_path(event.id).stat()
        except OSError:
            return Clip(state="failed", why="the service was cut off before it began"), event.decided
        end = max(event.decided, datetime.fromtimestamp(found.st_mtime, timezone.utc))
        why = "the service was cut off while it was recorded"
        seconds = length_of(self._media.clip_path(event.id))
        if not seconds:
            return Clip(state="failed", bytes=found.st_size, why=f"{why}, before its first picture"), end
        return Clip(state="done", seconds=seconds, bytes=found.st_size, why=why), end

    def _complete(self) -> None:
        """Ask about events whose analysis is still to come, as many as the analyser has room for."""
        room = self._analyser.room()
        for ident in unfinished.unanswered(self._database, datetime.now(timezone.utc) - 2 * WORTH_TELLING):
            if self._incidents.under_way(ident) or self._give_up_hopeless(ident):
                continue
            if not room:
                return
            event = self._logger.get(ident)
            if event is not None and event.analysis.state is AnalysisState.PENDING:
                self._incidents.ask_late(event)
                room -= 1

    def _give_up_hopeless(self, ident: str) -> bool:
        """Mark an event that nobody will analyse any more; False when there is still hope."""
        event = self._logger.get(ident)
        if event is None or event.analysis.state is not AnalysisState.PENDING:
            return False
        if self._analyser.off:
            why = "the analyser was switched off before it answered"
        elif datetime.now(timezone.utc) - event.decided > WORTH_TELLING:
            why = "the analyser did not answer within 24 hours"
        else:
            return False
        self._incidents.save(ident, analysis=Analysis(state=AnalysisState.FAILED, why=why))
        return True
