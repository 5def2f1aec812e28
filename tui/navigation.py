"""Every screen of the console, defined once: a new screen is one row here and one module in `tui/screens/`.

The application makes its screens from this table, the bar at the top shows it, digits and letters lead through it, and
the command palette finds screens by its names.
"""

from __future__ import annotations

from dataclasses import dataclass

GROUPS = ("watch", "prepare", "run", "inspect", "work")
"""What people do, in the order in which it is shown. A group without a screen is not shown."""


@dataclass(frozen=True)
class ScreenEntry:
    name: str
    """Its module in `tui/screens/`, which has the class `<Name>Screen`; the name for `:`."""
    title: str
    key: str
    """The digit that opens it, "" for a screen that only has its letter."""
    group: str
    letter: str
    """The key that opens it in the menu of all screens."""
    help: str
    aliases: tuple[str, ...] = ()
    """Other names for `:`."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that open it, one after the other."""
        return (self.key,) if self.key else ("comma", self.letter)


_ENTRIES = (
    ScreenEntry("overview", "Overview", "1", "watch", "o", "everything that needs your attention", ("home",)),
    ScreenEntry("cameras", "Cameras", "6", "watch", "c", "the service's cameras with a live picture", ("cams",)),
    ScreenEntry("events", "Events", "8", "watch", "e", "what the cameras detected"),
    ScreenEntry("statistics", "Statistics", "9", "watch", "s", "events per day, hour, type and camera", ("stats",)),
    ScreenEntry("presets", "Presets", "2", "prepare", "p", "what an image is made of; findings, lock, sync, build"),
    ScreenEntry("artifacts", "Artifacts", "3", "prepare", "a", "what is locked and what is on disk"),
    ScreenEntry("builds", "Builds", "4", "prepare", "b", "every kept build with its stages and log"),
    ScreenEntry("containers", "Containers", "5", "run", "t", "the engine's containers with their logs", ("ps",)),
    ScreenEntry("processes", "Processes", "", "run", "r", "what uses the GPUs, and what runs in containers", ("top",)),
    ScreenEntry("service", "Service", "0", "run", "v", "models, memory, notification rules and users"),
    ScreenEntry("operations", "Operations", "7", "work", "w", "long work with its stages and log", ("ops",)),
)  # fmt: skip
SCREENS: dict[str, ScreenEntry] = {entry.name: entry for entry in _ENTRIES}
