"""The status of the whole service."""

from __future__ import annotations

from typing import Annotated

from core.api_schema.base import ONE_VISIBLE_LINE, ResponseModel
from core.api_schema.cameras import CameraStatus
from core.api_schema.events import LoggerStatus


class ModelStatus(ResponseModel):
    """A model in the pool."""

    key: str
    state: str
    """loading, ready, idle, closing or failed; reserved: memory of a job, whose name is in `key`."""
    provider: str = ""
    cost: int = 0
    """Its memory in bytes, as measured."""
    declared: int = 0
    """Its memory in bytes, as declared before it was measured."""
    measured: bool = False
    pinned: bool = False
    leases: int = 0
    """The number of cameras that use it."""
    rate: float = 0
    """Items per second."""
    wait: float | None = None
    """Mean seconds from request to result in the newest batches."""
    batch: float | None = None
    """Mean number of items in the newest batches."""
    why: str = ""


class LedgerStatus(ResponseModel):
    """The memory that the models share, in bytes."""

    device: str
    """`cuda:0 <name>` or `memory`."""
    total: int
    reserve: int
    ours: int
    """The measured memory of all models, and what is reserved for jobs."""
    others: int = 0
    """All other memory that NVML reports as used."""
    free: int = 0
    drift: int | None = None
    """How much more this process uses than its models account for; None: unknown, as when NVML lists no processes."""
    models: list[ModelStatus] = []


class AnalyserStatus(ResponseModel):
    """The state of the analyser."""

    state: str = "off"
    """off, ready, busy or broken (the circuit breaker is open)."""
    backend: str = ""
    queue: int = 0
    answered: int = 0
    failed: int = 0
    why: str = ""
    retry_in: float | None = None
    """Seconds until a broken analyser is tried again."""


class OutboxStatus(ResponseModel):
    """The state of the outbox of notifications."""

    waiting: int = 0
    oldest: float | None = None
    """The age of the oldest waiting message in seconds."""
    sent: int = 0
    given_up: int = 0
    why: str = ""


class StorageStatus(ResponseModel):
    """Clips and snapshots on disk; sizes in bytes."""

    clips: int = 0
    used: int = 0
    free: int = 0
    state: str = "ok"
    """ok or full."""
    why: str = ""


class InspectFolderStatus(ResponseModel):
    """The state of the folder whose pictures are inspected."""

    state: str = "off"
    """off, ok or failing."""
    why: Annotated[str, ONE_VISIBLE_LINE] = ""
    """Why it fails, or what pictures wait for."""
    waiting: int = 0
    """Pictures without a result."""
    inspected: int = 0
    """Since the start of the service; so is `failed`."""
    failed: int = 0
    """Pictures that could not be inspected; the result beside each says why."""


class ServiceStatus(ResponseModel):
    """The state of the whole service."""

    version: str
    started: float
    """Unix time."""
    uptime: float
    """Seconds."""
    rss: int
    """Resident memory in bytes."""
    host: str = ""
    """The host name of the service's machine; in a container, the start of the container's id."""
    cameras: list[CameraStatus] = []
    ledger: LedgerStatus | None = None
    logger: LoggerStatus = LoggerStatus()
    analyser: AnalyserStatus = AnalyserStatus()
    outbox: OutboxStatus = OutboxStatus()
    storage: StorageStatus = StorageStatus()
    inspect_folder: InspectFolderStatus = InspectFolderStatus()
    inspections_refused: int = 0
    """Inspections that the database refused, or whose file is damaged: `inspection/waiting/*.refused`."""
    newest_event: str = ""
    """The id of the newest event."""
    unacknowledged: int = 0
    zone: str = "UTC"
