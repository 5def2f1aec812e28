"""The data model of a site report. Every value is a named fact that `collect` reads by itself; nothing is copied whole.

A report of a newer xaiva stays readable: unknown keys are ignored, and unknown words are shown as they are. A section
whose source failed has the reason in `unknown` and no value, so that it never looks like an empty one.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from core.open_enum import OpenEnum

FORMAT = 1
_ABSENT = "the report does not say it"  # one of an older xaiva
ValueT = TypeVar("ValueT")


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("the time has no time zone")
    return moment.astimezone(timezone.utc)


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
UtcTime = Annotated[datetime, AfterValidator(_utc)]


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Section(_Facts, Generic[ValueT]):
    """The facts of one source, or why they are not known."""

    value: ValueT | None = None
    unknown: str = ""
    """Why there is no value."""

    @model_validator(mode="after")
    def _has_one_of_both(self) -> Self:
        if (self.value is None) == (not self.unknown):
            raise ValueError("it has either a value, or in `unknown` the reason why it has none")
        return self


class HostFacts(_Facts):
    """The machine that wrote the report. Sizes are bytes."""

    name: str
    os: str = ""
    """The distribution, as it names itself."""
    kernel: str = ""
    architecture: str = ""
    """Such as `x86_64`."""
    cpu: str = ""
    cores: int | None = None
    memory: int | None = None


class GpuFacts(_Facts):
    """One GPU. None and empty: the driver does not report it."""

    name: str
    state: str
    memory: int | None = None
    compute_capability: str = ""
    mig: bool | None = None
    """Whether it is divided."""


class GpusFacts(_Facts):
    """The GPUs, and the driver with the newest CUDA version that it supports."""

    state: str
    """How the driver answers: `ok`, `lost`, or `no-library` and `no-driver` for a machine without one."""
    detail: str = ""
    driver: str = ""
    cuda: str = ""
    gpus: list[GpuFacts] = []


class ImageStore(OpenEnum):
    """Where the engine keeps its images. It decides which digest the id of an image is."""

    CLASSIC = "classic"
    CONTAINERD = "containerd"
    UNKNOWN = "unknown"


class EngineFacts(_Facts):
    """The Docker engine. An empty text is a value that it does not give."""

    title: str
    """`docker 27.1.1`, or another vendor's name with its version."""
    place: str = ""
    """`local`, `context NAME`, `ssh HOST` or `tcp HOST:PORT`."""
    version: str = ""
    api: str = ""
    """The newest version of its API."""
    minimum_api: str = ""
    image_store: ImageStore = ImageStore.UNKNOWN
    storage_driver: str = ""
    architecture: str = ""
    gpu_access: str = ""
    """How it gives GPUs to containers: `device-request` by the NVIDIA container toolkit, `cdi`, `none` or `unknown`."""
    runtimes: list[str] = []


class DiskFacts(_Facts):
    """A watched folder, or a mount without a label. Sizes are bytes; None: it does not answer."""

    path: str
    label: str = ""
    file_system: str = ""
    state: str = ""
    total: int | None = None
    free: int | None = None


class ImageFacts(_Facts):
    """An image of xaiva in the engine. Digests are `sha256:…`; an empty one is not known."""

    id: str
    tags: list[str] = []
    config: str = ""
    manifest: str = ""
    preset: str = ""
    preset_sha256: str = ""
    lock_sha256: str = ""
    platform: str = ""
    size: int | None = None
    layers: list[str] = []
    """The digests of its layers before compression, lowest first."""


class ImageState(OpenEnum):
    """Whether the engine has the image of a preset's lock."""

    NONE = "none"
    CURRENT = "current"
    OTHER_LOCK = "other lock"
    UNKNOWN = "unknown"


class PresetFacts(_Facts):
    """A preset of the site, its lock and its artifacts."""

    name: str
    problem: str = ""
    """Why its file or its lock cannot be used."""
    preset_sha256: str = ""
    lock_sha256: str = ""
    """Empty: it has no lock."""
    lock_is_current: bool | None = None
    """Whether the lock is of the preset as it is now; None without a lock."""
    image: ImageState = ImageState.UNKNOWN
    files: int = 0
    """The files of the lock."""
    verified: int = 0
    by_size: int = 0
    """Files that have the right size, and whose content was not verified since they changed."""
    bytes: int = 0


