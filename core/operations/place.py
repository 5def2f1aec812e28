"""The place that operations work for: its folders, limits, environment, kinds and clean-up."""

from __future__ import annotations

import importlib
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import JsonValue

from core.files import TEMPORARY_PREFIX
from core.operations.queue import NO_RULE, QueueRule
from core.progress import Progress

LEDGER_FILE = "ledger.sqlite"
OperationFunction: TypeAlias = Callable[[Any, str, Mapping[str, JsonValue], Progress], dict[str, JsonValue]]


@dataclass(frozen=True)
class Place:
    """Everything that operations know about the side they work for. Each side builds its own."""

    root: Path
    """The working folder of their processes."""
    state: Path
    """The folder of the ledger, the logs and the disk reserves."""
    env: Mapping[str, str]
    """The environment of their processes."""
    kinds: Mapping[str, str]
    """Kind → `module:function`, which a worker calls as `run(context, subject, options, progress)`."""
    context: Any
    """The first argument of these functions, such as a site."""
    opener: str
    """`module:function` that builds this place from `root` in another process. It also declares secrets to redact."""
    log_limit: int
    """The size of one log in bytes."""
    keep: int
    """How many operations that have ended stay in the ledger."""
    remove_leftovers: Callable[[str], None]
    """Removes the files that a killed operation left in what its key, the argument, still locks."""
    remove_helpers: Callable[[], None]
    """Removes what else may still work for a killed operation, such as containers. May take long."""
    rules: Mapping[str, QueueRule] = field(default_factory=dict)
    """Kind → what it uses and how often it is tried; a kind that is not here starts at once and is tried once."""
    capacity: Mapping[str, int] = field(default_factory=dict)
    """Resource → how many operations may use it at once; 1 for a resource that is not here."""
    keep_days: float = math.inf
    """How many days operations that have ended stay in the ledger."""
    network_remedy: str = ""
    """What to do when the ledger is on a network file system; "" for the advice for a site."""
    command: str = "xaiva ops"
    """The command line that shows, follows, cancels and retries these operations, for remedies."""

    @property
    def ledger(self) -> Path:
        """The file of the ledger."""
        return self.state / LEDGER_FILE

    def rule(self, kind: str) -> QueueRule:
        """How operations of a kind queue and are tried."""
        return self.rules.get(kind, NO_RULE)

    def operation_file(self, identifier: int, suffix: str) -> Path:
        """A file that belongs to an operation: its log (`.log`) or its disk reserve (`.reserve`)."""
        return self.state / "operations" / f"{identifier}{suffix}"

    def clean_up(self, key: str, temporary: str) -> None:
        """Remove the folder `temporary` of an operation, and its leftovers while it still holds `key` ("" for none)."""
        if temporary and Path(temporary).name.startswith(TEMPORARY_PREFIX):
            shutil.rmtree(temporary, ignore_errors=True)
        if key:
            self.remove_leftovers(key)


def load_function(target: str) -> Callable[..., Any]:
    """The function at `target`, `module:function`. Raises ImportError or AttributeError when it does not exist."""
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def open_place(opener: str, root: str) -> Place:
    """The place that `opener` builds from `root`. Raises whatever the opener raises."""
    place: Place = load_function(opener)(root)
    return place
