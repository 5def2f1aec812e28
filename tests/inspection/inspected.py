"""An inspection service over real banks, indexes, storage and database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.api_schema import Event
from core.inference.database.engine import Database
from core.inference.inspection.inspection_service import InspectionService
from core.inference.jobs.service import JobService
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.pool import ModelPool
from core.inference.settings import ServiceSettings
from core.inference.storage import open_storage
from tests.model_pool.fakes import FakeCostStore


@dataclass
class Inspected:
    """An inspection service, and the events that it started."""

    service: InspectionService
    settings: ServiceSettings
    events: list[tuple[Event, str, bytes]] = field(default_factory=list)

    def inspect(self, picture: bytes, **options: Any) -> Any:
        return self.service.inspect("plate", picture, **{"neighbours": 3, "heat_map": False, **options})


@contextmanager
def inspected(data: Path, **more: Any) -> Iterator[Inspected]:
    settings = ServiceSettings(data=data, onnx_provider="cpu", **more)
    database = Database(settings.database)
    pool = ModelPool(DeviceBudget(HostMemory(), 0), costs=FakeCostStore())
    storage = open_storage(settings)
    events: list[tuple[Event, str, bytes]] = []
    service = InspectionService(
        settings, database, pool, storage, JobService(settings), lambda *event: events.append(event)
    )
    try:
        yield Inspected(service, settings, events)
    finally:
        pool.close()
        database.close()
