"""The table of operation kinds: each is the import path of a function, which another process can load.

Every function has the shape `run(site, subject, options, progress) -> dict[str, JsonValue]`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from pydantic import JsonValue

from core.progress import Progress
from core.site import Site

OperationFunction: TypeAlias = Callable[[Site, str, Mapping[str, JsonValue], Progress], dict[str, JsonValue]]

KINDS: dict[str, str] = {
    "lock": "core.artifacts.lock:run",
    "sync": "core.artifacts.sync:run",
    "verify": "core.artifacts.verify:run",
    "wheel": "core.artifacts.build_wheel:run",
    "build": "core.images.build:run",
    "load": "core.images.load:run",
}


def load_function(target: str) -> OperationFunction:
    """The function at `target`, `module:function`. Raises ImportError or AttributeError when it does not exist."""
    module, _, name = target.partition(":")
    return cast(OperationFunction, getattr(importlib.import_module(module), name))
