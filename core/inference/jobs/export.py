"""Exports the history of jobs as CSV or JSON, in parts that are sent as they are made."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator

from core.api_schema import Job, JobStage
from core.api_schema.spreadsheet import escape_formula

COLUMNS = (
    "id",
    "kind",
    "subject",
    "options",
    "state",
    "priority",
    "by",
    "created",
    "started",
    "ended",
    "seconds",
    "attempt",
    "stages",
    "result",
    "failure",
)


def json_parts(pages: Iterable[list[Job]]) -> Iterator[str]:
    """One document, with one job per line."""
    yield '{"jobs": ['
    separator = "\n"
    for jobs in pages:
        yield separator + ",\n".join(json.dumps(job.model_dump(mode="json"), ensure_ascii=False) for job in jobs)
        separator = ",\n"
    yield "\n]}\n"


def csv_parts(pages: Iterable[list[Job]]) -> Iterator[str]:
    """A header and one line per job."""
    yield _lines([COLUMNS])
    for jobs in pages:
        yield _lines(map(_cells, jobs))


def _lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _cells(job: Job) -> list[object]:
    data = job.model_dump(mode="json")
    data |= {
        "options": _json(job.options),
        "stages": "; ".join(map(_stage, job.stages)),
        "result": _json(job.result),
        "failure": f"{job.failure.what}: {job.failure.why}" if job.failure else "",
    }
    return [escape_formula(data[column]) for column in COLUMNS]


def _stage(stage: JobStage) -> str:
    took = f" {stage.ended - stage.started:.1f} s" if stage.started and stage.ended else ""
    return f"{stage.title}: {stage.state}{took}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""
