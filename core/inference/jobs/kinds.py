"""The kinds of jobs that the service knows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from core.errors import InputError
from core.inference.jobs.context import JobContext
from core.operations.place import load_function

_TYPES = {bool: "true or false", int: "a whole number", str: "text"}
NICENESS = 5  # below the cameras, as inspections are; with 10, a busy machine leaves a job a tenth of its time
MAX_OPTIONS = 64 << 10  # characters of JSON


@dataclass(frozen=True)
class Option:
    """An option of a kind of job."""

    about: str
    """What it does."""
    type: type[bool | int | str] = bool


@dataclass(frozen=True)
class Kind:
    """A kind of job."""

    target: str
    """`module:function`, called in a worker as `run(context: JobContext, subject, options, progress)`."""
    about: str
    subjects: str
    """What its subject may be, in words."""
    computes: bool = True
    """Whether it takes the device for itself: `gpu:0` where models run on a GPU, else `cpu`."""
    attempts: int = 4
    """How often it is started before a failure that may pass is final: once, and again after 1, 4 and 16 seconds."""
    silence: float = 300.0
    """Seconds without any report after which the job is killed."""
    pattern: str = ".*"
    """A regular expression that the whole subject must match."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """By name; no others are accepted."""
    check: str = ""
    """`module:function`, called in the service as `check(context: JobContext, subject, options)` before the job is
    queued. It raises InputError for what the job could not work with."""


KINDS: dict[str, Kind] = {
    "index": Kind(
        "core.inference.inspection.index_job:run",
        "Rebuild an index of embeddings from the storage",
        "normal or defect",
        pattern="normal|defect",
        options={"force": Option("true: publish the index even if it is worse than the one before, or empty")},
        check="core.inference.inspection.index_job:check",
    ),
    "banks": Kind(
        "core.inference.inspection.bank_job:run",
        "Rebuild memory banks from the normal pictures in the storage",
        "a product, or empty for all of them",
        options={"force": Option("true: publish a memory bank even if it is worse than the one before")},
    ),
    "rollback": Kind(
        "core.inference.inspection.rollback_job:run",
        "Publish the generation before the current one again",
        "index:normal, index:defect or bank:PRODUCT",
        computes=False,
        pattern="index:(normal|defect)|bank:.+",
    ),
}


def check_request(
    kinds: Mapping[str, Kind], kind: str, context: JobContext, subject: str, options: Mapping[str, JsonValue]
) -> Kind:
    """The kind of that name, if a job of it can be started. Raises InputError that says what is wrong."""
    known = kinds.get(kind)
    if known is None:
        raise InputError(f"Job {kind}", "there is no such kind", f"use one of: {', '.join(sorted(kinds))}")
    if not re.fullmatch(known.pattern, subject):
        raise InputError(f"Subject {subject!r}", f"{kind} cannot work on it", f"its subject is {known.subjects}")
    for name, value in options.items():
        if name not in known.options:
            remedy = f"options of {kind}: {', '.join(known.options)}" if known.options else f"{kind} has no options"
            raise InputError(f"Option {name!r}", f"{kind} does not know it", remedy)
        wanted = known.options[name].type
        if type(value) is not wanted:
            raise InputError(f"Option {name!r}", f"it is not {_TYPES[wanted]}", f"write {_TYPES[wanted]}")
    _check_storable(options)
    if known.check:
        load_function(known.check)(context, subject, options)
    return known


def _check_storable(options: Mapping[str, JsonValue]) -> None:
    """Raise InputError for options that cannot be kept and shown again as they are."""
    try:
        text = json.dumps(dict(options), ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:
        raise InputError("Options", "a value is not a finite number, or not valid Unicode text") from error
    if len(text) > MAX_OPTIONS:
        raise InputError("Options", f"they have more than {MAX_OPTIONS} characters", "name fewer of them")
