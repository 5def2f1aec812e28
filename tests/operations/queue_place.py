"""A place whose operations queue: the sample kinds with rules and capacities that the test chooses."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.operations.ledger import Ledger
from core.operations.place import Place
from core.operations.queue import QueueRule
from core.site import Site
from core.site_operations import site_place
from tests.operations.sample_kinds import KINDS

_SETTINGS = "queue.json"
_SILENCE_COUNTS = "silence-counts"
QUICK_PAUSES = (0.05, 0.1)


@dataclass(frozen=True)
class _Rule(QueueRule):
    """A rule whose silence counts from `let_silence_count` on: a process may take longer to start than it lasts."""

    root: Path = Path()

    def __getattribute__(self, name: str) -> Any:
        if name == "silence" and not (self.root / _SILENCE_COUNTS).exists():
            return 0.0
        return super().__getattribute__(name)


def let_silence_count(root: Path, counts: bool = True) -> None:
    """From now on work that is silent for longer than its rule says is killed, or no longer."""
    (root / _SILENCE_COUNTS).touch()
    if not counts:
        (root / _SILENCE_COUNTS).unlink()


def queue_ledger(
    root: Path, temporary: Path, rules: Mapping[str, QueueRule], capacity: Mapping[str, int] | None = None, **more: Any
) -> Ledger:
    """The ledger of a place in `root` with these rules, which its supervisors see as well."""
    settings = {
        "rules": {kind: asdict(rule) for kind, rule in rules.items()},
        "capacity": dict(capacity or {}),
        "temporary": os.fspath(temporary),
        "more": more,
    }
    (root / _SETTINGS).write_text(json.dumps(settings))
    return Ledger(open_queue_place(os.fspath(root)))


def open_queue_place(root: str) -> Place:
    """Open the place as `queue_ledger` described it."""
    settings = json.loads(Path(root, _SETTINGS).read_text())
    site = Site.open(root)
    site = Site(site.root, site.settings, {**site.env, "TMPDIR": settings["temporary"]})
    rules = {
        kind: _Rule(
            **{name: tuple(value) if isinstance(value, list) else value for name, value in rule.items()},
            root=site.root,
        )
        for kind, rule in settings["rules"].items()
    }
    return replace(
        site_place(site, KINDS),
        opener=f"{__name__}:open_queue_place",
        rules=rules,
        capacity=settings["capacity"],
        **settings["more"],
    )
