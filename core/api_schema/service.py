"""The status of the whole service."""

from __future__ import annotations

from core.api_schema.base import ResponseModel
from core.api_schema.cameras import CameraStatus
from core.api_schema.events import LoggerStatus


class ModelStatus(ResponseModel):
    """One model of the pool. `cost` in bytes as measured, else `declared`; `leases` are cameras that use it.

    `state` is loading, ready, idle, closing or failed (`why`). Rates are items a second; `wait` and `batch` are the
    means of the newest batches: seconds from asking to answer, and items together.
    """

    key: str
    state: str
    provider: str = ""
    cost: int = 0
    declared: int = 0
    measured: bool = False
    pinned: bool = False
    leases: int = 0
    rate: float = 0
    wait: float | None = None
    batch: float | None = None
    why: str = ""


class LedgerStatus(ResponseModel):
    """The memory the models share, in bytes. `device` is `cuda:0 <name>` or `memory`.

    `ours` is what the models were measured to cost, `others` what else NVML sees in use, `drift` how much more this
    process uses than its models explain; None where that cannot be told, as where NVML names no processes.
    """

    device: str
    total: int
    reserve: int
    ours: int
    others: int = 0
    free: int = 0
    drift: int | None = None
    models: list[ModelStatus] = []


class AnalyserStatus(ResponseModel):
    """`state` is off, ready, busy or broken (the circuit is open: `why`, next try in `retry_in` seconds)."""

    state: str = "off"
    backend: str = ""
    queue: int = 0
    answered: int = 0
    failed: int = 0
    why: str = ""
    retry_in: float | None = None


class OutboxStatus(ResponseModel):
    """Messages that wait, and since when the oldest does, in seconds."""

    waiting: int = 0
    oldest: float | None = None
    sent: int = 0
    given_up: int = 0
    why: str = ""


class StorageStatus(ResponseModel):
    """Clips and snapshots on disk, in bytes; `state` is ok or full (`why`)."""

    clips: int = 0
    used: int = 0
    free: int = 0
    state: str = "ok"
    why: str = ""


class ServiceStatus(ResponseModel):
    """The whole service: `started` is a Unix time, `uptime` seconds, `rss` bytes; `newest_event` an event's id.

    `host` is what the machine it runs on calls itself: in a container the start of the container's id.
    """

    version: str
    started: float
    uptime: float
    rss: int
    host: str = ""
    cameras: list[CameraStatus] = []
    ledger: LedgerStatus | None = None
    logger: LoggerStatus = LoggerStatus()
    analyser: AnalyserStatus = AnalyserStatus()
    outbox: OutboxStatus = OutboxStatus()
    storage: StorageStatus = StorageStatus()
    newest_event: str = ""
    unacknowledged: int = 0
    zone: str = "UTC"
