"""Remembers what packages state about their licences, because unpacking hundreds of them takes a while."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from core.carry.deb_licence import SharedDocuments
from core.carry.licence import Licence, State
from core.files import read_regular, write_atomic
from core.site import Site

_FORMAT: Literal[1] = 1  # raised when the readers of packages state something else about the same package
_MAX_ENTRIES = 20_000


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    state: State = State.STATED
    text: str = ""
    where: str = ""
    documents_of: str = ""


class _Cache(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    packages: dict[str, _Entry] = {}


def cache_path(site: Site) -> Path:
    """The file, which may be removed at any time."""
    return site.state / "carry/licences.json"


def read_cache(site: Site) -> dict[str, Licence | SharedDocuments]:
    """SHA-256 of a package → what it states. Empty when the file is missing or damaged: it is made again."""
    try:
        cache = _Cache.model_validate_json(read_regular(cache_path(site)))
    except (OSError, ValidationError):
        return {}
    return {
        sha256: SharedDocuments(entry.documents_of)
        if entry.documents_of
        else Licence(entry.state, entry.text, entry.where)
        for sha256, entry in cache.packages.items()
    }


def write_cache(site: Site, packages: Mapping[str, Licence | SharedDocuments]) -> None:
    """Keep the last of `packages`. Where that cannot be written, they are read again the next time."""
    entries = {
        sha256: _Entry(documents_of=value.package)
        if isinstance(value, SharedDocuments)
        else _Entry(state=value.state, text=value.text, where=value.where)
        for sha256, value in list(packages.items())[-_MAX_ENTRIES:]
    }
    with contextlib.suppress(OSError):
        write_atomic(cache_path(site), _Cache(format=_FORMAT, packages=entries).model_dump_json(exclude_defaults=True))
