"""The two lines at the top of every screen: where one is and who one is; and the screens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tui.formatters.cells import Line, Span, truncate, width_of
from tui.navigation import SCREENS, ScreenEntry, groups_with_screens

if TYPE_CHECKING:
    from tui.store import Reading

SEPARATOR = " │ "
NARROW_SEPARATOR = "│"
MORE = "…"
Part = tuple[Line, str]
"""Some text, and the action that a click on it runs ("" for none)."""


@dataclass(frozen=True)
class Status:
    """What the first line shows."""

    site: str
    host: str
    """The name of this machine."""
    engine: Span
    user: Span
    flags: str
    """The limits of this console, such as read-only."""


def engine_span(reading: Reading[Any]) -> Span:
    """The engine from the source `engine_identity`: what it is, that there is none, or that this is unknown."""
    identity = reading.value
    if reading.is_stale or reading.error is not None:
        return Span(f"? {identity or 'engine'}", "stale")
    if identity is None:
        return Span("engine …", "dim")
    return Span(str(identity), "" if identity.title else "warn")


def status_parts(status: Status, width: int) -> list[Part]:
    """The first line. What is too long gets an equal share; the flags are never cut."""
    flags = f" {status.flags} " if status.flags else ""
    spans = (Span(status.site, "title"), Span(status.host), status.engine, status.user)
    between = (" ", " @ ", " · ", " · ")
    room = width - width_of(flags) - sum(map(len, between)) - 1
    shares = fair_shares([width_of(span) for span in spans], room)
    line: list[Span] = []
    for before, span, share in zip(between, spans, shares, strict=True):
        line += [Span(before, "dim"), Span(truncate(span.text, share), span.role)]
    blank = Span(" " * max(width - width_of(tuple(line)) - width_of(flags), 0))
    return [((*line, blank, Span(flags, "warn")), "")]


def fair_shares(wanted: Sequence[int], room: int) -> list[int]:
    """Columns for each text: what it wants, or the same share for all that want more."""
    shares = [0] * len(wanted)
    left = max(room, 0)
    for done, index in enumerate(sorted(range(len(wanted)), key=lambda index: wanted[index])):
        shares[index] = min(wanted[index], left // (len(wanted) - done))
        left -= shares[index]
    return shares


def tab_parts(current: str, width: int) -> list[Part]:
    """The second line: all screens where they fit, else those of the current group and the other groups by name.

    Where even these do not fit, one part stands for the other groups.
    """
    groups = groups_with_screens()
    own = SCREENS[current].group if current in SCREENS else ""
    open_parts = {group: _open_group(group, entries, current) for group, entries in groups}
    dense = [_screens(entries, current, " ", key_gap="") for _, entries in groups]
    name_parts: dict[str, list[Part]] = {
        group: [((Span(group, "dim"),), f"app.go_group('{group}')")] for group, _ in groups
    }
    more: list[Part] = [((Span(MORE, "dim"),), "app.go_menu")]
    lines = [
        _joined(list(open_parts.values())),
        _joined([parts[1:] for parts in open_parts.values()]),
        _joined(dense, NARROW_SEPARATOR),
        _joined(list({**name_parts, own: open_parts.get(own, [])}.values())),
        _joined([open_parts.get(own, []), more]),
    ]
    return next((line for line in lines if _width(line) <= width), lines[-1])


def _open_group(group: str, entries: Iterable[ScreenEntry], current: str) -> list[Part]:
    """The group's name, and its screens."""
    return [((Span(f"{group}: ", "dim"),), ""), *_screens(entries, current, "  ")]


def _screens(entries: Iterable[ScreenEntry], current: str, gap: str, key_gap: str = " ") -> list[Part]:
    """The screens with a gap between each two, and `key_gap` between a key and its title."""
    screens: list[Part] = [
        (_tab(entry, entry.name == current, key_gap), f"app.go('{entry.name}')") for entry in entries
    ]
    return [part for screen in screens for part in (screen, ((Span(gap),), ""))][:-1]


def _tab(entry: ScreenEntry, chosen: bool, key_gap: str) -> Line:
    title = Span(entry.title, "current" if chosen else "")
    return (Span(entry.key, "key"), Span(key_gap), title) if entry.key else (title,)


def _joined(groups: Sequence[Sequence[Part]], separator: str = SEPARATOR) -> list[Part]:
    parts: list[Part] = [((Span(" "),), "")]
    for number, group in enumerate(groups):
        parts += [((Span(separator, "dim"),), "")] if number else []
        parts += group
    return parts


def _width(parts: Sequence[Part]) -> int:
    return sum(width_of(line) for line, _ in parts)
