"""The source of the Processes screen: the processes, and what each used in the last minutes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from core.containers.listing import list_containers
from core.containers.processes import ListedProcess, ProcessLister
from core.engine import EngineError, connect_engine
from core.errors import XaivaError
from core.site import Site
from core.telemetry.gpus import GpuSample
from core.telemetry.history import Trend, Trends
from tui.sources import ENGINE_SECONDS, GAP_SECONDS, HISTORY_SECONDS, MANUAL_SECONDS


@dataclass(frozen=True)
class Processes:
    """The processes, and by the key of each its use of CPU and VRAM over time."""

    processes: list[ListedProcess]
    trends: dict[str, dict[str, Trend]]
    problems: list[str]
    """Containers whose processes could not be listed."""
    engine_error: XaivaError | None = None
    """Why the processes of containers are unknown; None when they are known."""


class ProcessSource:
    """Lists the processes with a connection of its own to the engine; called by one thread."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lister = ProcessLister()
        self._trends = Trends(int(HISTORY_SECONDS / MANUAL_SECONDS), 1, GAP_SECONDS)
        self._client: Any = None
        self._generation = 0  # of the settings that were used to connect

    def read(self, sample: GpuSample) -> Processes:
        """The processes now. Without an engine, those on GPUs alone."""
        error: XaivaError | None = None
        try:
            client = self._connected()
            listing = self._lister.list(sample, list_containers(client), client)
        except EngineError as problem:
            self._client, error = None, problem
            listing = self._lister.list(sample)
        figures = {
            process.key: {"cpu": process.cpu_percent, "vram": process.vram, "gpu": process.gpu_percent}
            for process in listing.processes
        }
        trends = self._trends.add(figures, time.monotonic())
        return Processes(listing.processes, trends, listing.problems, error)

    def _connected(self) -> Any:
        if self._client is None or self._generation != self._site.generation:
            self._generation = self._site.generation
            self._client = connect_engine(self._site, ENGINE_SECONDS)
        return self._client
