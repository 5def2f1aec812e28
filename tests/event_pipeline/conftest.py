"""The event pipeline with every real part but the cameras: logger, media, analyser, flows, notifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.api_schema import CameraRequest, Event, Fact
from core.inference.cameras.observer import Decision
from core.inference.database.engine import Database
from core.inference.event_pipeline import recovery as recovery_module
from core.inference.event_pipeline.coordinator import EventCoordinator
from core.inference.event_pipeline.recovery import Recovery
from core.inference.events.ids import new_id
from core.inference.events.logger import EventLogger
from core.inference.events.media_store import MediaStore
from core.inference.flows.flow_file import read_flows
from core.inference.flows.runner import FlowRunner
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.pool import ModelPool
from core.inference.models.analysis import Analyser, create_analyser
from core.inference.notifications.notifier import Notifier
from core.inference.notifications.rule_store import RuleStore
from core.inference.settings import ServiceSettings
from tests.model_pool.fakes import FakeCostStore
from tests.support import until

JPEG = b"\xff\xd8 a picture"
PERSON = Fact(label="person", score=0.9, box=(0.1, 0.1, 0.2, 0.5))


class Run:
    """One run of the service's inner part over a data folder; `flows` is the text of a flow file."""

    def __init__(
        self,
        data: Path,
        *,
        flows: str = "",
        facts: Callable[[bytes], Sequence[Fact]] | None = lambda _: [PERSON],
        **settings: Any,
    ) -> None:
        self.settings = ServiceSettings(data=data, analyser_timeout=5, **settings)
        self.database = Database(self.settings.database)
        self.logger = EventLogger(self.database, data / "spool")
        self.media = MediaStore(data / "media")
        self.rules = RuleStore(self.database)
        self.notifier = Notifier(self.database, self.rules, self.settings)
        self.pool = ModelPool(DeviceBudget(HostMemory(), 0), costs=FakeCostStore())
        self.analyser: Analyser = create_analyser(self.settings, self.pool)
        path = data / "flows.json"
        path.write_text(flows or "{}")
        runner = FlowRunner(read_flows(path), self.notifier, self.analyser, ZoneInfo("UTC"))
        self.camera = CameraRequest(id="gate", name="Gate", source="rtsp://camera")
        self.coordinator = EventCoordinator(self.logger, self.media, self.analyser, runner, facts)
        parts = (self.logger, self.media, self.analyser, self.coordinator)
        self.recovery = Recovery(self.database, *parts, lambda _: self.camera.flow)
        self._parts = (self.logger, self.notifier, self.analyser, self.coordinator, self.recovery)
        self._stopped = False

    def start(self) -> Run:
        for part in self._parts:
            part.start()
        return self

    def stop(self) -> None:
        """Stop all parts; a second call does nothing."""
        if self._stopped:
            return
        self._stopped = True
        for part in reversed(self._parts):
            part.stop()
        self.pool.close()
        self.database.close()

    def decide(self, **fields: Any) -> str:
        """An anomaly at the gate; returns the event's id."""
        now = datetime.now(timezone.utc)
        values = {
            "event": new_id(),
            "camera": self.camera,
            "started": now,
            "decided": now,
            "score": 0.9,
            "detector": "motion",
            "type": "motion",
            "zone": "",
            "picture": JPEG,
        }
        decision = Decision(**{**values, **fields})
        self.coordinator.decided(decision)
        return decision.event

    def event(self, ident: str, condition: Callable[[Event], object]) -> Event:
        """The event, once it is as wanted."""

        def probe() -> Event:
            event = self.logger.get(ident)
            assert event is not None
            return event

        return until(probe, condition)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    """Make runs, one after the other, over the same folder; the last is stopped at the end."""
    monkeypatch.setattr(recovery_module, "ROUND_SECONDS", 0.1)
    monkeypatch.setattr(recovery_module, "CLOCK_SECONDS", 0.02)
    runs: list[Run] = []

    def make(**settings: Any) -> Run:
        runs.append(Run(tmp_path, **settings))
        return runs[-1]

    yield make
    if runs:
        runs[-1].stop()
