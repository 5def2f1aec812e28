"""Run a command in a pseudo-terminal, as a terminal that may be slow, vanish or be resized; look at its screen.

All output is recorded with its time; it is emulated (pyte) only when somebody asks for the screen, so that emulation
does not disturb what is measured.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil
import pyte

from tests.support.signals import usual_signals
from tests.support.terminal_emulator import ByteStream, Screen

KEYS = {
    "enter": "\r",
    "tab": "\t",
    "escape": "\x1b",
    "space": " ",
    "backspace": "\x7f",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
}
_QUERIES = re.compile(rb"\x1b\[(?:5n|6n|\?(\d+)\$p)")
_MODES = re.compile(rb"\x1b\[\?([\d;]+)([hl])")
_PACE = 0.02  # seconds between two reads of a slow line


def key_bytes(key: str) -> bytes:
    """What a terminal sends for a key: a name of KEYS, `ctrl+x`, or the text itself."""
    if key.startswith("ctrl+"):
        return bytes([ord(key[5].upper()) & 0x1F])
    return KEYS.get(key, key).encode()


class PtySession:
    """A command in a terminal of `columns` x `rows`. Use it with `with`: it ends the command and its children.

    `bits_per_second` paces the line as a slow link does; `answers` False is a terminal that never answers a query, and
    `repeats` False one that does not know how to repeat a character.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 160,
        rows: int = 45,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        bits_per_second: float = 0,
        answers: bool = True,
        repeats: bool = True,
        before_exec: Callable[[], object] = lambda: None,
    ) -> None:
        self.chunks: list[tuple[float, bytes]] = []
        self.bits_per_second = bits_per_second
        self._answers = answers
        self._cursor = b"\x1b[1;5R" if repeats else b"\x1b[1;2R"  # after a character, repeated three times
        self.screen: pyte.Screen = Screen(columns, rows)
        self._stream = ByteStream(self.screen)
        self._fed = 0
        self._master, slave = os.openpty()
        self.resize(columns, rows, emulate=False)
        environ = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
        for name in ("COLUMNS", "LINES", "TMUX", "STY", "SSH_CONNECTION", "NO_COLOR"):
            if name not in (env or {}):
                environ.pop(name, None)

        def prepare() -> None:
            usual_signals()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            before_exec()

        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env={name: value for name, value in environ.items() if value is not None},
            start_new_session=True,
            preexec_fn=prepare,
        )
        os.close(slave)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._reader = threading.Thread(target=self._read_on, name="pty-session", daemon=True)
        self._reader.start()

    def __enter__(self) -> PtySession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()

    # -- input -----------------------------------------------------------------

    def press(self, *keys: str) -> None:
        for key in keys:
            os.write(self._master, key_bytes(key))

    def resize(self, columns: int, rows: int, emulate: bool = True) -> None:
        """Another size of the terminal; the kernel tells the command."""
        if emulate:
            self.feed()
            self.screen.resize(rows, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """The terminal vanishes, as when an SSH connection drops."""
        if not self._closed.is_set():
            self._closed.set()
            self._reader.join()
            os.close(self._master)

    # -- output ----------------------------------------------------------------

    def feed(self) -> pyte.Screen:
        """Emulate what has come since the last call; returns the screen."""
        with self._lock:
            fresh, self._fed = self.chunks[self._fed :], len(self.chunks)
        for _, data in fresh:
            self._stream.feed(_emulated(data))
        return self.screen

    @property
    def text(self) -> str:
        return "\n".join(self.feed().display)

    def wait_for(self, expected: str | Callable[[str], bool], timeout: float = 30) -> str:
        """Wait until the screen contains a text (or passes a test); returns the screen's text."""
        deadline = time.monotonic() + timeout
        while True:
            text = self.text
            if expected in text if isinstance(expected, str) else expected(text):
                return text
            if time.monotonic() > deadline:
                raise AssertionError(f"{expected!r} did not appear within {timeout} s on:\n{text}")
            if self.process.poll() is not None:
                self._reader.join(0.3)
                if (expected in self.text) if isinstance(expected, str) else expected(self.text):
                    return self.text
                raise AssertionError(f"ended with {self.process.returncode} before {expected!r}:\n{self.text}")
            time.sleep(0.01)

    def wait_quiet(self, seconds: float = 0.5, timeout: float = 30) -> None:
        """Wait until nothing has come for so long."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            last = self.chunks[-1][0] if self.chunks else self.started
            if self.chunks and time.monotonic() - last >= seconds:
                return
            time.sleep(0.01)
        raise AssertionError(f"not quiet for {seconds} s within {timeout} s")

    @property
    def sent(self) -> bytes:
        with self._lock:
            return b"".join(data for _, data in self.chunks)

    @property
    def count(self) -> int:
        with self._lock:
            return sum(len(data) for _, data in self.chunks)

    @property
    def modes(self) -> set[int]:
        """The private modes that are on now (1049: the other screen, 25: the cursor is shown, 1000: mouse...)."""
        on = {25, 7}
        for numbers, what in _MODES.findall(self.sent):
            for number in map(int, numbers.split(b";")):
                (on.add if what == b"h" else on.discard)(number)
        return on

    def wait_end(self, timeout: float = 30) -> int:
        """Wait for the command to end; returns its exit status (negative: the signal)."""
        status = self.process.wait(timeout)
        self.bits_per_second = 0  # what is on its way arrives, sooner or later
        if not self._closed.is_set():
            self._reader.join(1)
        return status

    def stop(self) -> None:
        """Stop the command as SIGSTOP does; returns when it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    @property
    def line_modes(self) -> int:
        """The terminal's local modes, as termios has them."""
        return int(termios.tcgetattr(self._master)[3])

    def signal(self, number: signal.Signals) -> None:
        """Send the command a signal."""
        self.process.send_signal(number)

    # -- the line --------------------------------------------------------------

    def _read_on(self) -> None:
        while not self._closed.is_set():
            pace = self.bits_per_second
            ready, _, _ = select.select([self._master], [], [], 0.05)
            if not ready:
                continue
            try:
                data = os.read(self._master, max(1, int(pace / 8 * _PACE)) if pace else 1 << 16)
            except OSError:
                return  # every end of the other side is closed
            if not data:
                return
            with self._lock:
                self.chunks.append((time.monotonic(), data))
            if self._answers:
                self._answer(data)
            free = time.monotonic() + (len(data) * 8 / pace if pace else 0)
            while self.bits_per_second == pace and (wait := free - time.monotonic()) > 0:
                if self._closed.wait(min(wait, 0.1)):
                    return

    def _answer(self, data: bytes) -> None:
        for match in _QUERIES.finditer(data):
            mode = match[1]
            reply = b"\x1b[?%s;0$y" % mode if mode else b"\x1b[0n" if match[0].endswith(b"5n") else self._cursor
            with contextlib.suppress(OSError):
                os.write(self._master, reply)


def _emulated(data: bytes) -> bytes:
    """Without what pyte would take for text: private queries, Kitty's keys, and cancelled sequences."""
    return re.sub(rb"\x1b\[[<>][\d;]*u|\x1b\[\?\d+\$p|\x18", b"", data)
