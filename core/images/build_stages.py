"""Groups BuildKit's steps into the stages of the Dockerfile, with state, time, and whether the cache had them."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from core.images.buildkit_progress import BuildEvent, OutputLine, Transfer, Vertex
from core.progress import Progress, Stage, StageState

_STEP_NAME = re.compile(
    r"\[(?:\S+ )?([A-Za-z0-9][\w.-]*) +(\d+)/(\d+)\] (.*)", re.S
)  # "[linux/amd64 common 1/2] RUN …"
_INTERNAL = re.compile(r"\[internal\] (.*)", re.S)
CONTEXT_STAGE = "context"  # loading the Dockerfile and the artifacts
EXPORT_STAGE = "export"
_LAST_LINES = 3  # of a step, for its error message
_TITLES = {CONTEXT_STAGE: "load the build context", EXPORT_STAGE: "write the image"}


@dataclass
class BuildStep:
    """One step of a stage, as the engine last reported it."""

    id: str
    stage: str
    title: str
    vertex: Vertex
    transfers: dict[str, Transfer] = field(default_factory=dict)
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))

    @property
    def state(self) -> StageState:
        """The state of the step, from the times, the cache mark and the error of its vertex."""
        if self.vertex.error:
            return StageState.CANCELLED if "canceled" in self.vertex.error else StageState.FAILED
        if self.vertex.cached:
            return StageState.CACHED
        if self.vertex.completed:
            return StageState.DONE
        return StageState.RUNNING if self.vertex.started else StageState.WAITING

    @property
    def seconds(self) -> float:
        """How many seconds it took; 0 while it runs."""
        return max(0.0, self.vertex.completed - self.vertex.started) if self.vertex.completed else 0.0


class StageTree:
    """Turns the events of one build into stages, steps and lines for a `Progress`.

    A stage's id is its name in the Dockerfile; a step's is `<stage>/<number>`, its parent the stage.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._totals: dict[str, int] = {}
        self.steps: dict[str, BuildStep] = {}  # by BuildKit's digest, in the order in which they were reported
        self.client_output: list[str] = []  # lines of buildx itself

    def apply_event(self, event: BuildEvent) -> None:
        """Update the stages and report the change."""
        if isinstance(event, Vertex):
            self._apply_vertex(event)
        elif isinstance(event, Transfer):
            step = self.steps.get(event.vertex)
            if step:
                step.transfers[event.id] = event
                self._report(step)
        else:
            self._apply_line(event)

    def stage_names(self) -> list[str]:
        """The names of the stages reported so far, in order."""
        return list(dict.fromkeys(step.stage for step in self.steps.values()))

    def steps_of(self, stage: str) -> list[BuildStep]:
        """The steps of a stage, in the order in which they were reported."""
        return [step for step in self.steps.values() if step.stage == stage]

    def failed_step(self) -> BuildStep | None:
        """The step that failed; None when no step did."""
        return next((step for step in self.steps.values() if step.state is StageState.FAILED), None)

    def end_running(self, cancelled: bool) -> None:
        """Mark stages that are still running as cancelled or failed, because the build has ended."""
        state = StageState.CANCELLED if cancelled else StageState.FAILED
        for name in self.stage_names():
            if self.summary(name).state is StageState.RUNNING:
                self._progress.stage(self.summary(name).model_copy(update={"state": state}))

    def summary(self, name: str) -> Stage:
        """The state of a whole stage; `done` and `total` count steps."""
        steps = self.steps_of(name)
        total = max(self._totals.get(name, 0), len(steps))
        ended = [step for step in steps if step.vertex.completed or step.vertex.cached]
        started = min((s.vertex.started for s in steps if s.vertex.started), default=0.0)
        complete = len(ended) == total
        running = next((s for s in steps if s.state is StageState.RUNNING), None)
        return Stage(
            id=name,
            title=_TITLES.get(name, name),
            state=_combined_state([step.state for step in steps], complete),
            done=len(ended),
            total=total,
            unit="steps",
            detail=running.title[:120] if running else "",
            started=started,
            ended=max((s.vertex.completed for s in steps), default=0.0) if complete else 0.0,
        )

    def _apply_vertex(self, vertex: Vertex) -> None:
        step = self.steps.get(vertex.id)
        if step is None:
            step = self.steps[vertex.id] = self._new_step(vertex)
        elif step.vertex == vertex:
            return
        # A step with a second consumer is reported as started again: keep its first start time.
        started = step.vertex.started or vertex.started
        step.vertex = Vertex(
            vertex.id, vertex.name, started, vertex.completed, vertex.cached or step.vertex.cached, vertex.error
        )
        if vertex.error:
            self._progress.log(vertex.error, step.stage)
        self._report(step)

    def _new_step(self, vertex: Vertex) -> BuildStep:
        if match := _STEP_NAME.match(vertex.name):
            stage, number, total, title = match[1], match[2], int(match[3]), match[4]
            self._totals[stage] = total
            return BuildStep(f"{stage}/{number}", stage, " ".join(title.split()), vertex)
        internal = _INTERNAL.match(vertex.name)
        stage = CONTEXT_STAGE if internal else EXPORT_STAGE
        count = sum(step.stage == stage for step in self.steps.values())
        return BuildStep(f"{stage}/{count + 1}", stage, internal[1] if internal else vertex.name, vertex)

    def _report(self, step: BuildStep) -> None:
        sized = [transfer for transfer in step.transfers.values() if transfer.total]
        self._progress.stage(
            Stage(
                id=step.id,
                title=step.title,
                state=step.state,
                done=sum(transfer.current for transfer in sized or step.transfers.values()),
                total=sum(transfer.total for transfer in sized),
                unit="bytes" if step.transfers else "",
                started=step.vertex.started,
                ended=step.vertex.completed,
                parent=step.stage,
            )
        )
        self._progress.stage(self.summary(step.stage))

    def _apply_line(self, line: OutputLine) -> None:
        step = self.steps.get(line.vertex)
        if line.text.strip():
            (step.last_lines if step else self.client_output).append(line.text)
        self._progress.log(line.text, step.stage if step else "")


def _combined_state(states: list[StageState], complete: bool) -> StageState:
    for decisive in (StageState.FAILED, StageState.CANCELLED):
        if decisive in states:
            return decisive
    if complete:
        # FROM and other instant steps are never marked as cached, so ignore them here.
        return StageState.CACHED if StageState.CACHED in states and StageState.DONE not in states else StageState.DONE
    return StageState.RUNNING if any(state is not StageState.WAITING for state in states) else StageState.WAITING
