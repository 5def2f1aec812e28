"""Runs a flow for an event: each step's result is saved on the event before the next step starts."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Protocol
from zoneinfo import ZoneInfo

from core.api_schema import ActionResult, Event
from core.errors import XaivaError
from core.inference.database.errors import DatabaseError
from core.inference.flows.flow import (
    ChooseStep,
    Condition,
    Flow,
    FlowStep,
    KeepClipStep,
    NotifyStep,
    RaisePriorityStep,
    WebhookStep,
    count_facts,
    label_steps,
)
from core.inference.flows.flow_file import DEFAULT_FLOW_NAME
from core.inference.http_post import post
from core.inference.models.analysis import Analyser
from core.inference.notifications.notifier import Notifier, NotifyOutcome
from core.inference.notifications.signature import webhook_headers
from core.inference.schedule import is_open

logger = logging.getLogger(__name__)

DONE, FAILED, SKIPPED = "done", "failed", "skipped"
_CHOICE_PREFIX = "chose "


class SaveFields(Protocol):
    """Saves changed fields of the event."""

    def __call__(self, **fields: object) -> None: ...


class FlowRunner:
    """Holds all flows. Thread-safe."""

    def __init__(self, flows: Mapping[str, Flow], notifier: Notifier, analyser: Analyser, zone: ZoneInfo) -> None:
        self._flows = flows
        self._notifier = notifier
        self._analyser = analyser
        self._zone = zone

    def flow(self, name: str) -> Flow:
        """The flow of that name, or `default` if there is none."""
        return self._flows.get(name) or self._flows[DEFAULT_FLOW_NAME]

    def run(self, name: str, event: Event, save: SaveFields) -> Event:
        """Run the steps that have no result on the event yet; returns the changed event.

        A failed step is recorded on the event, and the next one runs. Raises DatabaseError when the outbox cannot be
        written: run the flow again later, so that the message is not lost.
        """
        run = _FlowRun(self, event, save)
        if name not in self._flows:
            run.add_result("flow", FAILED, f"there is no flow {name}; {DEFAULT_FLOW_NAME} ran instead")
        run.run_steps(label_steps(self.flow(name).steps))
        return run.event

    def unmet_condition(self, condition: Condition, event: Event) -> str:
        """Why a condition does not hold, as a sentence; empty when it holds."""
        if condition.types and event.type not in condition.types:
            return f"type {event.type} is not among {', '.join(condition.types)}"
        if condition.cameras and event.camera not in condition.cameras:
            return f"camera {event.camera} is not among {', '.join(condition.cameras)}"
        if event.priority.rank < condition.priority.rank:
            return f"priority {event.priority.value} is below {condition.priority.value}"
        if event.score < condition.score:
            return f"score {event.score:.2f} is below {condition.score:.2f}"
        counts = count_facts(event)
        for label, least in condition.facts.items():
            if counts.get(label, 0) < least:
                return f"{counts.get(label, 0)} {label} found, at least {least} required"
        return "" if is_open(condition.schedule, event.decided, self._zone) else "the event is outside the schedule"

    def run_step(self, step: FlowStep, label: str, event: Event, save: SaveFields) -> tuple[str, dict[str, object]]:
        """Run a step other than a choice; returns a sentence about it, and the event fields it changed."""
        if isinstance(step, NotifyStep):
            return _describe(self._notifier.notify(event)), {}
        if isinstance(step, KeepClipStep):
            save(protected=True)
            return "clip and snapshot are kept", {"protected": True}
        if isinstance(step, RaisePriorityStep):
            if step.to.rank <= event.priority.rank:
                return f"priority is already {event.priority.value}", {}
            save(priority=step.to)
            return f"priority raised to {step.to.value}", {"priority": step.to}
        assert isinstance(step, WebhookStep)
        return _call_webhook(step, label, event), {}

    def choose_option(self, step: ChooseStep, event: Event) -> tuple[str, str]:
        """The option to take, and why it is not the model's choice (empty if it is). Raises XaivaError."""
        try:
            return self._analyser.choose(step.question, event, tuple(step.options)), ""
        except XaivaError as error:
            if not step.otherwise:
                raise
            return step.otherwise, f" without the analyser: {error.why}"


class _FlowRun:
    """One run of one flow for one event."""

    def __init__(self, runner: FlowRunner, event: Event, save: SaveFields) -> None:
        self._runner = runner
        self._save = save
        self.event = event

    def run_steps(self, steps: list[tuple[str, FlowStep]]) -> None:
        for label, step in steps:
            result = next((action for action in self.event.actions if action.step == label), None)
            if isinstance(step, ChooseStep):
                self._run_choice(label, step, result)
            elif result is None:
                self._run_step(label, step)

    def add_result(self, label: str, state: str, detail: str, seconds: float = 0) -> None:
        """Record a step's result on the event, once."""
        if any(action.step == label for action in self.event.actions):
            return
        outcome = ActionResult(
            step=label, state=state, detail=detail, seconds=round(seconds, 3), at=datetime.now(timezone.utc)
        )
        actions = [*self.event.actions, outcome]
        self.event = self.event.model_copy(update={"actions": actions})
        self._save(actions=actions)

    def _run_step(self, label: str, step: FlowStep) -> None:
        def work() -> str:
            detail, changed = self._runner.run_step(step, label, self.event, self._save)
            self.event = self.event.model_copy(update=changed)
            return detail

        self._run_guarded(label, step, work)

    def _run_choice(self, label: str, step: ChooseStep, result: ActionResult | None) -> None:
        def work() -> str:
            option, why = self._runner.choose_option(step, self.event)
            return f"{_CHOICE_PREFIX}{option}{why}"

        if result is None:
            self._run_guarded(label, step, work)
            result = self.event.actions[-1]
        if result.state == DONE:
            option = result.detail.removeprefix(_CHOICE_PREFIX).partition(" ")[0]
            self.run_steps(label_steps(step.options.get(option, ()), f"{label}.{option}."))

    def _run_guarded(self, label: str, step: FlowStep, work: Callable[[], str]) -> None:
        """Run a step if its condition holds, and record the result. Raises DatabaseError."""
        if unmet_condition := self._runner.unmet_condition(step.when, self.event):
            self.add_result(label, SKIPPED, unmet_condition)
            return
        began = time.monotonic()
        try:
            state, detail = DONE, work()
        except DatabaseError:
            raise
        except XaivaError as error:
            state, detail = FAILED, error.summary
        except Exception as error:  # a step must not end the flow
            logger.exception("event %s: step %s failed", self.event.id, label)
            state, detail = FAILED, f"an unexpected error ({type(error).__name__}); see the log"
        self.add_result(label, state, detail, time.monotonic() - began)


def _describe(outcome: NotifyOutcome) -> str:
    if outcome.suspended:
        return f"nobody was notified: the camera is suspended until {outcome.suspended:%Y-%m-%d %H:%M} UTC"
    if not outcome.rules:
        return "no rule matches"
    messages = f"{outcome.messages} message{'' if outcome.messages == 1 else 's'}"
    return f"{messages} by {', '.join(outcome.rules)}"


def _call_webhook(step: WebhookStep, label: str, event: Event) -> str:
    payload = {"step": label, "event": event.model_dump(mode="json")}
    content = json.dumps(payload, separators=(",", ":"), sort_keys=True).encode()
    headers = webhook_headers(f"{event.id}/{label}", content, step.secret_variable)
    reply = post(step.url, content, headers, step.seconds, "Webhook", limit=1 << 12)
    if not reply.is_success:
        raise XaivaError("Webhook", f"it answers with status {reply.status}")
    return f"accepted with status {reply.status}"
