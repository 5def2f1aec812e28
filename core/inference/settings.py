"""The settings of the service from environment variables, as `env.template` explains them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

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


class ServiceSettings(BaseModel):
    """Every field is read from the variable XAIVA_<FIELD>; an empty one counts as not set.

    `data` holds the database, the spool, clips and snapshots; `models` the model files. An empty `database_url` is
    SQLite in `data`. `vram_reserve_mb` stays free on a GPU, `memory_budget_mb` (0: half of what is free at the start)
    bounds the models' memory on a machine without one; `onnx_provider` is what they run on. The clips' bounds: days
    kept, GB used at most, GB always free.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    data: Path
    models: Path = Path("/models")
    database_url: str = ""
    zone: Annotated[str, AfterValidator(_check_zone)] = "UTC"
    max_cameras: Annotated[int, Field(ge=1, le=256)] = 16
    service_token: str = ""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    cors_origins: str = ""
    event_log: Path | None = None
    clips_days: Annotated[float, Field(gt=0)] = 30
    clips_gb: Annotated[float, Field(gt=0)] = 50
    clips_free_gb: Annotated[float, Field(ge=0)] = 2
    events_days: Annotated[float, Field(gt=0)] = 365
    vram_reserve_mb: Annotated[int, Field(ge=0)] = 500
    memory_budget_mb: Annotated[int, Field(ge=0)] = 0
    onnx_provider: Literal["auto", "cpu", "cuda", "tensorrt"] = "auto"
    analyser: Literal["off", "openai", "demo"] = "off"
    analyser_url: str = ""
    analyser_model: str = ""
    analyser_key: str = ""
    analyser_timeout: Annotated[float, Field(gt=0, le=600)] = 30
    smtp_url: str = ""
    mail_from: str = "xaiva@localhost"
    flows: Path | None = None

    @property
    def database(self) -> str:
        """The database's URL for SQLAlchemy."""
        return self.database_url or f"sqlite:///{self.data / 'xaiva.db'}"


def read_settings(environment: Mapping[str, str], data: Path) -> ServiceSettings:
    """Settings from `environment`. Raises InputError naming the variable; the value of a secret is never shown."""
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
