"""A container's log: a part of it, or everything as it comes, with a search.

No line is dropped. Secrets are hidden, and nothing is left that a terminal would obey.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from core.containers.listing import inspect
from core.containers.model import LogLine
from core.containers.streams import Cut, Idle, Stream
from core.engine import EngineError, refused
from core.errors import InputError
from core.logs import pattern, settled
from core.redaction import redact_text, secrets_of
from core.terminal_text import strip_controls

if TYPE_CHECKING:
    import docker

_HEADER = struct.Struct(">BxxxL")  # stream number, length: the engine's frame around each piece without a terminal
_STREAM_NAMES = {1: "stdout", 2: "stderr"}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"^(\d+(?:\.\d+)?)([smhd])$")
RECONNECT_SECONDS = 60.0  # how long a follower waits for an engine that went away
RECONNECT_PAUSE = 1.0
_NOT_FAR_BACK = 200  # lines
_RESTART_PAUSE = 0.1  # seconds: the engine waits at least so long before it starts a container anew


def parse_time(text: str, now: float | None = None) -> float:
    """Unix seconds of `10m` (ago), of an ISO time (local unless it says otherwise) or of Unix seconds.

    Raises InputError.
    """
    if span := _SPAN.match(text):
        return (time.time() if now is None else now) - float(span.group(1)) * _UNITS[span.group(2)]
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError as error:
        raise InputError(
            f"Time {text!r}", "it is neither a span nor a time", "write 10m, 2h or 2026-01-31T08:00"
        ) from error


def logs(
    client: docker.DockerClient,
    reference: str,
    *,
    tail: int | None = None,
    since: float | None = None,
    until: float | None = None,
    search: str = "",
    stdout: bool = True,
    stderr: bool = True,
) -> Iterator[LogLine]:
    """The container's lines so far, oldest first, as they come from the engine.

    `tail` counts lines before `search` picks among them, a regular expression; upper case in it makes case matter.
    Raises EngineError and InputError.
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
    """The container's lines, and those that come, until it ends or `close` is called, which takes no time.

    When the engine is restarted it goes on after the last line seen. Raises EngineError and InputError.
    """
    return LogStream(client, reference, True, tail, since, None, search, stdout, stderr)


class LogStream:
    """Iterates over LogLine. One reader; `close` from any thread."""

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
            self._wanted = pattern(search)
        except re.error as error:
            raise InputError(f"Search {search!r}", f"not a regular expression: {error}", "escape it with \\") from error
        self._client = client
        self._data = inspect(client, reference)
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
        self._stream = Stream(client, what, f"/containers/{self._data['Id']}/logs", query)
        self._seen = _Seen()

    def close(self) -> None:
        """End the iteration, also when it waits for a line right now."""
        self._stream.close()

    def __iter__(self) -> Iterator[LogLine]:
        lost_since: float | None = None
        while not self._stream.closed:
            try:
                for line in self._lines():
                    lost_since = None
                    text = strip_controls(settled(line.text))  # first: an escape sequence would hide a secret
                    shown = line.model_copy(update={"text": redact_text(text, self._secrets)})
                    if self._wanted.search(shown.text):
                        yield shown
                if not self._goes_on():
                    return
            except Idle:
                if not self._follow:
                    raise EngineError(self._what, "the engine stopped in the middle", "try again") from None
            except (Cut, EngineError) as error:
                lost_since = lost_since or time.monotonic()
                if not self._follow or refused(error) or time.monotonic() - lost_since > RECONNECT_SECONDS:
                    raise self._lost(error) from error
                self._stream.wait_closed(RECONNECT_PAUSE)

    def _lost(self, error: Cut | EngineError) -> EngineError:
        if isinstance(error, EngineError):
            return error
        return EngineError(self._what, "the connection to the engine was cut", "try again")

    def _lines(self) -> Iterator[LogLine]:
        """One answer of the engine; after the first, from the last line seen on."""
        last = self._seen.time
        since, tail = (_engine_time(last), "all") if last else (self._since, self._tail)
        again = self._seen.again()
        assembler = LineAssembler(terminal=bool((self._data.get("Config") or {}).get("Tty")))
        query = {"tail": tail} if since is None else {"tail": tail, "since": since}
        for chunk in self._stream.chunks(**query):
            for line in assembler.feed(chunk):
                if again.is_new(line):
                    yield line
        for line in assembler.finish():
            if again.is_new(line):
                yield line

    def _goes_on(self) -> bool:
        """After an orderly end: whether a followed container still runs (the engine is shutting down, then)."""
        if not self._follow or self._stream.closed:
            return False
        try:
            running = bool((inspect(self._client, self._data["Id"]).get("State") or {}).get("Running"))
        except EngineError as error:
            if refused(error):
                return False  # it was removed when it ended
            raise
        return running and not self._stream.wait_closed(RECONNECT_PAUSE)


