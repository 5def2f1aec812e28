"""A service's settings with a folder as its storage, and a recorder of progress."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.api_schema import Neighbour
from core.inference.inspection import drop_folder
from core.inference.inspection.drop_folder import DropFolder
from core.inference.inspection.embeddings import Vector
from core.inference.inspection.indexes import IndexReader
from core.inference.jobs.context import JobContext
from core.inference.settings import ServiceSettings
from core.progress import Stage
from tests.inspection.dropped import Inspections
from tests.inspection.inspected import Inspected, inspected
from tests.support.inspected import build_bank, build_indexes, fill_storage, note_listings
from tests.support.onnx_model import write_mean

COLOURS = "colours.onnx"


class Recorder:
    """A `Progress` that keeps what was reported; `cancel_when` decides about every stage whether to cancel."""

    def __init__(self, cancel_when: Callable[[Stage], bool] = lambda stage: False) -> None:
        self.stages: list[Stage] = []
        self.lines: list[str] = []
        self._cancel_when = cancel_when
        self._cancelled = threading.Event()

    def stage(self, stage: Stage) -> None:
        self.stages.append(stage)
        if self._cancel_when(stage):
            self._cancelled.set()

    def log(self, line: str, stage: str = "") -> None:
        self.lines.append(line)

    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def last(self) -> dict[str, Stage]:
        """The newest report of every stage."""
        return {stage.id: stage for stage in self.stages}


def nearest(reader: IndexReader, vector: Vector, count: int, product: str | None = None) -> list[Neighbour]:
    """The nearest entries of the index that answers now; none without an index."""
    index = reader.current()
    return index.search(vector, count, product) if index else []


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    return ServiceSettings(data=tmp_path / "data", models=tmp_path / "models", onnx_provider="cpu")


@pytest.fixture
def colours(settings: ServiceSettings) -> ServiceSettings:
    """Settings with a tiny encoder, which needs no time: the mean colour."""
    settings.models.mkdir()
    describe_colours(settings)
    return settings.model_copy(update={"encoder": COLOURS})


def describe_colours(settings: ServiceSettings, **changes: Any) -> None:
    """Write the encoder of `colours`, with other fields of its input."""
    write_mean(settings.models / COLOURS, ("n", 3, 8, 16), (2, 3))
    content = {"input": {"name": "x", "width": 16, "height": 8, **changes}, "output": {"name": "y"}}
    (settings.models / COLOURS).with_suffix(".json").write_text(json.dumps(content))


@pytest.fixture
def context(settings: ServiceSettings) -> JobContext:
    return JobContext(settings)


@pytest.fixture
def images(settings: ServiceSettings) -> Path:
    """The storage: a folder, as it is without XAIVA_STORAGE_URL."""
    folder = settings.data / "images"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def inspections() -> Inspections:
    return Inspections()


@pytest.fixture
def folder(tmp_path: Path, inspections: Inspections, monkeypatch: pytest.MonkeyPatch) -> DropFolder:
    monkeypatch.setattr(drop_folder, "STABLE_SECONDS", 0.0)
    (tmp_path / "inbox").mkdir()
    return DropFolder(tmp_path / "inbox", inspections)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with pictures, a memory bank and both indexes of the product `plate`."""
    data = tmp_path_factory.mktemp("prepared")
    fill_storage(data / "images", "plate")
    build_bank(ServiceSettings(data=data), "plate")
    build_indexes(ServiceSettings(data=data))
    return data


@pytest.fixture
def here(prepared: Path, tmp_path: Path) -> Iterator[Inspected]:
    """A service over a copy of the prepared folder."""
    shutil.copytree(prepared, tmp_path / "data")
    note_listings(ServiceSettings(data=tmp_path / "data"), "plate")  # copies are other files
    with inspected(tmp_path / "data") as one:
        yield one
