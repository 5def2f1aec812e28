"""Reduces the service's status to what the caller may see."""

from __future__ import annotations

from collections import Counter

from core.api_schema import (
    AnalyserStatus,
    CameraStatus,
    EventQuery,
    InspectFolderStatus,
    LedgerStatus,
    LoggerStatus,
    OutboxStatus,
    Role,
    ServiceStatus,
    StorageStatus,
)
from core.api_schema.event_types import INSPECTION
from core.inference.auth import Caller
from core.inference.cameras.source_address import redact_for_viewers
from core.inference.service import InferenceService


def visible_status(service: InferenceService, caller: Caller) -> ServiceStatus:
    """The service's status, without any trace of cameras that the caller may not see."""
    status = service.status()
    cameras = [visible_camera(caller, camera) for camera in status.cameras if caller.sees(camera.id)]
    if caller.cameras is None:
        return status.model_copy(update={"cameras": cameras})
    newest = service.events.page(cameras=caller.access, query=EventQuery(limit=1)).events
    logger, analyser, storage = status.logger, status.analyser, status.storage
    return status.model_copy(
        update={
            "cameras": cameras,
            "ledger": visible_ledger(status.ledger, cameras) if status.ledger else None,
            # Whether they work, but no counts, which would reveal events of other cameras.
            "logger": LoggerStatus(state=logger.state, why=logger.why),
            "analyser": AnalyserStatus(state=analyser.state, backend=analyser.backend, why=analyser.why),
            "storage": StorageStatus(free=storage.free, state=storage.state, why=storage.why),
            "outbox": OutboxStatus(),
            "inspect_folder": status.inspect_folder if caller.sees(INSPECTION) else InspectFolderStatus(),
            "inspections_refused": status.inspections_refused if caller.sees(INSPECTION) else 0,
            "newest_event": newest[0].id if newest else "",
            "unacknowledged": service.events.unacknowledged(caller.access),
        }
    )


def visible_camera(caller: Caller, camera: CameraStatus) -> CameraStatus:
    """A camera's status. Viewers see only kind and host of its address."""
    if caller.role.rank >= Role.OPERATOR.rank:
        return camera
    return camera.model_copy(update={"source": redact_for_viewers(camera.source)})


def visible_ledger(ledger: LedgerStatus, cameras: list[CameraStatus]) -> LedgerStatus:
    """The memory status with only the models that these cameras use, because a model's key may name its camera."""
    uses = Counter(camera.model for camera in cameras)
    models = [model.model_copy(update={"leases": uses[model.key]}) for model in ledger.models if model.key in uses]
    return ledger.model_copy(update={"models": models})
