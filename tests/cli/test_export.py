"""Exported events: the content of the files, and that no incomplete file is left."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.api_schema import Analysis, Event
from core.errors import InputError
from core.service_client.export import COLUMNS, export, format_of

MOMENT = "2026-01-31T12:00:00Z"


def event(number: int, **more: object) -> Event:
    fields = {
        "id": f"e{number}",
        "camera": "gate",
        "type": "motion",
        "started": MOMENT,
        "decided": MOMENT,
        "score": 0.5,
    }
    return Event.model_validate({**fields, **more})


def test_csv_has_a_line_an_event_and_no_formula(tmp_path: Path) -> None:
    path, counts = tmp_path / "events.csv", []
    bad = event(2, note="=1+1", analysis=Analysis(description='says "hello",\nthen goes'))
    assert export([event(1), bad], path, "csv", counts.append) == 2
    assert counts == [1, 2]
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["id"] for row in rows] == ["e1", "e2"]
    assert rows[1]["note"] == "'=1+1"
    assert rows[1]["description"] == 'says "hello",\nthen goes'
    assert rows[0]["ended"] == ""


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_one_document_of_whole_events(tmp_path: Path, count: int) -> None:
    path = tmp_path / "events.json"
    events = [event(number) for number in range(count)]
    assert export(events, path, "json") == count
    assert [Event.model_validate(item) for item in json.loads(path.read_text())["events"]] == events


def test_an_export_that_breaks_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_text("before")

    def broken() -> Iterator[Event]:
        yield event(1)
        raise InputError("Inference service", "nothing answers there", "")

    with pytest.raises(InputError, match="nothing answers"):
        export(broken(), path, "json")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        export([event(1)], tmp_path / "none" / "events.csv", "csv")


def test_the_ending_says_the_kind() -> None:
    assert format_of(Path("a.CSV")) == "csv"
    with pytest.raises(InputError, match="its extension is neither"):
        format_of(Path("a.xlsx"))
