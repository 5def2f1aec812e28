"""One ssh connection to a folder of another machine: a shell there reads commands, and the data of files.

The other machine needs only `sh` and coreutils. Each command is one line, and each answer is one line that starts with
`= `; every other line is what a program said about its failure, after which the shell ends. Commands may be sent before
earlier ones have been answered.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from typing import IO
from urllib.parse import unquote, urlsplit

from core.carry.target import require_plain_path
from core.errors import InputError, os_reason
from core.terminal_text import strip_controls

CONNECT_SECONDS = 10
_ALIVE_SECONDS = 15  # between questions whether the other side is still there; after four without an answer ssh ends
_STDERR_TAIL = 400
_SMALLEST_WINDOW = 64 << 10
_LARGEST_WINDOW = 16 << 20

_SCRIPT = r"""
exec 2>&1
LC_ALL=C; export LC_ALL
mkdir -p -- "$1" && cd -- "$1" || exit 1
size() { if [ -f "$1" ]; then wc -c < "$1"; else echo 0; fi; }
sum() {
    [ -f "$1" ] || { echo '= absent'; return; }
    if dd if="$1" iflag=direct bs=4M count=0 status=none 2>/dev/null; then
        set -- "$1" direct "$(dd if="$1" iflag=direct bs=4M status=none | sha256sum)"
    else
        set -- "$1" memory "$(sha256sum < "$1")"
    fi
    echo "= ${3%% *} $(size "$1") $2"
}
echo "= ready $(stat -f -c %T .)"
while read -r verb first second path; do
    case $verb in
    write)  # offset, length, path
        case $path in */*) [ -d "${path%/*}" ] || mkdir -p -- "${path%/*}" || exit 1 ;; esac
        if [ "$first" = 0 ]; then
            : > "$path" || exit 1
        else
            [ "$(size "$path")" -ge "$first" ] || { echo "$path has changed"; exit 1; }
        fi
        # at its place, not at the end: the shell of a connection that was cut may still be writing the same there
        dd of="$path" bs=64K iflag=fullblock,count_bytes count="$second" oflag=seek_bytes seek="$first" conv=notrunc \
            status=none || exit 1
        [ "$(size "$path")" -ge "$((first + second))" ] || exit 1
        echo "= ok" ;;
    size) echo "= $(size "$path")" ;;
    sum) sum "$path" ;;
    finish)
        if [ -f "$path.new" ]; then mv -fT -- "$path.new" "$path" || exit 1; fi
        if [ -f "$path" ]; then echo "= ok"; else echo "= absent"; fi ;;
    adopt)  # the stream gets the name of its content
        case $path in */*) mkdir -p -- "${path%/*}" || exit 1 ;; esac
        if [ -f blobs/sha256/stream.new ]; then mv -fT blobs/sha256/stream.new "$path" || exit 1; fi
        echo "= ok" ;;
    remove)
        rm -f -- "$path" || exit 1
        rmdir -- shipments/[0-9]*-[0-9]*-[0-9a-f]* 2>/dev/null  # the empty ones
        echo "= ok" ;;
    read)
        if [ -f "$path" ]; then echo "= $(size "$path")"; cat -- "$path" || exit 1; else echo "= absent"; fi ;;
    list)
        for folder in blobs blobs/* blobs/*/* shipments shipments/*; do
            [ -d "$folder" ] && [ ! -L "$folder" ] && stat -c '= %s %F:%n' -- "$folder"/* 2>/dev/null
        done
        echo "= end" ;;
    free) echo "= $(df -B1 --output=avail . | tail -n 1)" ;;
    sync)  # a file, or everything
        if [ "$path" = . ]; then sync -f . || sync; else sync -d -- "$path" || sync; fi || exit 1
        echo "= ok" ;;
    esac
done
"""


class SshCut(Exception):
    """The connection has ended; it may be made again."""


class SshRefused(Exception):
    """A program of the other machine failed, or it cannot be reached; the text says why."""


class SshAddress:
    """`ssh://[user@]host[:port]/path`; a path that starts with `/~/` starts at the user's home."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InputError(f"Target {url}", str(error), _FORM) from error
        if parts.scheme != "ssh" or not host or host.startswith("-") or not parts.path.strip("/"):
            raise InputError(f"Target {url}", "it names no host and folder", _FORM)
        self.url = url
        self.folder = unquote(parts.path)
        if self.folder.startswith("/~/"):
            self.folder = self.folder[3:]
        options = {"BatchMode": "yes", "ConnectTimeout": CONNECT_SECONDS, "ServerAliveInterval": _ALIVE_SECONDS}
        self.ssh = ["ssh", "-T", *(part for key, value in options.items() for part in ("-o", f"{key}={value}"))]
        self.ssh += [
            "-o",
            "ServerAliveCountMax=4",
            "-o",
            "ControlPath=none",
        ]  # a connection of its own, which is made again after a cut
        if parts.username:
            self.ssh += ["-l", parts.username]
        if port:
            self.ssh += ["-p", str(port)]
        self.ssh += ["--", host]


_FORM = "write ssh://[user@]host[:port]/folder"


class SshSession:
    """A running connection."""

    def __init__(self, address: SshAddress, env: Mapping[str, str]) -> None:
        remote = shlex.join(["sh", "-c", _SCRIPT, "xaiva", address.folder])
        self._moved = 0
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the session
        try:
            # its own session, so that Ctrl-C in the terminal does not reach it
            self._process = subprocess.Popen(
                [*address.ssh, remote],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=env,
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise SshRefused(f"ssh cannot be started ({os_reason(error)})") from error
        try:
            self.file_system = self.answer().partition(" ")[2]
        except BaseException:
            self.close()
            raise

    def send(self, verb: str, path: str, first: int = 0, second: int = 0) -> None:
        """Send a command; its answer comes later."""
        if path != ".":
            require_plain_path(path)
        self.write(f"{verb} {first} {second} {path}\n".encode())

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes of a file, as `write` has announced them."""
        self._moved += len(data)
        try:
            _stream(self._process.stdin).write(data)
        except OSError:
            self._raise_end("")

    @property
    def window_bytes(self) -> int:
        """How much may be on its way without an answer: a cut loses that, so it is a small part of what has arrived."""
        return min(max(_SMALLEST_WINDOW, self._moved // 50), _LARGEST_WINDOW)

    def answer(self) -> str:
        """The next answer. Raises SshRefused for a failure there, SshCut for a lost connection."""
        with contextlib.suppress(OSError):
            _stream(self._process.stdin).flush()
        message = ""
        while line := _stream(self._process.stdout).readline():
            text = line.decode(errors="replace").rstrip("\n")
            if text.startswith("= "):
                return text[2:]
            message = text or message
        self._raise_end(message)
        raise AssertionError

    def read(self, count: int) -> bytes:
        """Bytes of a file that follow an answer."""
        data = _stream(self._process.stdout).read(count)
        if len(data) < count:
            self._raise_end("")
        return data

    def ask(self, verb: str, path: str) -> str:
        """Send a command and wait for its answer; nothing else may be on its way."""
        self.send(verb, path)
        return self.answer()

    def close(self) -> None:
        """End the connection."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            with contextlib.suppress(OSError):
                _stream(stream).close()

    def _raise_end(self, message: str) -> None:
        """What has ended it: ssh itself, with 255, or the shell on the other machine."""
        while line := _stream(self._process.stdout).readline():  # a program has said why before it ended
            text = line.decode(errors="replace").strip()
            message = message if text.startswith("= ") else text or message
        code = self._process.wait()
        self._stderr.seek(0)
        text = strip_controls(self._stderr.read()[-_STDERR_TAIL:].decode(errors="replace")).strip()
        if code == 255 or code < 0:
            raise SshCut(text or "the connection has ended")
        raise SshRefused(message or text or f"its shell has ended with exit code {code}")


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # it is a pipe
    return stream
