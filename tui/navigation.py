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
    ScreenEntry(
        "overview", "Overview", "1", "watch", "o",
        "GPUs, host, containers, cameras, operations, and what needs your attention",
        ("home",),
    ),
    ScreenEntry(
        "cameras", "Cameras", "6", "watch", "c",
        "the service's cameras with a live picture; add, edit, test, learn, threshold",
        ("cams",),
    ),
    ScreenEntry(
        "events", "Events", "8", "watch", "e",
        "what the cameras detected: filters, picture, analysis; acknowledge, export",
    ),
    ScreenEntry(
        "statistics", "Statistics", "9", "watch", "s",
        "events per day, by hour, by type and by camera",
        ("stats",),
    ),
    ScreenEntry(
        "presets", "Presets", "2", "prepare", "p",
        "every preset with its contents and findings; edit, lock, sync, build, launch",
    ),
    ScreenEntry(
        "artifacts", "Artifacts", "3", "prepare", "a",
        "what is locked, what is on disk, what a sync would do; lock, sync, verify",
    ),
    ScreenEntry(
        "builds", "Builds", "4", "prepare", "b",
        "every kept build with its stages and log; compare two builds",
    ),
    ScreenEntry(
        "carry", "Carry", "", "prepare", "y",
        "media for sites without a network: pack, unpack, check; whether one may be pulled out",
        ("media", "stick", "usb"),
    ),
    ScreenEntry(
        "containers", "Containers", "5", "run", "t",
        "all containers of the engine; log, shell, stop, restart, remove",
        ("ps",),
    ),
    ScreenEntry(
        "stacks", "Stacks", "", "run", "k",
        "compose projects: services, what would change and why; up, stop, restart",
        ("compose", "projects"),
    ),
    ScreenEntry(
        "engine", "Engine", "", "run", "n",
        "images, volumes, networks and build cache, who uses them; the engine's events",
        ("images", "volumes", "networks"),
    ),
    ScreenEntry(
        "processes", "Processes", "", "run", "r",
        "what uses the GPUs, and what runs in containers",
        ("top",),
    ),
    ScreenEntry(
        "service", "Service", "0", "run", "v",
        "models and their memory, messages, recordings; notification rules and users",
    ),
    ScreenEntry(
        "products", "Products", "", "inspect", "d",
        "what is inspected: pictures, indexes, memory banks, thresholds, inspections with a heat map",
        ("banks", "indexes", "inspections"),
    ),
    ScreenEntry(
        "jobs", "Jobs", "", "inspect", "j",
        "long work of the service: queue, progress, log, history; cancel, start again, compare",
    ),
    ScreenEntry(
        "operations", "Operations", "7", "work", "w",
        "long work with its stages and log; cancel, start again",
        ("ops",),
    ),
    ScreenEntry(
        "settings", "Settings", "", "work", "g",
        "the keys of site.toml with their values, and what they mean",
        ("config",),
    ),
)  # fmt: skip
SCREENS: dict[str, ScreenEntry] = {entry.name: entry for entry in _ENTRIES}


def groups_with_screens() -> list[tuple[str, list[ScreenEntry]]]:
    """Each group that has screens, with these, in the order of the table."""
    screens = {group: [entry for entry in SCREENS.values() if entry.group == group] for group in GROUPS}
    return [(group, entries) for group, entries in screens.items() if entries]
