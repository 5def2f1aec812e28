"""Runs pip, and prints one line for each package with its size. Used by `xaiva`, with nothing but the standard library.

    python -I pip_progress.py install -r requirements.txt [pip's other arguments]

Standard output has the progress, on a terminal as one line that changes; standard error has pip's errors. The exit
status is pip's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from threading import Thread
from typing import IO

OPTIONS = ("--disable-pip-version-check", "--no-color", "--progress-bar", "off")
LOCAL = re.compile(r"Processing (?P<file>.+\.whl)(?: \(from .*\))?$")
FETCHED = re.compile(r"\s+(?:Downloading|Using cached) (?P<file>\S+\.whl)(?: \((?P<size>[\d.]+) (?P<unit>\w+)\))?$")
READY = re.compile(
    r"Requirement already satisfied: (?P<name>[\w.-]+)|\s+File was already downloaded (?P<file>.+\.whl)$"
)
UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}  # as pip writes a size


class Progress:
    """What pip's lines mean. `total`: the packages that are required; `say` prints a line."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self.total, self.say = total, say
        self.ready: set[str] = set()  # packages
        self.bytes = 0.0  # of those that were not there

    def read(self, line: str) -> None:
        """Take one line of pip's output. A line that is not known says nothing."""
        if line.startswith("Ignoring "):  # a requirement for another Python or system; all of these come first
            self.total -= 1
        elif match := LOCAL.match(line):
            self._fetch(match["file"], os.path.getsize(match["file"]) if os.path.isfile(match["file"]) else 0)
        elif match := FETCHED.match(line):
            self._fetch(match["file"], float(match["size"] or 0) * UNITS.get(match["unit"], 0))
        elif match := READY.match(line):
            self._add(match["name"] or _parts(match["file"])[0])
        elif line.startswith("Installing collected packages: "):
            self.say(f"installing {line.count(',') + 1} packages, {_size(self.bytes)} …")

    def _fetch(self, file: str, size: float) -> None:
        name, version = _parts(file)
        self._add(name)
        self.bytes += size
        self.say(f"{len(self.ready)} of {self.total}  {name} {version}" + (f"  {_size(size)}" if size else ""))

    def _add(self, name: str) -> None:
        self.ready.add(re.sub(r"[-_.]+", "-", name).lower())
        self.total = max(self.total, len(self.ready))


def _parts(file: str) -> tuple[str, str]:
    """The package and its version, from the path of a wheel."""
    name, version, *_ = [*os.path.basename(file).split("-"), ""]
    return name.replace("_", "-"), version


def _size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _say(text: str) -> None:
    if sys.stdout.isatty():
        print(f"\r\x1b[Kxaiva: {text}", end="", flush=True)
    else:
        print(f"xaiva: {text}", flush=True)


def _pass_errors(lines: IO[str]) -> None:
    for line in lines:
        if line.startswith("WARNING: Retrying "):
            _say("the package index does not answer; pip asks again …")
        elif not line.startswith("WARNING: "):
            print(line, end="", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Run pip with these arguments. Returns its exit status."""
    with open(arguments[arguments.index("-r") + 1]) as requirements:
        progress = Progress(sum(line[:1] not in " #\n" for line in requirements), _say)
    command = [sys.executable, "-I", "-m", "pip", *arguments, *OPTIONS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, encoding="utf-8", errors="replace") as pip:
        errors = Thread(target=_pass_errors, args=(pip.stderr,))
        errors.start()
        for line in pip.stdout or ():
            progress.read(line.rstrip("\n"))
        errors.join()
    if sys.stdout.isatty():
        print("\r\x1b[K", end="", flush=True)
    return pip.returncode


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # whatever the locale says
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
