"""A sample site with two problems, for snapshots and the pictures in the documentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.engine_identity import EngineIdentity
from core.log_lines import LineSpool
from core.service_client import LoginIdentity
from core.site import Site
from tests.tui.sample_carry import media, pack_plan
from tests.tui.sample_engine import SampleEngineEvents, clean_plan, disk_usage, engine_objects, image_layers
from tests.tui.sample_inspection import all_jobs, inspections, jobs, products, recent_jobs
from tests.tui.sample_machine import NOON, containers, gpus, host, processes
from tests.tui.sample_service import SampleService, cameras, events, picture, service, statistics
from tests.tui.sample_site import (
    builds,
    lock,
    operations,
    plan,
    preset_facts,
    presets,
    previews,
    site_settings,
    stages,
    write_logs,
)
from tests.tui.sample_stacks import stack_preview, stacks
from tui.parts import ConsoleParts
from tui.store import Store

__all__ = [
    "NOON", "PARTS", "SampleLog", "SampleService", "SampleSources", "SampleStore", "builds", "cameras", "containers",
    "events", "gpus", "host", "lock", "media", "operations",
    "pack_plan", "picture", "plan", "presets", "previews", "processes", "service",
    "site_settings", "stages", "statistics", "write_logs",
]  # fmt: skip


class SampleLog:
    """Stands in for `tui.container_log.ContainerLog`."""

    ended = False

    def __init__(self, _site: Site, name: str) -> None:
        self.lines = LineSpool(1 << 20)
        warning = "12:41:07 WARNING camera yard: no frame for 10 s, trying again in 4 s"
        self.lines.add(
            [f"12:00:0{index} INFO {name}: camera {camera} is live" for index, camera in enumerate(("gate-1", "hall"))]
        )
        self.lines.add([warning])

    def close(self) -> None:
        """Nothing is read."""


class SampleStore(Store):
    """A store whose sources have one answer each, whatever they are pointed at."""

    def retarget(self, name: str, fetch: Callable[[], Any]) -> None:
        """The answer is known already."""


class SampleSources:
    """Stands in for `tui.sources.Sources`."""

    def __init__(self, _site: Site) -> None:
        pass

    def fetchers(self) -> dict[str, tuple[Callable[[], Any], float]]:
        """Every source answers at once, and the same for ever."""
        names = (gpus, host, containers, processes, cameras, operations, presets, builds, events, statistics, service)
        names += (engine_objects, disk_usage, image_layers, media, products, inspections, jobs, recent_jobs)
        names += (stacks,)
        sources = {make.__name__: (_constant(make()), 3600.0) for make in names}
        details = {
            "operation": stages(),
            "plan": plan(),
            "build": None,
            "job": all_jobs(),
            "container": None,
            "steps": preset_facts(),
            "login": LoginIdentity(),
            "engine_identity": EngineIdentity("docker 27.1.1", "local"),
            "site_settings": site_settings(),
        }
        return {**sources, **{name: (_constant(value), 3600.0) for name, value in details.items()}}

    def close(self) -> None:
        """Nothing was started."""


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


PARTS = ConsoleParts(
    sources=SampleSources,  # type: ignore[arg-type]
    store=SampleStore,
    container_log=SampleLog,  # type: ignore[arg-type]
    host=lambda: "gpu-box",
    engine_events=SampleEngineEvents,  # type: ignore[arg-type]
    now=lambda: NOON + 187,
    tick=3600.0,
    service=SampleService(),  # type: ignore[arg-type]
    preview={**previews(), "stack": stack_preview}.get,
    clean_plan=lambda _: clean_plan(),
    pack_plan=lambda *_: pack_plan(),
)
