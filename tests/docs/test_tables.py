"""Tables and lists of the documentation that repeat a list of the code: both have the same entries and defaults."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from core.api_schema import AlertKind, AnalysisState, CameraRequest, CameraState, ChannelKind, Role, RuleRequest
from core.errors import Cancelled, ChecksFailed, InputError, XaivaError
from core.inference.cameras.failures import Cause
from core.inference.flows.flow import Condition, FlowStep
from core.inference.inspection.encoder import EncoderDescription
from core.inference.models import registry
from core.inference.models.onnx_backbone import BackboneDescription
from core.inference.models.onnx_detector import ModelDescription
from core.inference.settings import PREFIX, ServiceSettings
from core.operations.model import OperationState
from core.presets.compat.checks import CODES
from core.presets.fields import RESERVED_LAYERS
from core.presets.model import BuildOptions, Preset, Run
from core.site_operations import KINDS
from core.stacks.model import ServiceExtension
from core.stacks.plan import StepKind
from tests.docs.pages import ROOT, Cell, check, page

PRESETS = {path.stem for path in (ROOT / "presets").glob("*.json")} - {"preset.schema"}
STEPS = {get_args(kind.model_fields["kind"].annotation)[0] for kind in get_args(get_args(FlowStep)[0])}


def _values(kind: type[Enum]) -> set[str]:
    return {str(member.value) for member in kind}


def _choices(field: str) -> set[str]:
    return set(get_args(ServiceSettings.model_fields[field].annotation))


# Page, heading, number of the table under it, and the expected code spans of its first column.
TABLES: list[tuple[str, str, int, set[str]]] = [
    ("docs/presets.md", "Shipped presets", 0, PRESETS),
    ("docs/presets.md", "`run`", 0, set(Run.model_fields)),
    ("docs/containers.md", "Run settings", 0, set(Run.model_fields)),
    ("docs/presets.md", "Will it work there?", 0, set(CODES)),
    ("docs/api.md", "Access", 0, _values(Role)),
    ("docs/cameras.md", "States", 0, _values(CameraState)),
    ("docs/cameras.md", "Reasons", 0, _values(Cause)),
    ("docs/cameras.md", "Alerts", 0, _values(AlertKind)),
    ("docs/detectors.md", "Detectors", 0, set(registry.detector_types())),
    ("docs/notifications.md", "The analyser", 0, _choices("analyser")),
    ("docs/notifications.md", "The analyser", 2, _values(AnalysisState)),
    ("docs/notifications.md", "Flows", 0, STEPS),
    ("docs/notifications.md", "Channels", 0, _values(ChannelKind)),
    ("docs/stacks.md", "Read a plan", 0, _values(StepKind)),
    ("docs/stacks.md", "`x-xaiva`", 0, set(ServiceExtension.model_fields)),
]

# Page, heading, and code spans that must be under it.
LISTS: list[tuple[str, str, Iterable[str]]] = [
    ("docs/operations.md", "Operations", KINDS),
    ("docs/cli.md", "Long-running work", KINDS),
    ("docs/architecture.md", "How the rooms meet", KINDS),
    ("docs/presets.md", "`layers` and `pins`", RESERVED_LAYERS),
    ("docs/presets.md", "`build_options`", BuildOptions.model_fields),
    ("docs/notifications.md", "Flows", Condition.model_fields),
]

# Page, heading of a table of fields and their defaults, the model, and the prefix of its fields' names.
DEFAULTS: list[tuple[str, str, type[BaseModel], str]] = [
    ("docs/cameras.md", "Settings", CameraRequest, ""),
    ("docs/detectors.md", "`onnx`: your own model", ModelDescription, ""),
    ("docs/indexes.md", "The image encoder", EncoderDescription, ""),
    ("docs/memory-banks.md", "Another network", BackboneDescription, ""),
    ("docs/notifications.md", "Rules", RuleRequest, ""),
    ("docs/events.md", "Retention", ServiceSettings, PREFIX),
]


def _case(value: object) -> str | None:
    return value if isinstance(value, str) else None


@pytest.mark.parametrize(("name", "heading", "number", "entries"), TABLES, ids=_case)
def test_a_table_has_the_entries_of_the_code(name: str, heading: str, number: int, entries: set[str]) -> None:
    documented = page(name).table(heading, number).column(0)
    check(f"{span.place}: {span.text}: the code has no such entry" for span in documented if span.text not in entries)
    assert entries - {span.text for span in documented} == set()


@pytest.mark.parametrize(("name", "heading", "entries"), LISTS, ids=_case)
def test_a_list_has_the_entries_of_the_code(name: str, heading: str, entries: Iterable[str]) -> None:
    assert set(entries) - {span.text for span in page(name).spans if span.heading == heading} == set()


def test_the_states_of_operations_are_in_their_picture() -> None:
    (picture,) = (block for block in page("docs/operations.md").blocks if block.heading == "States")
    assert set(re.findall(r"(?:^|► )([a-z]+)", picture.text, re.MULTILINE)) == _values(OperationState)


def test_the_exit_codes_are_those_of_the_errors() -> None:
    documented = {int(row[0].source.text) for row in page("docs/cli.md").table("Exit codes").rows}
    assert documented == {0} | {error.exit_code for error in (XaivaError, InputError, ChecksFailed, Cancelled)}


def test_the_codes_of_checks_say_what_they_are_about() -> None:
    check(
        f"{row[0].source.place}: {code}: {CODES.get(code)}"
        for row in page("docs/presets.md").table("Will it work there?").rows
        for code in [row[0].spans[0].text]
        if row[1].source.text != CODES.get(code)
    )


def test_every_field_of_a_preset_is_explained() -> None:
    presets = page("docs/presets.md")
    schema = Preset.model_json_schema()
    sections = set(re.findall(r"`(\w+)`", " ".join(heading.text for heading in presets.headings)))
    sections |= {span.text for span in presets.table("The image").column(0)}
    assert sections ^ set(schema["properties"]) == set()
    keys = {key for part in schema["$defs"].values() for key in part.get("properties", ())}
    assert keys - {span.text for span in presets.spans} - set(re.findall(r'"(\w+)":', presets.text)) == set()


def _names(cell: Cell) -> Iterator[str]:
    """The fields of a row: `detection.detector`, `.model` have the same parent."""
    parent = ""
    for span in cell.spans:
        name = parent + span.text if span.text.startswith(".") else span.text
        parent = name.rpartition(".")[0]
        yield name


def _default(model: type[BaseModel], name: str) -> Any:
    """The default of a field or a nested field. Raises KeyError if it does not exist."""
    *parents, last = name.split(".")
    for parent in parents:
        inner = model.model_fields[parent].annotation
        assert isinstance(inner, type)
        model = inner
    return model.model_fields[last].default


def _problem(default: object, documented: str) -> str:
    """The problem with a documented default; empty: none. Defaults without a value are described in words."""
    if isinstance(default, bool):
        return "" if documented == ("yes" if default else "no") else f"it is {default}"
    if isinstance(default, (int, float)):
        number = re.match(r"[\d.]+", documented)
        return "" if number and float(number[0]) == default else f"it is {default}"
    text = default.value if isinstance(default, Enum) else default
    return "" if not isinstance(text, str) or not text or documented.strip("`") == text else f"it is {text}"


@pytest.mark.parametrize(("name", "heading", "model", "prefix"), DEFAULTS, ids=_case)
def test_fields_exist_and_have_the_defaults_shown(name: str, heading: str, model: type[BaseModel], prefix: str) -> None:
    problems = []
    for row in page(name).table(heading).rows:
        for field, documented in zip(_names(row[0]), row[1].source.text.split(", ") * 2, strict=False):
            try:
                problem = _problem(_default(model, field.removeprefix(prefix).lower() if prefix else field), documented)
            except KeyError:
                problem = "there is no such field"
            problems += [f"{row[0].source.place}: {field}: {problem}"] * bool(problem)
    check(problems)


@pytest.mark.parametrize(
    ("name", "model"), [(name, model) for name, _, model, prefix in DEFAULTS if not prefix], ids=_case
)
def test_every_field_is_on_its_page(name: str, model: type[BaseModel]) -> None:
    spans = {span.text.rpartition(".")[2] for span in page(name).spans}
    assert set(_leaves(model)) - spans == set()


def _leaves(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation)
        else:
            yield name
