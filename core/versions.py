"""The version numbers of this xaiva and of what it works with here; docs/versions.md explains each."""

from __future__ import annotations

import platform
from contextlib import closing
from importlib import metadata

from pydantic import BaseModel, ConfigDict

from core.api_schema.base import API_VERSION, READABLE_APIS
from core.artifacts.lockfile import Lock
from core.artifacts.service_wheel import version as package_version
from core.engine import connect_engine, engine_errors
from core.errors import XaivaError
from core.memory_bank_format import BANK_VERSION
from core.operations import sql
from core.site import Site

ENGINE_SECONDS = 3.0  # a version is not worth a longer wait


class EngineVersion(BaseModel):
    """The version of the site's engine."""

    model_config = ConfigDict(frozen=True)

    version: str = ""
    api: str = ""
    """The newest version of its API."""
    problem: str = ""
    """Why it cannot say its version; empty when it did."""


class Versions(BaseModel):
    """All numbers, of programs as text and of formats as numbers."""

    model_config = ConfigDict(frozen=True)

    xaiva: str
    api: int
    """Of the inference service that this xaiva brings."""
    readable_apis: list[int]
    """Of running services that this xaiva can talk to."""
    lock: int
    memory_bank: int
    ledger: int
    engine: EngineVersion
    python: str
    textual: str
    """Empty when it is not installed."""


def read_versions(site: Site) -> Versions:
    """The version numbers; asks the site's engine for its own. Raises XaivaError when xaiva is not installed whole."""
    return Versions(
        xaiva=package_version(),
        api=API_VERSION,
        readable_apis=list(READABLE_APIS),
        lock=Lock.model_fields["version"].default,
        memory_bank=BANK_VERSION,
        ledger=sql.VERSION,
        engine=_engine_version(site),
        python=platform.python_version(),
        textual=_installed_version("textual"),
    )


def _engine_version(site: Site) -> EngineVersion:
    try:
        with closing(connect_engine(site, ENGINE_SECONDS)) as client, engine_errors("Engine's version"):
            answer = client.version()
    except XaivaError as error:
        return EngineVersion(problem=error.summary)
    return EngineVersion(version=str(answer.get("Version") or ""), api=str(answer.get("ApiVersion") or ""))


def _installed_version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
