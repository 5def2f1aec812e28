"""The containers that are being replaced where there can be only one: what is needed to make them again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.files import write_atomic
from core.site import Site

_SUFFIX = ".before.json"


def interrupted_services(site: Site, stack: str) -> frozenset[str]:
    """The services whose container a killed run was about to remove for a new one."""
    return frozenset(path.name.removesuffix(_SUFFIX) for path in (site.state / "stacks" / stack).glob(f"*{_SUFFIX}"))


def kept_path(site: Site, stack: str, service: str) -> Path:
    """The file with the engine's descriptions of the containers before."""
    return site.state / "stacks" / stack / f"{service}{_SUFFIX}"


def read_kept(site: Site, stack: str, service: str) -> list[dict[str, Any]]:
    """The descriptions of the containers before; empty when no replacement was interrupted."""
    with suppress(OSError, ValueError):
        return list(json.loads(kept_path(site, stack, service).read_text()))
    return []


def keep(site: Site, stack: str, service: str, descriptions: Sequence[dict[str, Any]]) -> None:
    """Keep the descriptions until `forget`, for the owner's eyes alone: they have the environment."""
    write_atomic(kept_path(site, stack, service), json.dumps(descriptions), mode=0o600)


def forget(site: Site, stack: str, service: str) -> None:
    """Forget the containers before."""
    kept_path(site, stack, service).unlink(missing_ok=True)
