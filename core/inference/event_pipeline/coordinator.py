"""The coordinator: takes each event from the first fsync to the last message.

    decided → on disk → snapshot → facts → analysis → flow → response time
                                              ↘ too slow: the flow starts without it, and the answer is added later

Nothing here delays a camera: `decided` returns once the event is on disk, every other method at once.
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

from core.api_schema import Analysis, AnalysisState, CameraAlert, CameraRequest, Clip, Event, Fact
from core.errors import XaivaError
from core.files import read_regular
from core.inference.cameras.observer import Decision
from core.inference.database.errors import DatabaseError
from core.inference.event_pipeline.ordered_writer import OrderedWriter
from core.inference.event_pipeline.pending_event import PendingEvent, PendingStep
from core.inference.event_pipeline.priority_pool import PriorityPool
from core.inference.events.ids import new_id
from core.inference.events.logger import EventLogger
from core.inference.events.media_store import MediaStore
from core.inference.flows.runner import FlowRunner
from core.inference.models.analysis import Analyser, AnalyserDown, BadAnswer, Question, Verdict

logger = logging.getLogger(__name__)

FLOW_RETRY_SECONDS = 5.0  # before a flow that failed on the database is retried
STOP_SECONDS = 4.0
CAMERA_DETECTOR = "camera"  # the detector of problems of the camera itself


class EventCoordinator:
    """The cameras' observer (`core.inference.cameras.observer.Observer`).

    `find_facts` detects objects in a snapshot (JPEG), if given. `Recovery` calls back for everything that has to wait.
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
        self._writer = OrderedWriter()
        self._snapshot_pool = PriorityPool("event-snapshot", 2)
        self._flow_pool = PriorityPool("event-flow", 8)
        self._pending: dict[str, PendingEvent] = {}
        self._alert_events: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()  # guards the two above, and the steps of pending events
        self._stopping = False

    def start(self) -> None:
        self._writer.start()
        self._snapshot_pool.start()
        self._flow_pool.start()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Save what waits. Running flows get half of the time; the others run after the next start."""
        self._stopping = True
        deadline = time.monotonic() + seconds
        flows_deadline = deadline - seconds / 2
        snapshots_done = self._snapshot_pool.stop(flows_deadline - time.monotonic())
        flows_done = self._flow_pool.stop(flows_deadline - time.monotonic())
        if not (snapshots_done and flows_done):
            logger.warning("some flows did not finish in time; they continue after the next start")
        if not self._writer.stop(deadline - time.monotonic()):
            logger.error("the disk did not accept every change to the newest events")

    # -- called by the cameras ------------------------------------------------------------------------------------

    def decided(self, decision: Decision) -> None:
        """Start an event; on return it is on disk, or queued in memory while the disk refuses writes."""
        camera = decision.camera
        wants_analysis = camera.analyse and not self._analyser.off
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
            analysis=Analysis(state=AnalysisState.PENDING if wants_analysis else AnalysisState.NONE),
        )
        self._writer.write_now(partial(self._logger.log, event))
        self._start_event(event, camera.flow, decision.picture)

    def ended(self, event: str, ended: datetime, peak: float, picture: bytes | None) -> None:
        """End an event, with its highest score and, if any, a better picture."""
        self.save(event, ended=ended, score=peak)
        if picture is not None:
            self._snapshot_pool.submit(partial(self._keep_snapshot, event, picture))

    def clip_path(self, event: str) -> Path:
        """The path for the event's clip, in an existing folder. Raises XaivaError when that cannot be created."""
        path = self._media.prepare_clip(event)
        self.save(event, clip=Clip(state="recording"))
        return path

    def clip_done(self, event: str, seconds: float, size: int, why: str) -> None:
        clip = Clip(state="failed" if why else "done", seconds=seconds, bytes=size, why=why)
        self.save(event, clip=clip)

    def alert(self, camera: CameraRequest, alert: CameraAlert, active: bool) -> None:
        """Start or end an event about the camera itself, of type `camera_<kind>`."""
        key = camera.id, alert.kind.value
        now = datetime.now(timezone.utc)
        with self._lock:
            open_event = self._alert_events.pop(key, "")
            ident = open_event or new_id()
            if active:
                self._alert_events[key] = ident
        if open_event and not active:
            self.save(open_event, ended=now)
        elif active and not open_event:
            event = Event(
                id=ident,
                camera=camera.id,
                camera_name=camera.name,
                type=f"camera_{alert.kind.value}",
                priority=camera.priority,
                started=datetime.fromtimestamp(min(alert.since, now.timestamp()), timezone.utc),
                decided=now,
                score=1.0,
                detector=CAMERA_DETECTOR,
                analysis=Analysis(state=AnalysisState.DONE, description=alert.reason, backend=CAMERA_DETECTOR),
            )
            self._writer.write_later(partial(self._logger.log, event))
            self._start_event(event, camera.flow, None)

    def inspected(self, event: Event, flow: str, picture: bytes) -> None:
        """Start the event of an inspection, which has ended already; `picture` is its snapshot as JPEG.

        On return it is on disk, or queued in memory while the disk refuses writes.
        """
        state = AnalysisState.NONE if self._analyser.off else AnalysisState.PENDING
        event = event.model_copy(update={"analysis": Analysis(state=state)})
        self._writer.write_now(partial(self._logger.log, event))
        self._start_event(event, flow, picture)

    # -- called by the recovery ------------------------------------------------------------------------------------

    def start_due_flows(self) -> None:
        now = time.monotonic()
        with self._lock:
            pending = list(self._pending.values())
        for event in pending:
            if event.is_flow_due(now):
                self._start_flow(event)

    def is_pending(self, event: str) -> bool:
        """Whether the event has pending steps in this run."""
        with self._lock:
            return event in self._pending

    def resume_flow(self, event: Event, flow: str) -> None:
        """Continue the flow of an event of an earlier run."""
        self._start_flow(self._add_step(PendingEvent(event, flow), PendingStep.FLOW))

    def ask_again(self, event: Event) -> None:
        """Ask the analyser about an event whose flow has finished."""
        try:
            picture = read_regular(self._media.snapshot_path(event.id))
        except OSError:
            picture = None  # the analyser gets only the facts
        pending = self._add_step(PendingEvent(event, "", picture, flow_due=None), PendingStep.ANSWER)
        if not self._ask(pending):
            self._finish_step(pending, PendingStep.ANSWER)

    def save(self, event: str, **fields: object) -> None:
        self._writer.write_later(partial(self._logger.update, event, **fields))

    # -- steps of an event ------------------------------------------------------------------------------------------

    def _start_event(self, event: Event, flow: str, picture: bytes | None) -> None:
        pending = self._add_step(PendingEvent(event, flow, picture), PendingStep.FLOW)
        self._snapshot_pool.submit(partial(self._enrich, pending), event.priority.rank)

    def _add_step(self, pending: PendingEvent, step: PendingStep) -> PendingEvent:
        with self._lock:
            pending.steps.add(step)
            self._pending[pending.event.id] = pending
        return pending

    def _finish_step(self, pending: PendingEvent, step: PendingStep) -> None:
        """Drop the step, but only after its changes are on disk: until then the event must not be recovered again."""

        def discard() -> None:
            with self._lock:
                pending.steps.discard(step)
                if not pending.steps:
                    self._pending.pop(pending.event.id, None)

        self._writer.write_later(discard)

    def _enrich(self, pending: PendingEvent) -> None:
        """Save the snapshot, find facts, ask the analyser; then start the flow, now or with the answer."""
        asked = False
        try:
            if pending.picture is not None:
                self._keep_snapshot(pending.event.id, pending.picture)
                if not pending.event.product and (facts := self._facts_in(pending.picture)):
                    self._update(pending, facts=facts)
            asked = pending.event.analysis.state is AnalysisState.PENDING and self._ask(pending)
        finally:
            wait = self._flows.flow(pending.flow).wait
            if asked and wait:
                pending.wait_until(time.monotonic() + wait)
            else:
                self._start_flow(pending)

    def _keep_snapshot(self, event: str, picture: bytes) -> None:
        try:
            self._media.put_snapshot(event, picture)
        except XaivaError as error:
            logger.error("the snapshot of event %s was not saved: %s", event, error.summary)
            return
        self.save(event, snapshot=True)

    def _facts_in(self, picture: bytes) -> list[Fact]:
        if self._find_facts is None:
            return []
        try:
            return list(self._find_facts(picture))
        except Exception as error:  # an event does not need facts
            expected = isinstance(error, XaivaError)
            logger.warning("object detection in a snapshot failed: %s", error, exc_info=not expected)
            return []

    def _ask(self, pending: PendingEvent) -> bool:
        """Ask the analyser; False when it is down: the recovery asks later."""
        picture, pending.picture = pending.picture, None
        pending.asked_at = time.monotonic()
        try:
            answer = self._analyser.ask(Question(pending.event, tuple(pending.event.facts), picture))
        except AnalyserDown:
            return False
        self._add_step(pending, PendingStep.ANSWER)
        answer.add_done_callback(lambda answer: self._snapshot_pool.submit(partial(self._take_answer, pending, answer)))
        return True

    def _take_answer(self, pending: PendingEvent, answer: Future[Verdict]) -> None:
        try:
            self._update(pending, **self._answer_fields(pending, answer.result()))
        except AnalyserDown:
            pass  # the recovery asks again
        except BadAnswer as error:
            self._update(pending, analysis=self._analysis(pending, AnalysisState.FAILED, why=error.why))
        finally:
            self._start_flow(pending)
            self._finish_step(pending, PendingStep.ANSWER)

    def _answer_fields(self, pending: PendingEvent, verdict: Verdict) -> dict[str, object]:
        analysis = self._analysis(
            pending, AnalysisState.DONE, description=verdict.description, confidence=verdict.confidence
        )
        if pending.event.product:  # what was found on a product stays a defect
            return {"analysis": analysis}
        return {"analysis": analysis, "type": verdict.type or pending.event.type}

    def _analysis(self, pending: PendingEvent, state: AnalysisState, **fields: object) -> Analysis:
        seconds = round(time.monotonic() - pending.asked_at, 2)
        fields |= {"state": state, "backend": self._analyser.backend, "seconds": seconds}
        return Analysis.model_validate(fields)

    def _start_flow(self, pending: PendingEvent) -> None:
        """Start the flow, unless the analyser's answer or the end of the wait has done so already."""
        if pending.claim_flow():
            self._flow_pool.submit(partial(self._run_flow, pending), pending.event.priority.rank)

    def _run_flow(self, pending: PendingEvent) -> None:
        if self._stopping:
            return  # the next start continues it
        try:
            self._flows.run(pending.flow, pending.event, partial(self._update, pending))
        except DatabaseError as error:
            logger.error("event %s waits for the database: %s", pending.event.id, error.why)
            pending.run_again_at(time.monotonic() + FLOW_RETRY_SECONDS)
            return
        response = (datetime.now(timezone.utc) - pending.event.decided).total_seconds()
        self._update(pending, response_time=max(0.0, round(response, 3)))
        self._finish_step(pending, PendingStep.FLOW)

    def _update(self, pending: PendingEvent, **fields: object) -> None:
        pending.change(**fields)
        self.save(pending.event.id, **fields)