class BlobFacts(_Facts):
    """Locked files in `artifacts/`, by SHA-256."""

    verified: list[Sha256] = []
    """Verified on this disk, and unchanged since."""
    by_size: list[Sha256] = []
    """The size is right and the content was not verified: nothing may rely on them."""


class CameraFacts(_Facts):
    """A camera of the inference service, without its address."""

    id: str
    name: str = ""
    kind: str = ""
    """The scheme of its source, such as `rtsp`; `file` or `device` for what has none."""
    state: str = ""
    cause: str = ""
    """The word for why it is not live."""
    width: int = 0
    height: int = 0
    codec: str = ""
    fps: float = 0
    processed_fps: float = 0
    reconnects: int = 0
    restarts: int = 0
    alerts: list[str] = []
    """The kinds of its open alerts."""


class ServiceFacts(_Facts):
    """The inference service."""

    version: str
    uptime: float = 0
    """Seconds."""
    logger: str = ""
    analyser: str = ""
    storage: str = ""
    waiting_messages: int = 0
    messages_given_up: int = 0
    unacknowledged: int = 0
    models: dict[str, str] = {}
    """State by model."""
    cameras: list[CameraFacts] = []


class EventFacts(_Facts):
    """One event: what was seen, where and when."""

    type: str
    camera: str
    priority: str = ""
    started: UtcTime


class DayFacts(_Facts):
    """The events of one camera on one day."""

    date: str
    camera: str
    events: int = 0
    acknowledged: int = 0
    by_type: dict[str, int] = {}
    by_priority: dict[str, int] = {}


class EventsFacts(_Facts):
    """The newest events, and the statistics of the last days in the service's time zone."""

    zone: str = ""
    days: list[DayFacts] = []
    newest: list[EventFacts] = []


class OperationFacts(_Facts):
    """One of the newest operations. Times are Unix times."""

    id: int
    kind: str
    subject: str = ""
    state: str
    started: float = 0
    seconds: float = 0
    what: str = ""
    """What failed."""
    why: str = ""


class CrashFacts(_Facts):
    """Unexpected errors of xaiva in its own log."""

    count: int = 0
    newest: str = ""
    """Local time of the newest."""


class AcceptedFacts(_Facts):
    """A shipment that the site accepted."""

    shipment: str
    created: str = ""
    accepted: str = ""
    signer: str = ""


class SiteReport(_Facts):
    """Everything that a site report says."""

    format: Literal[1] = 1
    created: UtcTime
    xaiva: str = ""
    """The version that wrote it."""
    site: str = ""
    """The name of the site."""
    host: Section[HostFacts] = Section[HostFacts](unknown=_ABSENT)
    gpus: Section[GpusFacts] = Section[GpusFacts](unknown=_ABSENT)
    engine: Section[EngineFacts] = Section[EngineFacts](unknown=_ABSENT)
    disks: Section[list[DiskFacts]] = Section[list[DiskFacts]](unknown=_ABSENT)
    images: Section[list[ImageFacts]] = Section[list[ImageFacts]](unknown=_ABSENT)
    presets: Section[list[PresetFacts]] = Section[list[PresetFacts]](unknown=_ABSENT)
    blobs: Section[BlobFacts] = Section[BlobFacts](unknown=_ABSENT)
    service: Section[ServiceFacts] = Section[ServiceFacts](unknown=_ABSENT)
    events: Section[EventsFacts] = Section[EventsFacts](unknown=_ABSENT)
    operations: Section[list[OperationFacts]] = Section[list[OperationFacts]](unknown=_ABSENT)
    crashes: Section[CrashFacts] = Section[CrashFacts](unknown=_ABSENT)
    shipments: Section[list[AcceptedFacts]] = Section[list[AcceptedFacts]](unknown=_ABSENT)

    @property
    def host_name(self) -> str:
        """The name of the machine; `unknown host` without one."""
        return self.host.value.name if self.host.value and self.host.value.name else "unknown host"
