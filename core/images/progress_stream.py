"""Parses BuildKit's progress while it comes: `rawjson`, or the plain text of an older buildx.

`rawjson` is a stream of BuildKit's SolveStatus objects (buildx 0.13.1 prints each over many lines, newer ones one a
line), and plain text once the build has failed. Seen with buildx 0.13.1; the fields are those of
moby/buildkit `client/graph.go`.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from core.logs import settled
from core.open_enum import describe_misfit
from core.terminal_text import strip_controls

# Past this a JSON object that does not end is not one; the text is passed on as it is.
_OBJECT_LIMIT = 8 << 20


@dataclass(frozen=True)
class Vertex:
    """A build step as it stands now. Times are Unix times in seconds, 0 for not yet."""

    id: str
    name: str
    started: float = 0
    completed: float = 0
    cached: bool = False
    error: str = ""


@dataclass(frozen=True)
class Transfer:
    """Something a step moves; `total` 0 is unknown. Mostly bytes."""

    vertex: str
    id: str
    current: float
    total: float


@dataclass(frozen=True)
class Line:
    """One line of a step's output; `vertex` is empty for buildx's own words."""

    vertex: str
    text: str


Event = Vertex | Transfer | Line


class Reader(Protocol):
    """Turns the bytes buildx prints into events."""

    def feed(self, data: bytes) -> Iterator[Event]:
        """Events that are complete with `data`."""

    def close(self) -> Iterator[Event]:
        """What is left at the end."""


class RawJson:
    """Reads `--progress=rawjson`."""

    def __init__(self) -> None:
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._bytes = b""
        self._lines: dict[tuple[str, int], str] = {}

    def feed(self, data: bytes) -> Iterator[Event]:
        """Events that are complete with `data`."""
        self._bytes += data
        # A multi-byte character may be cut in two: hold back what does not decode at the very end.
        text = self._bytes.decode("utf-8", errors="ignore")
        kept = len(text.encode())
        if len(self._bytes) - kept > 3:
            text, kept = self._bytes.decode("utf-8", errors="replace"), len(self._bytes)
        self._bytes = self._bytes[kept:]
        self._buffer += text
        if b"}" in data or b"\n" in data:
            yield from self._objects()

    def close(self) -> Iterator[Event]:
        """What is left at the end."""
        yield from self._objects()
        for (vertex, _), rest in self._lines.items():
            if rest:
                yield Line(vertex, clean(rest))
        for line in self._buffer.splitlines():
            yield Line("", line)
        self._lines.clear()
        self._buffer = ""

    def _objects(self) -> Iterator[Event]:
        at = 0
        text = self._buffer
        while True:
            while at < len(text) and text[at].isspace():
                at += 1
            if at >= len(text):
                break
            if text[at] == "{":
                try:
                    value, at = self._decoder.raw_decode(text, at)
                except json.JSONDecodeError:
                    if len(text) - at < _OBJECT_LIMIT:
                        break
                else:
                    yield from self._status(value)
                    continue
            end = text.find("\n", at)
            if end < 0:
                break
            yield Line("", clean(text[at:end]))
            at = end + 1
        self._buffer = text[at:]

    def _status(self, value: dict[str, Any]) -> Iterator[Event]:
        readers = {"vertexes": _vertex, "statuses": _transfer, "logs": self._log}
        for name, read in readers.items():
            rows = value.get(name) or ()
            for row in rows if isinstance(rows, (list, tuple)) else (rows,):
                try:
                    events = [*read(row)]
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    events = [
                        Line(
                            "", f"a row of BuildKit's progress cannot be read ({name}: {describe_misfit(error)}): {row}"
                        )
                    ]
                yield from events

    def _log(self, log: dict[str, Any]) -> Iterator[Event]:
        key = (log["vertex"], int(log.get("stream") or 0))
        text = self._lines.get(key, "") + base64.b64decode(log.get("data") or "").decode("utf-8", errors="replace")
        *lines, rest = text.split("\n")
        self._lines[key] = rest
        for line in lines:
            yield Line(log["vertex"], clean(line))


def _vertex(row: dict[str, Any]) -> Iterator[Event]:
    yield Vertex(
        row["digest"],
        row.get("name") or "",
        unix_time(row.get("started")),
        unix_time(row.get("completed")),
        bool(row.get("cached")),
        row.get("error") or "",
    )


def _transfer(row: dict[str, Any]) -> Iterator[Event]:
    yield Transfer(row["vertex"], row["id"], float(row.get("current") or 0), float(row.get("total") or 0))


_PLAIN = re.compile(r"#(\d+) (.*)")
_PLAIN_TIME = re.compile(r"(\d+\.\d+) (.*)")


class Plain:
    """Reads `--progress=plain`; its times are those at which the lines arrive."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._buffer = b""
        self._vertices: dict[str, Vertex] = {}

    def feed(self, data: bytes) -> Iterator[Event]:
        """Events that are complete with `data`."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            yield from self._line(line.decode("utf-8", errors="replace"))

    def close(self) -> Iterator[Event]:
        """What is left at the end."""
        rest, self._buffer = self._buffer, b""
        if rest:
            yield from self._line(rest.decode("utf-8", errors="replace"))

    def _line(self, line: str) -> Iterator[Event]:
        match = _PLAIN.match(line)
        if not match:
            if line.strip():
                yield Line("", clean(line))
            return
        number, text = match[1], match[2]
        vertex = self._vertices.get(number)
        if vertex is None:
            yield self._set(Vertex(number, text, started=self._clock()))
        elif text == "CACHED":
            yield self._set(Vertex(number, vertex.name, vertex.started, self._clock(), cached=True))
        elif re.fullmatch(r"DONE [\d.]+s", text):
            yield self._set(Vertex(number, vertex.name, vertex.started, self._clock()))
        elif text == "CANCELED":
            yield self._set(Vertex(number, vertex.name, vertex.started, self._clock(), error="canceled"))
        elif text.startswith("ERROR"):
            error = text.removeprefix("ERROR").lstrip(": ")
            yield self._set(Vertex(number, vertex.name, vertex.started, self._clock(), error=error))
        elif text != vertex.name and text != "...":
            timed = _PLAIN_TIME.match(text)
            yield Line(number, clean(timed[2] if timed else text))

    def _set(self, vertex: Vertex) -> Vertex:
        self._vertices[vertex.id] = vertex
        return vertex


def clean(line: str) -> str:
    """A line as a log shows it: as a terminal would leave it, without control characters."""
    return strip_controls(settled(line))


def unix_time(text: str | None) -> float:
    """RFC 3339 with up to nanoseconds → Unix time in seconds; 0 for none."""
    if not text:
        return 0
    match = re.fullmatch(r"(\d+-\d+-\d+T\d+:\d+:\d+)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", text)
    if not match:
        return 0
    zone = "+00:00" if match[3] == "Z" else match[3]
    return datetime.fromisoformat(match[1] + zone).timestamp() + float(f"0.{match[2] or 0}")