class LineAssembler:
    """Turns the engine's bytes, cut anywhere, into lines. Each piece begins with its time (`timestamps=1`)."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._rest = b""
        self._open: dict[str, tuple[str, bytes]] = {}  # stream -> time and text of a line without its end yet

    def feed(self, data: bytes) -> list[LogLine]:
        """The lines that `data` completes."""
        self._rest += data
        if self._terminal:
            *pieces, self._rest = self._rest.split(b"\n")
            return [line for piece in pieces for line in self._add("stdout", piece.rstrip(b"\r") + b"\n")]
        found: list[LogLine] = []
        position = 0
        while len(self._rest) - position >= _HEADER.size:
            number, length = _HEADER.unpack_from(self._rest, position)
            end = position + _HEADER.size + length
            if len(self._rest) < end:
                break
            found += self._add(_STREAM_NAMES.get(number, "stdout"), self._rest[position + _HEADER.size : end])
            position = end
        self._rest = self._rest[position:]
        return found

    def finish(self) -> list[LogLine]:
        """Lines that never got their end."""
        rest, self._rest = self._rest, b""
        found = self._add("stdout", rest + b"\n") if self._terminal and rest else []
        found += [_line(stream, moment, text) for stream, (moment, text) in self._open.items()]
        self._open.clear()
        return found

    def _add(self, stream: str, piece: bytes) -> list[LogLine]:
        """A piece is a line, or (past 16 KiB) a part of one: each part has a time of its own, the first one counts."""
        moment, _, text = piece.partition(b" ")
        started, before = self._open.pop(stream, (moment.decode(errors="replace"), b""))
        if not text.endswith(b"\n"):
            self._open[stream] = (started, before + text)
            return []
        return [_line(stream, started, before + text[:-1])]


def _line(stream: str, moment: str, text: bytes) -> LogLine:
    return LogLine(time=moment, stream=stream, text=text.decode(errors="replace").rstrip("\r"))


class _Seen:
    """Where the reader stands: the newest line's time, and how many lines of exactly that time it had."""

    def __init__(self) -> None:
        self.time = ""
        self.count = 0

    def again(self) -> _Again:
        """For the next answer, which begins with lines that were seen."""
        return _Again(self)

    def note(self, line: LogLine) -> None:
        """Remember a line that was given out."""
        self.count = self.count + 1 if line.time == self.time else 1
        self.time = line.time


class _Again:
    def __init__(self, seen: _Seen) -> None:
        self._seen = seen
        self._time = seen.time
        self._skip = seen.count

    def is_new(self, line: LogLine) -> bool:
        """Whether the line was not given out before; notes it. The engine's times have a fixed width: text compares."""
        if self._time and line.time <= self._time:
            if line.time < self._time:
                return False
            self._skip -= 1
            if self._skip >= 0:
                return False
        self._seen.note(line)
        return True


def _engine_time(text: str) -> str:
    """`seconds.nanoseconds` of an RFC 3339 time in UTC with nine digits after the point."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = datetime.fromisoformat(f"{whole}+00:00").timestamp()
    return f"{seconds:.0f}.{fraction or '0':0<9}"


def tail_text(client: docker.DockerClient, reference: str, lines: int, ended: str = "") -> str:
    """The container's last words for an error message; empty when there are none or they cannot be read.

    With `ended`, a time as the engine writes it, those of the life that ended then, while they are not far back.
    """
    try:
        newest = list(logs(client, reference, tail=_NOT_FAR_BACK if ended else lines))
    except EngineError:
        return ""
    if ended:
        last = float(_engine_time(ended)) + _RESTART_PAUSE
        newest = [line for line in newest if float(_engine_time(line.time)) < last]
    return "\n".join(line.text for line in newest[-lines:])
