"""Parses BuildKit's progress as it arrives: `rawjson`, or the plain text of an older buildx.

`rawjson` is a stream of BuildKit's SolveStatus objects (buildx 0.13.1 prints each over many lines, newer versions one
per line), and plain text after the build has failed. The fields are those of moby/buildkit `client/graph.go`.
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

from core.log_lines import strip_terminal_controls
from core.open_enum import describe_misfit
from core.terminal_text import strip_controls

# A longer JSON object without an end is taken as plain text.
_OBJECT_LIMIT = 8 << 20


@dataclass(frozen=True)
class Vertex:
    """The state of a build step. Times are Unix times in seconds, 0 for not yet."""

    id: str
    name: str
    started: float = 0
    completed: float = 0
    cached: bool = False
    error: str = ""


@dataclass(frozen=True)
class Transfer:
    """The progress of a transfer within a step, usually in bytes; `total` is 0 when unknown."""

    vertex: str
    id: str
    current: float
    total: float


@dataclass(frozen=True)
class OutputLine:
    """One line of a step's output; `vertex` is empty for a line of buildx itself."""

    vertex: str
    text: str


BuildEvent = Vertex | Transfer | OutputLine


class ProgressReader(Protocol):
    """Turns the output of buildx into events."""

    def feed(self, data: bytes) -> Iterator[BuildEvent]:
        """The events that are complete with `data`."""

    def close(self) -> Iterator[BuildEvent]:
        """The remaining events at the end of the output."""


class RawJsonReader:
    """Reads the output of `--progress=rawjson`."""

    def __init__(self) -> None:
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._bytes = b""
        self._partial_lines: dict[tuple[str, int], str] = {}

    def feed(self, data: bytes) -> Iterator[BuildEvent]:
        """The events that are complete with `data`."""
        self._bytes += data
        # A chunk may end within a multi-byte character: keep its bytes for the next chunk.
        text = self._bytes.decode("utf-8", errors="ignore")
        decoded_length = len(text.encode())
        if len(self._bytes) - decoded_length > 3:
            text, decoded_length = self._bytes.decode("utf-8", errors="replace"), len(self._bytes)
        self._bytes = self._bytes[decoded_length:]
        self._buffer += text
        if b"}" in data or b"\n" in data:
            yield from self._parse_objects()

    def close(self) -> Iterator[BuildEvent]:
        """The remaining events at the end of the output."""
        yield from self._parse_objects()
        for (vertex, _), rest in self._partial_lines.items():
            if rest:
                yield OutputLine(vertex, clean_output_line(rest))
        for line in self._buffer.splitlines():
            yield OutputLine("", line)
        self._partial_lines.clear()
        self._buffer = ""

    def _parse_objects(self) -> Iterator[BuildEvent]:
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
                    yield from self._parse_status(value)
                    continue
            end = text.find("\n", at)
            if end < 0:
                break
            yield OutputLine("", clean_output_line(text[at:end]))
            at = end + 1
        self._buffer = text[at:]

    def _parse_status(self, value: dict[str, Any]) -> Iterator[BuildEvent]:
        readers = {"vertexes": _parse_vertex, "statuses": _parse_transfer, "logs": self._parse_log}
        for name, read in readers.items():
            rows = value.get(name) or ()
            for row in rows if isinstance(rows, (list, tuple)) else (rows,):
                try:
                    events = [*read(row)]
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    events = [
                        OutputLine(
                            "", f"a row of BuildKit's progress cannot be read ({name}: {describe_misfit(error)}): {row}"
                        )
                    ]
                yield from events

    def _parse_log(self, log: dict[str, Any]) -> Iterator[BuildEvent]:
        key = (log["vertex"], int(log.get("stream") or 0))
        text = self._partial_lines.get(key, "") + base64.b64decode(log.get("data") or "").decode(
            "utf-8", errors="replace"
        )
        *lines, rest = text.split("\n")
        self._partial_lines[key] = rest
        for line in lines:
            yield OutputLine(log["vertex"], clean_output_line(line))


def _parse_vertex(row: dict[str, Any]) -> Iterator[BuildEvent]:
    yield Vertex(
        row["digest"],
        row.get("name") or "",
        parse_unix_time(row.get("started")),
        parse_unix_time(row.get("completed")),
        bool(row.get("cached")),
        row.get("error") or "",
    )


def _parse_transfer(row: dict[str, Any]) -> Iterator[BuildEvent]:
    yield Transfer(row["vertex"], row["id"], float(row.get("current") or 0), float(row.get("total") or 0))


_PLAIN = re.compile(r"#(\d+) (.*)")
_PLAIN_TIME = re.compile(r"(\d+\.\d+) (.*)")


class PlainReader:
    """Reads the output of `--progress=plain`; times are those at which the lines arrive."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._buffer = b""
        self._vertices: dict[str, Vertex] = {}

    def feed(self, data: bytes) -> Iterator[BuildEvent]:
        """The events that are complete with `data`."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            yield from self._parse_line(line.decode("utf-8", errors="replace"))

    def close(self) -> Iterator[BuildEvent]:
        """The remaining events at the end of the output."""
        rest, self._buffer = self._buffer, b""
        if rest:
            yield from self._parse_line(rest.decode("utf-8", errors="replace"))

    def _parse_line(self, line: str) -> Iterator[BuildEvent]:
        match = _PLAIN.match(line)
        if not match:
            if line.strip():
                yield OutputLine("", clean_output_line(line))
            return
        number, text = match[1], match[2]
        vertex = self._vertices.get(number)
        if vertex is None:
            yield self._remember(Vertex(number, text, started=self._clock()))
        elif text == "CACHED":
            yield self._remember(Vertex(number, vertex.name, vertex.started, self._clock(), cached=True))
        elif re.fullmatch(r"DONE [\d.]+s", text):
            yield self._remember(Vertex(number, vertex.name, vertex.started, self._clock()))
        elif text == "CANCELED":
            yield self._remember(Vertex(number, vertex.name, vertex.started, self._clock(), error="canceled"))
        elif text.startswith("ERROR"):
            error = text.removeprefix("ERROR").lstrip(": ")
            yield self._remember(Vertex(number, vertex.name, vertex.started, self._clock(), error=error))
        elif text != vertex.name and text != "...":
            timed = _PLAIN_TIME.match(text)
            yield OutputLine(number, clean_output_line(timed[2] if timed else text))

    def _remember(self, vertex: Vertex) -> Vertex:
        self._vertices[vertex.id] = vertex
        return vertex


def clean_output_line(line: str) -> str:
    """A line as a terminal would show it, without control characters."""
    return strip_controls(strip_terminal_controls(line))


def parse_unix_time(text: str | None) -> float:
    """RFC 3339 with up to nanoseconds → Unix time in seconds; 0 for none."""
    if not text:
        return 0
    match = re.fullmatch(r"(\d+-\d+-\d+T\d+:\d+:\d+)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", text)
    if not match:
        return 0
    zone = "+00:00" if match[3] == "Z" else match[3]
    return datetime.fromisoformat(match[1] + zone).timestamp() + float(f"0.{match[2] or 0}")
