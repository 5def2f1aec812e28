"""What must stay because a preset, a live operation or a good build of the site needs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import XaivaError
from core.images.build_history import BuildOutcome, BuildRecord, list_builds
from core.operations.held_keys import RecordedOperation, recorded_operations
from core.operations.place import LEDGER_FILE
from core.presets.store import list_presets
from core.site import Site

KIND = "clean"
KEY = "clean"  # of the operation: one clean-up at a time, and it holds no preset
GOOD_IMAGES = 2  # of each preset: the newest one, and the one before it as the way back
_PRESET_KEY = "preset:"


@dataclass(frozen=True)
class Holds:
    """The site's presets, operations and builds at one moment."""

    presets: frozenset[str] | None
    """None when they are unknown: then no preset counts as gone."""
    presets_problem: str
    """Why they are unknown."""
    operations: Sequence[RecordedOperation]
    builds: dict[str, BuildRecord]
    """By id, newest first."""
    mounts: Mapping[str, str]
    """Path that a container mounts, whether it runs or not → the container. Empty when the engine does not answer."""

    def user(self, path: Path) -> str:
        """A container that mounts a path, something below it or a folder above it; empty for none."""
        for source, container in self.mounts.items():
            if path == Path(source) or path in Path(source).parents or Path(source) in path.parents:
                return container
        return ""

    def is_gone(self, preset: str) -> bool:
        """Whether there certainly is no preset of that name."""
        return self.presets is not None and preset not in self.presets

    def live(self) -> list[RecordedOperation]:
        """The live operations besides a clean-up."""
        return _live(self.operations)

    def holder(self, preset: str = "") -> str:
        """The live operation that may need what belongs to a preset, or else to none; empty when there is none.

        One that holds no preset, such as a shipment in progress, may need things of all of them.
        """
        for operation in self.live():
            if operation.key == _PRESET_KEY + preset or not operation.key.startswith(_PRESET_KEY):
                return operation.title()
        return ""

    def build_in_progress(self) -> str:
        """The id of a build that runs; empty when there is none."""
        return next((record.id for record in self.builds.values() if record.outcome is BuildOutcome.RUNNING), "")

    def last_good_builds(self) -> set[str]:
        """The ids of the last good builds of each preset."""
        counts: Counter[tuple[str, str]] = Counter()
        good = set()
        for record in self.builds.values():
            if record.outcome is BuildOutcome.DONE and counts[record.preset, record.target] < GOOD_IMAGES:
                counts[record.preset, record.target] += 1
                good.add(record.id)
        return good


def read_holds(site: Site, mounts: Mapping[str, str]) -> Holds:
    """Read them. Raises XaivaError when the ledger cannot be read: nothing is then known to be free."""
    presets, problem = _read_presets(site)
    operations = recorded_operations(site.state / LEDGER_FILE)
    return Holds(presets, problem, operations, {record.id: record for record in list_builds(site)}, mounts)


def live_operations(site: Site) -> list[RecordedOperation]:
    """The live operations of a site besides a clean-up. Raises XaivaError when the ledger cannot be read."""
    return _live(recorded_operations(site.state / LEDGER_FILE))


def _live(operations: Sequence[RecordedOperation]) -> list[RecordedOperation]:
    return [operation for operation in operations if operation.live and operation.kind != KIND]


def _read_presets(site: Site) -> tuple[frozenset[str] | None, str]:
    try:
        names = frozenset(entry.name for entry in list_presets(site))
    except XaivaError as error:
        return None, error.summary
    if not names:
        return None, f"{site.presets} has no preset at all; it may be a medium that is not mounted"
    return names, ""
