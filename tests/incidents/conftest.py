"""Incidents with every real part but the cameras: logger, media, analyser, flows, notifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.inference.agents.flow_file import read_flows
from core.inference.agents.runner import FlowRunner
from core.inference.cameras.observer import Decision
from core.inference.database.engine import Database
from core.inference.events.ids import new_id
from core.inference.events.logger import EventLogger
from core.inference.events.media import MediaStore
from core.inference.incidents import aftercare as aftercare_module
from core.inference.incidents.aftercare import Aftercare
from core.inference.incidents.incidents import Incidents
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.pool import ModelPool
from core.inference.models.analysis import Analyser, create_analyser
from core.inference.notifications.notifier import Notifier
from core.inference.notifications.rules import RuleStore
from core.inference.schemas import CameraRequest, Event, Fact
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
        path = None
        if flows:
            path = data / "flows.json"
            path.write_text(flows)
        runner = FlowRunner(read_flows(path), self.notifier, self.analyser, ZoneInfo("UTC"))
        self.camera = CameraRequest(id="gate", name="Gate", source="rtsp://camera")
        self.incidents = Incidents(self.logger, self.media, self.analyser, runner, facts)
        self.aftercare = Aftercare(
            self.database, self.logger, self.media, self.analyser, self.incidents, lambda _: self.camera
        )

        self._stopped = False

    def start(self) -> Run:
        for part in (self.logger, self.notifier, self.analyser, self.incidents, self.aftercare):
            part.start()
        return self

    def stop(self) -> None:
        """Once is enough; more do no harm."""
        if self._stopped:
            return
        self._stopped = True
        for part in (
            self.aftercare,
            self.incidents,
            self.analyser,
            self.notifier,
            self.logger,
            self.pool,
            self.database,
        ):
            part.stop() if hasattr(part, "stop") else part.close()

    def decide(self, **fields: Any) -> str:
        """An anomaly at the gate; returns the event's id."""
        now = datetime.now(timezone.utc)
        given = {
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
        decision = Decision(**{**given, **fields})
        self.incidents.decided(decision)
        return decision.event

    def event(self, ident: str, wanted: Callable[[Event], object]) -> Event:
        """The event, once it is as wanted."""

        def probe() -> Event:
            found = self.logger.get(ident)
            assert found is not None
            return found

        return until(probe, wanted)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    """Make runs, one after the other, over the same folder; the last is stopped at the end."""
    monkeypatch.setattr(aftercare_module, "ROUND_SECONDS", 0.1)
    monkeypatch.setattr(aftercare_module, "TICK", 0.02)
    made: list[Run] = []

    def make(**settings: Any) -> Run:
        made.append(Run(tmp_path, **settings))
        return made[-1]

    yield make
    if made:
        made[-1].stop()
