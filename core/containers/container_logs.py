"""Reads and follows the log of a container, with a search.

No line is lost. Secrets are hidden, and escape sequences and control characters are removed.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from core.containers.engine_stream import EngineStream, StreamCut, StreamIdle
from core.containers.listing import inspect_container
from core.containers.model import ContainerLogLine
from core.engine import EngineError, engine_refused
from core.errors import InputError
from core.log_lines import compile_search, strip_terminal_controls
from core.redaction import redact_text, secrets_of
from core.terminal_text import strip_controls

if TYPE_CHECKING:
    import docker

_HEADER = struct.Struct(">BxxxL")  # stream number and length: the header of each piece when there is no terminal
_STREAM_NAMES = {1: "stdout", 2: "stderr"}
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TIME_SPAN = re.compile(r"^(\d+(?:\.\d+)?)([smhd])$")
RECONNECT_SECONDS = 60.0  # how long a follower waits for an engine that is gone
RECONNECT_PAUSE = 1.0
_MAX_LOOKBACK_LINES = 200  # lines
_RESTART_PAUSE = 0.1  # seconds: the engine waits at least this long before it restarts a container


def parse_time(text: str, now: float | None = None) -> float:
    """The Unix time of `10m` (ago), an ISO time (local unless it has a zone) or a Unix time. Raises InputError."""
    if span := _TIME_SPAN.match(text):
        return (time.time() if now is None else now) - float(span.group(1)) * _UNIT_SECONDS[span.group(2)]
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError as error:
        raise InputError(
            f"Time {text!r}", "it is neither a duration nor a time", "write 10m, 2h or 2026-01-31T08:00"
        ) from error


def read_logs(
    client: docker.DockerClient,
    reference: str,
    *,
    tail: int | None = None,
    since: float | None = None,
    until: float | None = None,
    search: str = "",
    stdout: bool = True,
    stderr: bool = True,
) -> Iterator[ContainerLogLine]:
    """The container's lines so far, oldest first.

    `tail` is the number of last lines to search in. `search` is a regular expression, case-sensitive only if it has
    upper case. Raises EngineError and InputError.
    """
    return iter(LogStream(client, reference, False, tail, since, until, search, stdout, stderr))


def follow_logs(
    client: docker.DockerClient,
    reference: str,
    *,
    tail: int | None = None,
    since: float | None = None,
    search: str = "",
    stdout: bool = True,
    stderr: bool = True,
) -> LogStream:
    """The container's lines so far and new ones, until it ends or `close` is called.

    After a restart of the engine it continues with the next line. Raises EngineError and InputError.
    """
    return LogStream(client, reference, True, tail, since, None, search, stdout, stderr)


class LogStream:
    """Iterates over `ContainerLogLine`s, for one reader; any thread may call `close`."""

    def __init__(
        self,
        client: docker.DockerClient,
        reference: str,
        follow: bool,
        tail: int | None,
        since: float | None,
        until: float | None,
        search: str,
        stdout: bool,
        stderr: bool,
    ) -> None:
        try:
            self._pattern = compile_search(search)
        except re.error as error:
            raise InputError(f"Search {search!r}", f"not a regular expression: {error}", "escape it with \\") from error
        self._client = client
        self._data = inspect_container(client, reference)
        self._secrets = secrets_of(self._data["Config"])
        self._follow = follow
        self._since = None if since is None else f"{since:.9f}"
        self._tail = "all" if tail is None else str(tail)
        query = {
            "follow": int(follow),
            "stdout": int(stdout),
            "stderr": int(stderr),
            "timestamps": 1,
            "until": None if until is None else f"{until:.9f}",
        }
        what = f"Log of container {reference}"
        self._what = what
        self._stream = EngineStream(client, what, f"/containers/{self._data['Id']}/logs", query)
        self._position = _ReadPosition()

    def close(self) -> None:
        """End the iteration at once, even while it waits for a line."""
        self._stream.close()

    def __iter__(self) -> Iterator[ContainerLogLine]:
        lost_since: float | None = None
        while not self._stream.closed:
            try:
                for line in self._lines():
                    lost_since = None
                    text = strip_controls(strip_terminal_controls(line.text))  # an escape sequence could hide a secret
                    redacted = line.model_copy(update={"text": redact_text(text, self._secrets)})
                    if self._pattern.search(redacted.text):
                        yield redacted
                if not self._still_runs():
                    return
            except StreamIdle:
                if not self._follow:
                    raise EngineError(self._what, "the engine stopped responding", "try again") from None
            except (StreamCut, EngineError) as error:
                lost_since = lost_since or time.monotonic()
                if not self._follow or engine_refused(error) or time.monotonic() - lost_since > RECONNECT_SECONDS:
                    raise self._connection_error(error) from error
                self._stream.wait_closed(RECONNECT_PAUSE)

    def _connection_error(self, error: StreamCut | EngineError) -> EngineError:
        if isinstance(error, EngineError):
            return error
        return EngineError(self._what, "the connection to the engine was lost", "try again")

    def _lines(self) -> Iterator[ContainerLogLine]:
        """The lines of one request; later requests continue after the last line read."""
        last_time = self._position.time
        since, tail = (_to_engine_time(last_time), "all") if last_time else (self._since, self._tail)
        duplicates = self._position.duplicate_filter()
        assembler = LineAssembler(terminal=bool((self._data.get("Config") or {}).get("Tty")))
        query = {"tail": tail} if since is None else {"tail": tail, "since": since}
        for chunk in self._stream.chunks(**query):
            for line in assembler.feed(chunk):
                if duplicates.is_new(line):
                    yield line
        for line in assembler.finish():
            if duplicates.is_new(line):
                yield line

    def _still_runs(self) -> bool:
        """After the end of a stream: whether the followed container still runs, as when the engine shuts down."""
        if not self._follow or self._stream.closed:
            return False
        try:
            running = bool((inspect_container(self._client, self._data["Id"]).get("State") or {}).get("Running"))
        except EngineError as error:
            if engine_refused(error):
                return False  # it was removed after it ended
            raise
        return running and not self._stream.wait_closed(RECONNECT_PAUSE)


class LineAssembler:
    """Turns chunks of bytes into lines. Each piece of the stream starts with its time (`timestamps=1`)."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._buffer = b""
        self._partial_lines: dict[str, tuple[str, bytes]] = {}  # stream → time and text of an incomplete line

    def feed(self, data: bytes) -> list[ContainerLogLine]:
        """The lines that are complete with `data`."""
        self._buffer += data
        if self._terminal:
            *pieces, self._buffer = self._buffer.split(b"\n")
            return [line for piece in pieces for line in self._add("stdout", piece.rstrip(b"\r") + b"\n")]
        lines: list[ContainerLogLine] = []
        position = 0
        while len(self._buffer) - position >= _HEADER.size:
            number, length = _HEADER.unpack_from(self._buffer, position)
            end = position + _HEADER.size + length
            if len(self._buffer) < end:
                break
            lines += self._add(_STREAM_NAMES.get(number, "stdout"), self._buffer[position + _HEADER.size : end])
            position = end
        self._buffer = self._buffer[position:]
        return lines

    def finish(self) -> list[ContainerLogLine]:
        """The remaining incomplete lines."""
        rest, self._buffer = self._buffer, b""
        lines = self._add("stdout", rest + b"\n") if self._terminal and rest else []
        lines += [_parse_line(stream, timestamp, text) for stream, (timestamp, text) in self._partial_lines.items()]
        self._partial_lines.clear()
        return lines

    def _add(self, stream: str, piece: bytes) -> list[ContainerLogLine]:
        """Add a piece: a line, or a part of one longer than 16 KiB. Of the times of all parts the first counts."""
        timestamp, _, text = piece.partition(b" ")
        started, before = self._partial_lines.pop(stream, (timestamp.decode(errors="replace"), b""))
        if not text.endswith(b"\n"):
            self._partial_lines[stream] = (started, before + text)
            return []
        return [_parse_line(stream, started, before + text[:-1])]


