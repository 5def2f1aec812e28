"""Output of the command line: text for people, JSON documents for programs."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

import click

from core.errors import XaivaError
from core.terminal_text import escape_invisible, strip_controls

_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_NOT_ASCII = re.compile("[\x7f-\U0010ffff]")  # json.dumps does not escape these, not even invisible characters
_NEVER_CUT = {"", "STATE", "HEALTH", "OUTCOME", "ENABLED", "ACTIVE", "ACK"}  # columns with a one-word state
_NARROWEST = 4  # minimum width of a narrowed column in cells
_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def plain(value: Any) -> Any:
    """Convert models, data classes, enumerations, paths and errors to plain data for JSON."""
    if isinstance(value, XaivaError):
        return {"what": value.what, "why": value.why, "remedy": value.remedy, "exit_code": value.exit_code}
    if hasattr(value, "model_dump"):
        unreadable = getattr(value, "unreadable", "")  # a property of responses, not a field
        return value.model_dump(mode="json", by_alias=True) | ({"unreadable": unreadable} if unreadable else {})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    return value


def print_line(text: str, *, err: bool = False) -> None:
    """Print one line with text from outside (an engine, a service, a model, a build), made harmless."""
    click.echo(escape_invisible(strip_controls(text)), err=err)


def print_text(text: str, *, nl: bool = True) -> None:
    """Print several lines with text from outside, made harmless."""
    click.echo(escape_invisible(strip_controls(text), keep="\n\t"), nl=nl)


def print_json(value: Any, *, one_line: bool = False) -> None:
    """Print one JSON document; `one_line` for streams of documents."""
    text = json.dumps(plain(value), indent=None if one_line else 2, ensure_ascii=False)
    click.echo(_NOT_ASCII.sub(lambda match: match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1], text))


def print_error(error: XaivaError, as_json: bool) -> None:
    """Print an error to standard error, or as a JSON document to standard output."""
    if as_json:
        print_json({"error": error})
        return
    click.echo(click.style("error: ", fg="red") + str(error), err=True, color=_colour(sys.stderr.isatty()))


def print_findings(findings: Iterable[Any]) -> None:
    """Print findings, one paragraph each, and then their number."""
    counts: dict[str, int] = {}
    for finding in findings:
        level = finding.level.value
        counts[level] = counts.get(level, 0) + 1
        where = f" [{finding.where}]" if finding.where else ""
        head = click.style(f"{level or 'unknown'}:", fg=_COLOURS.get(level))
        click.echo(f"{head} {finding.what}{where}", color=_colour(sys.stdout.isatty()))
        if finding.why:
            click.echo(f"    {finding.why}")
        if finding.remedy:
            click.echo(f"    → {finding.remedy}")
        if finding.source:
            click.echo(f"    ({finding.source})")
    click.echo(
        ", ".join(f"{number} {level}{'' if number == 1 else 's'}" for level, number in counts.items()) or "no findings"
    )


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "") -> None:
    """Print a table. On a terminal that is too narrow, the widest columns are cut, but never a state.

    `empty` is printed to standard error if there are no rows.
    """
    cells = [
        list(head),
        *([escape_invisible(strip_controls(" ".join(str(cell).splitlines()))) for cell in row] for row in rows),
    ]
    widths = [max(width(row[column]) for row in cells) for column in range(len(head))]
    if room := _terminal_width():
        widths = _narrowed(head, widths, room)
    for number, row in enumerate(cells):
        texts = [cut(cell, widths[column]) for column, cell in enumerate(row)]
        line = "  ".join(text + " " * (widths[column] - width(text)) for column, text in enumerate(texts)).rstrip()
        line = cut(line, room) if room else line
        click.echo(click.style(line, bold=True) if number == 0 else line, color=_colour(sys.stdout.isatty()))
    if empty and len(cells) == 1:
        click.echo(empty, err=True)


def _narrowed(head: Sequence[str], widths: Sequence[int], room: int) -> list[int]:
    """Column widths that fit into `room`. The widest columns shrink first, the first column last, states never."""
    narrowed = list(widths)
    others = [column for column, title in enumerate(head) if title not in _NEVER_CUT]
    for columns in (others[1:] if len(others) > 1 else others, others):
        while sum(narrowed) + 2 * (len(head) - 1) > room:
            widest = max(columns, key=lambda column: narrowed[column])
            if narrowed[widest] <= _NARROWEST:
                break
            narrowed[widest] -= 1
    return narrowed


def width(text: str) -> int:
    """The width of the text in terminal cells."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, room: int) -> str:
    """Shorten the text to at most `room` terminal cells."""
    if width(text) <= room:
        return text
    while width(text) > room - 1:
        text = text[:-1]
    return text + "…"


def size(number: float) -> str:
    """Format bytes: `1.4 GiB`."""
    for unit in _SIZES:
        if abs(number) < 1024 or unit == _SIZES[-1]:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return ""


def seconds(number: float) -> str:
    """Format a duration: `4.2 s`, `3 min 05 s`, `2 h 10 min`."""
    if number < 60:
        return f"{number:.1f} s"
    if number < 3600:
        return f"{number // 60:.0f} min {number % 60:02.0f} s"
    return f"{number // 3600:.0f} h {number % 3600 // 60:02.0f} min"


def moment(unix: float) -> str:
    """Format a Unix time in local time."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix)) if unix else "-"


def _terminal_width() -> int:
    return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else 0


def _colour(terminal: bool) -> bool:
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
