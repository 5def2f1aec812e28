"""What running containers use, now and in the last minutes: xaiva's at each call, others less often."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from core.containers.model import Container, ContainerStats
from core.containers.stats import StatsSampler
from core.telemetry.history import Trend, Trends
from tui.sources import GAP_SECONDS, HISTORY_SECONDS, LIVE_SECONDS, SPARK_STEP

OTHERS_SECONDS = 5.0  # an engine takes some milliseconds for each container, and may have many that are not xaiva's


class ContainerUsage:
    """Keeps the histories when the connection to the engine is made again; called by one thread."""

    def __init__(self) -> None:
        self._ours = _Group(LIVE_SECONDS / 2, int(HISTORY_SECONDS / LIVE_SECONDS), SPARK_STEP)
        self._others = _Group(OTHERS_SECONDS - LIVE_SECONDS / 2, int(HISTORY_SECONDS / OTHERS_SECONDS), 1)

    def sample(
        self, client: Any, containers: Iterable[Container]
    ) -> tuple[dict[str, ContainerStats], dict[str, dict[str, Trend]]]:
        """The statistics and trends of running containers by id. Raises EngineError."""
        running = [container for container in containers if container.running]
        self._ours.sample(client, [container.id for container in running if container.managed])
        self._others.sample(client, [container.id for container in running if not container.managed])
        return {**self._ours.stats, **self._others.stats}, {**self._ours.trends, **self._others.trends}


class _Group:
    """Containers that are measured together, not again within `seconds`."""

    def __init__(self, seconds: float, length: int, step: int) -> None:
        self.stats: dict[str, ContainerStats] = {}
        self.trends: dict[str, dict[str, Trend]] = {}
        self._seconds = seconds
        self._trends = Trends(length, step, GAP_SECONDS)
        self._client: Any = None
        self._sampler: StatsSampler | None = None
        self._sampled_at = float("-inf")

    def sample(self, client: Any, ids: list[str]) -> None:
        now = time.monotonic()
        if self._sampler is None or client is not self._client:
            self._client, self._sampler = client, StatsSampler(client)
        elif now - self._sampled_at < self._seconds:
            self.stats = {identity: stats for identity, stats in self.stats.items() if identity in ids}
            return
        self._sampled_at = now
        self.stats = self._sampler.sample(ids)
        self.trends = self._trends.add({identity: _figures(stats) for identity, stats in self.stats.items()}, now)


def _figures(stats: ContainerStats) -> dict[str, float | None]:
    return {
        "cpu": stats.cpu_percent,
        "memory": stats.memory,
        "received": stats.network_received_rate,
        "sent": stats.network_sent_rate,
        "read": stats.disk_read_rate,
        "written": stats.disk_written_rate,
    }
