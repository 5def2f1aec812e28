"""The list of licences as a text for a person: a summary, then a table for each kind of component."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from core.carry.licence import Licence, State
from core.terminal_text import escape_invisible

_HEAD = """\
Licences of what this shipment carries

The column "licence" has what a component states about itself, and the last column where that was read. Nobody judged
it. "not stated" and "cannot be read" do not mean that there are no conditions: ask those who publish the component.
Programs inside a base image or a Python archive are not listed.
"""
_COLUMNS = ("component", "version", "licence", "read from, or why not")
_MAX_WIDTH = 48  # of a column; a longer cell moves the rest of its row


class LicenceRow(NamedTuple):
    """A component in the list."""

    section: str
    """The kind of component, as the list's heading has it."""
    name: str
    version: str
    sha256: str
    licence: Licence


def licence_list(rows: Iterable[LicenceRow]) -> bytes:
    """The text. Equal components are in it once; those that state no licence come first in their table."""
    unique = sorted(set(rows), key=lambda row: (row.section, _is_stated(row), row.name.lower(), *row[2:4]))
    sections: dict[str, list[LicenceRow]] = {}
    for row in unique:
        sections.setdefault(row.section, []).append(row)
    tables = [f"{name}\n\n{_table(_COLUMNS, [_cells(row) for row in part])}" for name, part in sections.items()]
    return "\n".join([_HEAD, _summary(sections), *tables]).encode()


def _is_stated(row: LicenceRow) -> bool:
    return row.licence.state is State.STATED


def _summary(sections: dict[str, list[LicenceRow]]) -> str:
    states = list(State)
    lines = [(name, *_counts(rows, states)) for name, rows in sections.items()]
    everything = [row for rows in sections.values() for row in rows]
    lines.append(("all", *_counts(everything, states)))
    without = sum(row.licence.state in (State.NOT_STATED, State.UNREADABLE) for row in everything)
    table = _table(("", "components", *(state.value for state in states)), lines)
    return f"{without} of {len(everything)} components state no licence that could be read.\n\n{table}"


def _counts(rows: Sequence[LicenceRow], states: Sequence[State]) -> list[str]:
    return [str(len(rows)), *(str(sum(row.licence.state is state for row in rows)) for state in states)]


def _cells(row: LicenceRow) -> tuple[str, ...]:
    name, version = escape_invisible(row.name), escape_invisible(row.version)
    return name, version or "-", row.licence.text, row.licence.where


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, *rows]
    widths = [min(_MAX_WIDTH, max(map(len, column))) for column in zip(*lines, strict=True)]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    rule = "  ".join("-" * width for width in widths)
    return "".join(f"{line}\n" for line in (texts[0], rule, *texts[1:]))
