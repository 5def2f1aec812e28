"""The settings of the service from environment variables, as `env.template` explains them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo

from core.errors import InputError
from core.redaction import has_placeholder
from core.validation_errors import first_problem

PREFIX = "XAIVA_"
MIB = 1024 * 1024


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("write a known time zone, such as Europe/Berlin") from error
    return name


def _check_prefix(prefix: str) -> str:
    if any(not part or part.startswith(".") for part in prefix.split("/")):
        raise ValueError("write folders such as inspection/good, none of them hidden, without a / at either end")
    return prefix


def _check_apart(defect: str, info: ValidationInfo) -> str:
    normal = info.data.get("normal_prefix", "")
    if f"{defect}/".startswith(f"{normal}/") or f"{normal}/".startswith(f"{defect}/"):
        why = f"{defect} and XAIVA_NORMAL_PREFIX ({normal}) are the same folder, or one is inside the other"
        raise ValueError(f"{why}: defects would count as normal pictures")
    return defect


class ServiceSettings(BaseModel):
    """Each field is read from the variable XAIVA_<FIELD>; an empty variable counts as unset."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    data: Path
    """Folder of the database, the spool, clips and snapshots."""
    models: Path = Path("/models")
    """Folder of the model files."""
    database_url: str = ""
    """Empty: SQLite in `data`."""
    zone: Annotated[str, AfterValidator(_check_zone)] = "UTC"
    max_cameras: Annotated[int, Field(ge=1, le=256)] = 16
    service_token: str = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    cors_origins: str = ""
    event_log: Path | None = None
    clips_days: Annotated[float, Field(gt=0)] = 30
    clips_gb: Annotated[float, Field(gt=0)] = 50
    """The most that clips and snapshots may take."""
    clips_free_gb: Annotated[float, Field(ge=0)] = 2
    """What clips and snapshots leave free on their disk."""
    events_days: Annotated[float, Field(gt=0)] = 365
    vram_reserve_mb: Annotated[int, Field(ge=0)] = 500
    """What models leave free on a GPU."""
    memory_budget_mb: Annotated[int, Field(ge=0)] = 0
    """The memory of models without a GPU; 0: half of what is free at the start."""
    onnx_provider: Literal["auto", "cpu", "cuda", "tensorrt"] = "auto"
    analyser: Literal["off", "openai", "demo"] = "off"
    analyser_url: str = ""
    analyser_model: str = ""
    analyser_key: str = ""
    analyser_timeout: Annotated[float, Field(gt=0, le=600)] = 30
    smtp_url: str = ""
    mail_from: str = "xaiva@localhost"
    flows: Path | None = None
    storage_url: str = ""
    """Where the pictures of inspections lie; empty: the folder `images` in `data`."""
    normal_prefix: Annotated[str, AfterValidator(_check_prefix)] = "normal"
    """The folder of normal pictures there; so is `defect_prefix`."""
    defect_prefix: Annotated[
        str, Field(validate_default=True), AfterValidator(_check_prefix), AfterValidator(_check_apart)
    ] = "defect"
    storage_connections: Annotated[int, Field(ge=1, le=64)] = 10
    """Objects that are fetched from a bucket at once."""
    jobs: Path | None = None
    """Folder of the jobs' ledger, on a local disk; None: `jobs` in `data`."""
    jobs_keep: Annotated[int, Field(ge=10)] = 500
    """Jobs that have ended and stay in the history."""
    jobs_days: Annotated[float, Field(gt=0)] = 365
    jobs_findings: Annotated[float, Field(ge=0, le=1)] = 0.2
    """The share of pictures that may be unusable before a job fails."""
    encoder: str = ""
    """The image encoder of the indexes: a file in the models folder; empty: the one that xaiva ships."""
    backbone: str = ""
    """The network of products' memory banks: a file in the models folder; empty: the one that xaiva ships."""
    inspect_folder: Path | None = None
    """Pictures put there are inspected."""
    inspections_days: Annotated[float, Field(gt=0)] = 365
    inspections_gb: Annotated[float, Field(gt=0)] = 20
    """The most that pictures of inspections may take."""

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data / 'xaiva.db'}"

    @property
    def jobs_folder(self) -> Path:
        return self.jobs or self.data / "jobs"

    @property
    def inspection_folder(self) -> Path:
        """Folder of indexes, memory banks, embeddings and pictures of inspections."""
        return self.data / "inspection"


def read_settings(environment: Mapping[str, str], data: Path) -> ServiceSettings:
    """Settings from `environment`. Raises InputError naming the variable, never the value of a secret."""
    values = {
        field: environment[name]
        for field in ServiceSettings.model_fields
        if field != "data" and environment.get(name := PREFIX + field.upper(), "")
    }
    for field, value in values.items():
        if has_placeholder(value):
            why = "it contains *** in place of a secret"
            raise InputError(PREFIX + field.upper(), why, "write the secret itself; env.template explains the variable")
    try:
        return ServiceSettings(data=data, **values)
    except ValidationError as error:
        field, why = first_problem(error)
        raise InputError(PREFIX + field.upper(), why, "env.template explains it") from None
