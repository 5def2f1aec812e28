"""Engines with each kind of image store, for the tests of deliveries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.site import Site
from tests.support.engine import TestEngine, start_engine

STORES = ("containerd", "classic")
_SETTINGS: dict[str, dict[str, object]] = {
    "classic": {},
    "containerd": {"features": {"containerd-snapshotter": True}, "storage-driver": "native"},
}


@contextmanager
def store_engine(store: str, *, offline: bool = False) -> Iterator[TestEngine]:
    """An engine with that image store, on the host's network or, `offline`, where it cannot reach this machine."""
    settings = {"debug": True, **_SETTINGS[store]}  # its log then has every pull
    with start_engine(offline=offline, bridge=False, base=False, settings=settings) as engine:
        yield engine


def site_for(folder: Path, engine: TestEngine, **env: str) -> Site:
    """A site of that engine's."""
    folder.mkdir(exist_ok=True)
    return Site.open(folder, {**engine.env, **env})


def random_name() -> str:
    """A name that no earlier test used, for layers that the engine cannot have."""
    return os.urandom(6).hex()
