"""Rates the known values of one field of a preset: which of them can work on the target, and why others cannot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from core.findings import Finding, Level
from core.presets.compat.checking import check
from core.presets.compat.layer_findings import UNNAMED_PRESET
from core.presets.compat.machine import TargetMachine
from core.presets.model import Preset
from core.site import Site
from core.validation_errors import every_problem

VERSIONED = ("pytorch", "tensorrt")  # parts of a preset that mean nothing without a version


@dataclass(frozen=True)
class RatedChoice:
    """A value, and what speaks against it."""

    value: str
    problem: Finding | None
    """The worst problem that this value brings; None: the tables know of none."""


def rate_choices(
    preset: Preset,
    field: str,
    values: Sequence[str],
    target: TargetMachine | None,
    *,
    site: Site | None = None,
    name: str = UNNAMED_PRESET,
) -> list[RatedChoice]:
    """Check the preset with each of the values in `field` (a path such as `pytorch.version`), all else unchanged.

    A problem that the preset also has without a value there is not the value's, and is left out; so is one that all
    values of a required field share. Blocks for some milliseconds per value.
    """

    def problems(changed: Preset) -> list[Finding]:
        return [found for found in check(changed, target, site=site, name=name) if found.level is not Level.NOTE]

    found: dict[str, list[Finding]] = {}
    invalid: dict[str, RatedChoice] = {}
    for value in values:
        try:
            found[value] = problems(_with_value(preset, field, value))
        except ValidationError as error:
            problem = Finding.error("preset-invalid", f"{field}: {value}", every_problem(error)[0], where=field)
            invalid[value] = RatedChoice(value, problem)
    try:
        others = _identities(problems(_with_value(preset, field, "")))
    except ValidationError:  # a preset must have a value there
        others = set.intersection(*map(_identities, found.values())) if found else set()
    return [
        invalid.get(value)
        or RatedChoice(value, next((one for one in found[value] if not _identities([one]) & others), None))
        for value in values
    ]


def _identities(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    return {(finding.code, finding.what) for finding in findings}


def _with_value(preset: Preset, field: str, value: str) -> Preset:
    """The preset with another value in the field, "" for none. Raises ValidationError."""
    document = preset.model_dump(mode="json", exclude_unset=True, by_alias=True)
    *parents, last = field.split(".")
    if not value and parents and parents[0] in VERSIONED:
        document.pop(parents[0], None)
        return Preset.model_validate(document)
    holder = document
    for parent in parents:
        holder[parent] = holder = {**(holder.get(parent) or {})}
    if value:
        holder[last] = value
    else:
        holder.pop(last, None)
    if field == "tensorrt.version":
        holder["enabled"] = True
    return Preset.model_validate(document)
