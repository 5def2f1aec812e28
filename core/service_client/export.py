"""Exports events as CSV or JSON. An incomplete file is never left behind."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, TextIO

from core.api_schema import Event
from core.api_schema.spreadsheet import escape_formula
from core.errors import InputError
from core.service_client.output_file import open_output_file

ExportFormat = Literal["csv", "json"]
COLUMNS = (
    "id",
    "camera",
    "camera_name",
    "type",
    "priority",
    "started",
    "decided",
    "ended",
    "score",
    "threshold",
    "detector",
    "zone",
    "description",
    "confidence",
    "clip_seconds",
    "response_time",
    "protected",
    "acknowledged",
    "acknowledged_by",
    "note",
)


def format_of(target: Path) -> ExportFormat:
    """The format of a file, by its extension. Raises InputError for an unknown one."""
    ending = target.suffix.lower()
    if ending == ".csv":
        return "csv"
    if ending == ".json":
        return "json"
    raise InputError(f"{target}", "its extension is neither .csv nor .json", "name it .csv or .json")


def export(
    events: Iterable[Event], target: Path, kind: ExportFormat, on_event: Callable[[int], None] = lambda _count: None
) -> int:
    """Write the events to `target`, replacing it, and return how many there were. `on_event(count)` is called for each.

    Raises InputError if the file cannot be written.
    """
    with open_output_file(target) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        count = write(events, text, kind, on_event)
        text.detach()  # flushes without closing the file
    return count


def write(
    events: Iterable[Event], file: TextIO, kind: ExportFormat, on_event: Callable[[int], None] = lambda _count: None
) -> int:
    """Write the events to an open file and return how many there were."""
    lines = _csv_lines(events) if kind == "csv" else _json_lines(events)
    count = 0
    for line, is_event in lines:
        file.write(line)
        if is_event:
            count += 1
            on_event(count)
    return count


def _json_lines(events: Iterable[Event]) -> Iterator[tuple[str, bool]]:
    """One document with one event per line. Yields each line, and whether it is an event."""
    yield '{"events": [', False
    for number, event in enumerate(events):
        line = json.dumps(event.model_dump(mode="json"), ensure_ascii=False)
        yield f"{',' if number else ''}\n{line}", True
    yield "\n]}\n", False


class _LastLine:
    """A file for the csv module that keeps only the newest line."""

    text = ""

    def write(self, text: str) -> None:
        """Keep the line; the csv module calls this."""
        self.text = text


def _csv_lines(events: Iterable[Event]) -> Iterator[tuple[str, bool]]:
    line = _LastLine()
    writer = csv.writer(line)
    writer.writerow(COLUMNS)
    yield line.text, False
    for event in events:
        writer.writerow(_cells(event))
        yield line.text, True


def _cells(event: Event) -> list[object]:
    data = event.model_dump(mode="json")
    data |= {
        "description": event.analysis.description,
        "confidence": event.analysis.confidence,
        "clip_seconds": event.clip.seconds if event.clip.state == "done" else None,
    }
    return [escape_formula(data[column]) for column in COLUMNS]