def _parse_line(stream: str, timestamp: str, text: bytes) -> ContainerLogLine:
    return ContainerLogLine(time=timestamp, stream=stream, text=text.decode(errors="replace").rstrip("\r"))


class _ReadPosition:
    """The time of the newest line read, and how many lines with exactly that time were read."""

    def __init__(self) -> None:
        self.time = ""
        self.count = 0

    def duplicate_filter(self) -> _DuplicateFilter:
        """A filter for the next request, which repeats lines that were read already."""
        return _DuplicateFilter(self)

    def advance(self, line: ContainerLogLine) -> None:
        """Advance to a line that was returned."""
        self.count = self.count + 1 if line.time == self.time else 1
        self.time = line.time


class _DuplicateFilter:
    def __init__(self, position: _ReadPosition) -> None:
        self._position = position
        self._time = position.time
        self._skip = position.count

    def is_new(self, line: ContainerLogLine) -> bool:
        """Whether the line is new; advances to it. The engine's times have a fixed width, so they compare as text."""
        if self._time and line.time <= self._time:
            if line.time < self._time:
                return False
            self._skip -= 1
            if self._skip >= 0:
                return False
        self._position.advance(line)
        return True


def _to_engine_time(text: str) -> str:
    """`seconds.nanoseconds` of an RFC 3339 time in UTC."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = datetime.fromisoformat(f"{whole}+00:00").timestamp()
    return f"{seconds:.0f}.{fraction or '0':0<9}"


def last_log_lines(client: docker.DockerClient, reference: str, lines: int, ended: str = "") -> str:
    """The container's last `lines` lines for an error message; empty when there are none or they cannot be read.

    `ended` is the engine's text of the time at which an earlier run ended, to get the last lines of that run.
    """
    try:
        newest = list(read_logs(client, reference, tail=_MAX_LOOKBACK_LINES if ended else lines))
    except EngineError:
        return ""
    if ended:
        last = float(_to_engine_time(ended)) + _RESTART_PAUSE
        newest = [line for line in newest if float(_to_engine_time(line.time)) < last]
    return "\n".join(line.text for line in newest[-lines:])
