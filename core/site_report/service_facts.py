"""The facts about the inference service: its parts, its cameras without their addresses, and its events."""

from __future__ import annotations

import re

from core.api_schema import CameraStatus, EventQuery
from core.containers.service_discovery import connect_service
from core.site import Site
from core.site_report.model import CameraFacts, DayFacts, EventFacts, EventsFacts, ServiceFacts

SERVICE_SECONDS = 5.0  # timeout of one call
NEWEST_EVENTS = 20
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20})://", re.IGNORECASE)
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,40}")


def service_facts(site: Site) -> ServiceFacts:
    """The service and its cameras. Raises XaivaError when it does not answer."""
    client = connect_service(site, SERVICE_SECONDS)
    try:
        status = client.status()
    finally:
        client.close()
    return ServiceFacts(
        version=status.version,
        uptime=status.uptime,
        logger=status.logger.state,
        analyser=status.analyser.state,
        storage=status.storage.state,
        waiting_messages=status.outbox.waiting,
        messages_given_up=status.outbox.given_up,
        unacknowledged=status.unacknowledged,
        models={model.key: model.state for model in status.ledger.models} if status.ledger else {},
        cameras=[_camera(camera) for camera in status.cameras],
    )


def events_facts(site: Site) -> EventsFacts:
    """The statistics of the last 7 days and the newest events. Raises XaivaError when the service does not answer."""
    client = connect_service(site, SERVICE_SECONDS)
    try:
        statistics = client.statistics()
        newest = client.events(EventQuery(limit=NEWEST_EVENTS)).events
    finally:
        client.close()
    days = [
        DayFacts(
            date=day.date.isoformat(),
            camera=day.camera,
            events=day.events,
            acknowledged=day.acknowledged,
            by_type=day.by_type,
            by_priority=day.by_priority,
        )
        for day in statistics.days
    ]
    events = [
        EventFacts(type=event.type, camera=event.camera, priority=event.priority.value, started=event.started)
        for event in newest
    ]
    return EventsFacts(zone=statistics.zone, days=days, newest=events)


def _camera(status: CameraStatus) -> CameraFacts:
    """A camera. Of its source only the scheme is taken, and of why it is not live only the word, if it is one."""
    return CameraFacts(
        id=status.id,
        name=status.name,
        kind=_kind(status.source),
        state=status.state.value,
        cause=status.cause if _WORD.fullmatch(status.cause) else "",
        width=status.width,
        height=status.height,
        codec=status.codec,
        fps=status.fps,
        processed_fps=status.processed_fps,
        reconnects=status.reconnects,
        restarts=status.restarts,
        alerts=[alert.kind.value for alert in status.alerts],
    )


def _kind(source: str) -> str:
    match = _SCHEME.match(source)
    return match[1].lower() if match else "device" if source.startswith("/dev/") else "file"
