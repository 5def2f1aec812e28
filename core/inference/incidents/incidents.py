"""The coordinator: takes each event from the first fsync to the last message.

    decided → on disk → snapshot → facts → analysis → flow → response time
                                              ↘ too slow: the flow goes on without it, the answer follows when it comes

Nothing here holds up a camera: `decided` returns once the event is on disk, everything else at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from core.errors import XaivaError
from core.files import read_regular
from core.inference.agents.runner import FlowRunner
from core.inference.cameras.observer import Decision
from core.inference.database.errors import DatabaseError
from core.inference.events.ids import new_id
from core.inference.events.logger import EventLogger
from core.inference.events.media import MediaStore
from core.inference.incidents.case import Case, Part
from core.inference.incidents.saving import Saver
from core.inference.incidents.workers import Workers
from core.inference.models.analysis import Analyser, AnalyserDown, BadAnswer, Question, Verdict
from core.inference.schemas import Analysis, AnalysisState, CameraAlert, CameraRequest, Clip, Event, Fact

logger = logging.getLogger(__name__)

FLOW_RETRY = 5.0  # seconds before a flow is run again that the database stopped
STOP_SECONDS = 4.0
CAMERA_ITSELF = "camera"  # the detector of what is wrong with the camera itself


class Incidents:
    """The cameras' observer (`core.inference.cameras.observer.Observer`).

    `find_facts` looks at a snapshot (JPEG); None: nobody does. `Aftercare` does what is not done at once.
    """

    def __init__(
        self,
        event_logger: EventLogger,
        media: MediaStore,
        analyser: Analyser,
        flows: FlowRunner,
        find_facts: Callable[[bytes], Sequence[Fact]] | None = None,
    ) -> None:
        self._logger = event_logger
        self._media = media
        self._analyser = analyser
        self._flows = flows
        self._find_facts = find_facts
        self._saver = Saver()
        self._looking = Workers("incident-look", 2)
        self._acting = Workers("incident-act", 8)
        self._cases: dict[str, Case] = {}
        self._alerts: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()  # guards the two above, and what parts of its way a case has ahead
        self._stopping = False

    def start(self) -> None:
        """Begin."""
        self._saver.start()
        self._looking.start()
        self._acting.start()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Save what waits; flows under way get half of the time to end, the others are run after the next start."""
        self._stopping = True
        end = time.monotonic() + seconds
        until = end - seconds / 2
        looked = self._looking.stop(until - time.monotonic())
        acted = self._acting.stop(until - time.monotonic())
        if not (looked and acted):
            logger.warning("some events' flows did not end in time; they go on after the next start")
        if not self._saver.stop(end - time.monotonic()):
            logger.error("the disk did not take every change of the newest events")

    # -- what the cameras tell ------------------------------------------------------------------------------------

    def decided(self, decision: Decision) -> None:
        """An event begins; on return it is on disk, or, when the disk refuses, in memory until it takes it."""
        camera = decision.camera
        asks = camera.analyse and not self._analyser.off
        event = Event(
            id=decision.event,
            camera=camera.id,
            camera_name=camera.name,
            type=decision.type,
            priority=camera.priority,
            started=decision.started,
            decided=decision.decided,
            score=decision.score,
            threshold=camera.detection.threshold,
            detector=decision.detector,
            zone=decision.zone,
            analysis=Analysis(state=AnalysisState.PENDING if asks else AnalysisState.NONE),
        )
        self._saver.now(partial(self._logger.log, event))
        self._begin(event, camera.flow, decision.picture)

    def ended(self, event: str, ended: datetime, peak: float, picture: bytes | None) -> None:
        """The anomaly is over."""
        self.save(event, ended=ended, score=peak)
        if picture is not None:
            self._looking.put(partial(self._keep_snapshot, event, picture))

    def clip_path(self, event: str) -> Path:
        """Where the event's clip is to be written; its folder exists. Raises XaivaError when it cannot be made."""
        path = self._media.prepare(event)
        self.save(event, clip=Clip(state="recording"))
        return path

    def clip_done(self, event: str, seconds: float, size: int, why: str) -> None:
        """The clip is closed."""
        clip = Clip(state="failed" if why else "done", seconds=seconds, bytes=size, why=why)
        self.save(event, clip=clip)

    def alert(self, camera: CameraRequest, alert: CameraAlert, active: bool) -> None:
        """Something is wrong with the camera itself: an event of the type `camera_<kind>`, until it is over."""
        key = camera.id, alert.kind.value
        now = datetime.now(timezone.utc)
        with self._lock:
            known = self._alerts.pop(key, "")
            ident = known or new_id()
            if active:
                self._alerts[key] = ident
        if known and not active:
            self.save(known, ended=now)
        elif active and not known:
            event = Event(
                id=ident,
                camera=camera.id,
                camera_name=camera.name,
                type=f"camera_{alert.kind.value}",
                priority=camera.priority,
                started=datetime.fromtimestamp(min(alert.since, now.timestamp()), timezone.utc),
                decided=now,
                score=1.0,
                detector=CAMERA_ITSELF,
                analysis=Analysis(state=AnalysisState.DONE, description=alert.reason, backend=CAMERA_ITSELF),
            )
            self._saver.later(partial(self._logger.log, event))
            self._begin(event, camera.flow, None)

    # -- what the aftercare calls -----------------------------------------------------------------------------------

    def begin_due_flows(self) -> None:
        """Begin the flows that have waited long enough."""
        now = time.monotonic()
        with self._lock:
            cases = list(self._cases.values())
        for case in cases:
            if case.is_due(now):
                self._begin_flow(case)

    def under_way(self, event: str) -> bool:
        """Whether something is still to come of this event in this run."""
        with self._lock:
            return event in self._cases

    def run_flow_late(self, event: Event, flow: str) -> None:
        """Run the flow of an event of an earlier run, from where it stopped."""
        self._begin_flow(self._open(Case(event, flow), Part.FLOW))

    def ask_late(self, event: Event) -> None:
        """Ask the analyser about an event whose flow has ended."""
        try:
            picture = read_regular(self._media.snapshot_path(event.id))
        except OSError:
            picture = None  # the facts must do
        case = self._open(Case(event, "", picture, due=None), Part.ANSWER)
        if not self._ask(case):
            self._close(case, Part.ANSWER)

    def save(self, event: str, **fields: object) -> None:
        """Change fields of an event, soon."""
        self._saver.later(partial(self._logger.update, event, **fields))

    # -- one event's way ------------------------------------------------------------------------------------------

    def _begin(self, event: Event, flow: str, picture: bytes | None) -> None:
        case = self._open(Case(event, flow, picture), Part.FLOW)
        self._looking.put(partial(self._look, case), event.priority.rank)

    def _open(self, case: Case, part: Part) -> Case:
        with self._lock:
            case.parts.add(part)
            self._cases[case.event.id] = case
        return case

    def _close(self, case: Case, part: Part) -> None:
        """That part of its way is behind it once what it changed is on disk: till then nobody takes it up anew."""

        def close() -> None:
            with self._lock:
                case.parts.discard(part)
                if not case.parts:
                    self._cases.pop(case.event.id, None)

        self._saver.later(close)

    def _look(self, case: Case) -> None:
        """Snapshot, facts, and the question to the analyser; then the flow, now or when the answer is there."""
        asked = False
        try:
            if case.picture is not None:
                self._keep_snapshot(case.event.id, case.picture)
                if facts := self._facts(case.picture):
                    self._change(case, facts=facts)
            asked = case.event.analysis.state is AnalysisState.PENDING and self._ask(case)
        finally:
            wait = self._flows.flow(case.flow).wait
            if asked and wait:
                case.wait_until(time.monotonic() + wait)
            else:
                self._begin_flow(case)

    def _keep_snapshot(self, event: str, picture: bytes) -> None:
        try:
            self._media.put_snapshot(event, picture)
        except XaivaError as error:
            logger.error("no snapshot of event %s: %s: %s", event, error.what, error.why)
            return
        self.save(event, snapshot=True)

    def _facts(self, picture: bytes) -> list[Fact]:
        if self._find_facts is None:
            return []
        try:
            return list(self._find_facts(picture))
        except Exception as error:  # an event without facts is still an event
            logger.warning("no facts of a snapshot: %s", error, exc_info=not isinstance(error, XaivaError))
            return []

    def _ask(self, case: Case) -> bool:
        """Ask the analyser; False when it cannot be asked now: the event is completed later."""
        picture, case.picture = case.picture, None
        case.asked = time.monotonic()
        try:
            answer = self._analyser.ask(Question(case.event, tuple(case.event.facts), picture))
        except AnalyserDown:
            return False
        self._open(case, Part.ANSWER)
        answer.add_done_callback(lambda answer: self._looking.put(partial(self._take_answer, case, answer)))
        return True

    def _take_answer(self, case: Case, answer: Future[Verdict]) -> None:
        try:
            self._change(case, **self._answered(case, answer.result()))
        except AnalyserDown:
            pass  # asked again once it answers
        except BadAnswer as error:
            self._change(case, analysis=self._analysis(case, AnalysisState.FAILED, why=error.why))
        finally:
            self._begin_flow(case)
            self._close(case, Part.ANSWER)

    def _answered(self, case: Case, verdict: Verdict) -> dict[str, object]:
        analysis = self._analysis(
            case, AnalysisState.DONE, description=verdict.description, confidence=verdict.confidence
        )
        return {"analysis": analysis, "type": verdict.type or case.event.type}

    def _analysis(self, case: Case, state: AnalysisState, **said: object) -> Analysis:
        seconds = round(time.monotonic() - case.asked, 2)
        return Analysis.model_validate({"state": state, "backend": self._analyser.backend, "seconds": seconds, **said})

    def _begin_flow(self, case: Case) -> None:
        """Once, whoever comes first: the analyser's answer or the end of the wait for it."""
        if case.begin_flow():
            self._acting.put(partial(self._run_flow, case), case.event.priority.rank)

    def _run_flow(self, case: Case) -> None:
        if self._stopping:
            return  # the next start finds that it has not ended
        try:
            self._flows.run(case.flow, case.event, partial(self._change, case))
        except DatabaseError as error:
            logger.error("event %s waits for the database: %s", case.event.id, error.why)
            case.run_again_at(time.monotonic() + FLOW_RETRY)
            return
        response = (datetime.now(timezone.utc) - case.event.decided).total_seconds()
        self._change(case, response_time=max(0.0, round(response, 3)))
        self._close(case, Part.FLOW)

    def _change(self, case: Case, **fields: object) -> None:
        case.change(**fields)
        self.save(case.event.id, **fields)
