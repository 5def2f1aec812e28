"""The parts of a console that a test replaces."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.site import Site
from tui.sources import Sources
from tui.store import Store

if TYPE_CHECKING:
    from core.carry.pack_plan import PackPlan
    from core.clean.model import CleanPlan
    from core.service_client import ServiceClient
    from tui.container_log import ContainerLog
    from tui.engine_event_log import EngineEventLog
    from tui.screens.start_operation import Preview


def _container_log(site: Site, name: str) -> ContainerLog:
    from tui.container_log import ContainerLog

    return ContainerLog(site, name)


def _engine_events(site: Site) -> EngineEventLog:
    from tui.engine_event_log import EngineEventLog

    return EngineEventLog(site)


def _preview(kind: str) -> Preview | None:
    from tui.screens.start_operation import PREVIEWS

    return PREVIEWS.get(kind)


def _clean_plan(site: Site) -> CleanPlan:
    from core.clean.plan import plan_clean

    return plan_clean(site)


def _pack_plan(site: Site, medium: str, options: Mapping[str, Any]) -> PackPlan:
    from core.carry.pack import plan_pack

    return plan_pack(site, medium, options)


@dataclass(frozen=True)
class ConsoleParts:
    """What `tui.app.XaivaApp` is made of."""

    sources: Callable[[Site], Sources] = Sources
    store: type[Store] = Store
    container_log: Callable[[Site, str], ContainerLog] = _container_log
    """Opens the log of the container with that name."""
    host: Callable[[], str] = platform.node
    """The name of this machine."""
    engine_events: Callable[[Site], EngineEventLog] = _engine_events
    """Opens the log of the engine's events."""
    now: Callable[[], float] = time.time
    """The Unix time that screens show durations and days by."""
    tick: float = 1.0
    """Seconds between two updates of the current screen."""
    service: ServiceClient | None = None
    """Replaces the client of the site's inference service."""
    preview: Callable[[str], Preview | None] = _preview
    """What shows what an operation of that kind would do, None for a kind without a preview."""
    clean_plan: Callable[[Site], CleanPlan] = _clean_plan
    """What a clean-up would remove. Blocks."""
    pack_plan: Callable[[Site, str, Mapping[str, Any]], PackPlan] = _pack_plan
    """What a pack onto that medium would write, with the options of the operation. Blocks."""
