"""The model of a flow: ordered steps, each with conditions."""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from core.api_schema import CameraId, Event, Name, Priority, Schedule, Slug
from core.api_schema.base import Fraction, require_known
from core.api_schema.event_types import EventType

MAX_DEPTH = 3  # levels of nested choices
ListedPriority = Annotated[Priority, AfterValidator(require_known)]


class _FileModel(BaseModel):
    """A part of the flows file. Unknown keys are refused, so that a typo is not silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(_FileModel):
    """All fields must hold. An empty field always holds; `facts` maps labels to their least number."""

    types: Annotated[tuple[EventType, ...], Field(max_length=64)] = ()
    cameras: Annotated[tuple[CameraId, ...], Field(max_length=256)] = ()
    priority: ListedPriority = Priority.LOW
    score: Fraction = 0
    schedule: Schedule = ()
    facts: Annotated[dict[str, Annotated[int, Field(ge=1)]], Field(max_length=32)] = {}


class _Step(_FileModel):
    """`name` labels the step's result on the event; by default its kind."""

    name: Name | Literal[""] = ""
    when: Condition = Condition()


class NotifyStep(_Step):
    """Notify people according to the notification rules."""

    kind: Literal["notify"]


class KeepClipStep(_Step):
    """Protect clip and snapshot from retention."""

    kind: Literal["keep_clip"]


class RaisePriorityStep(_Step):
    """Raise the event's priority; it is never lowered."""

    kind: Literal["raise_priority"]
    to: ListedPriority


class WebhookStep(_Step):
    """POST the event once, signed when `secret_variable` names the variable of a secret."""

    kind: Literal["webhook"]
    url: Annotated[str, Field(min_length=8, max_length=1000)]
    secret_variable: Annotated[str, Field(pattern=r"^([A-Z][A-Z0-9_]*)?$", max_length=80)] = ""
    seconds: Annotated[float, Field(gt=0, le=60)] = 10


class ChooseStep(_Step):
    """Let the analyser's language model choose which steps follow; `otherwise` when it cannot."""

    kind: Literal["choose"]
    question: Annotated[str, Field(min_length=1, max_length=500)]
    options: Annotated[dict[Slug, tuple[FlowStep, ...]], Field(min_length=2, max_length=8)]
    otherwise: Slug | Literal[""] = ""

    @model_validator(mode="after")
    def _otherwise_is_an_option(self) -> Self:
        if self.otherwise and self.otherwise not in self.options:
            raise ValueError(f"otherwise is not one of the options: {', '.join(self.options)}")
        return self


FlowStep = Annotated[
    Union[NotifyStep, KeepClipStep, RaisePriorityStep, WebhookStep, ChooseStep],  # noqa: UP007 - read by pydantic
    Field(discriminator="kind"),
]
ChooseStep.model_rebuild()


class Flow(_FileModel):
    """The flow waits `wait` seconds for the analyser, then starts without its answer."""

    wait: Annotated[float, Field(ge=0, le=300)] = 10
    steps: Annotated[tuple[FlowStep, ...], Field(max_length=32)]

    @model_validator(mode="after")
    def _not_too_deep(self) -> Self:
        if _depth(self.steps) > MAX_DEPTH:
            raise ValueError(f"choices are nested deeper than {MAX_DEPTH}")
        return self


def label_steps(steps: tuple[FlowStep, ...], prefix: str = "") -> list[tuple[str, FlowStep]]:
    """Each step with its label: its name or kind, with a number where that would not be unique."""
    by_label: dict[str, FlowStep] = {}
    for step in steps:
        plain = f"{prefix}{step.name or step.kind}"
        number, label = 1, plain
        while label in by_label:
            number += 1
            label = f"{plain} {number}"
        by_label[label] = step
    return list(by_label.items())


def count_facts(event: Event) -> dict[str, int]:
    """How many of each label were found in the event's snapshot."""
    counts: dict[str, int] = {}
    for fact in event.facts:
        counts[fact.label] = counts.get(fact.label, 0) + 1
    return counts


def _depth(steps: tuple[FlowStep, ...]) -> int:
    choices = [step for step in steps if isinstance(step, ChooseStep)]
    return max((1 + max(map(_depth, choice.options.values())) for choice in choices), default=0)


DEFAULT_FLOW = Flow(steps=(NotifyStep(kind="notify"),))
