"""Work that reserves memory, for the tests: in a process of its own, or as an operation."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from core.inference.jobs.context import JobContext
from core.inference.jobs.reservation import reserve
from core.inference.settings import ServiceSettings
from core.progress import NullProgress, Progress, stop_if_cancelled

MIB = 1024 * 1024


def as_operation(
    _site: object, data: str, options: Mapping[str, JsonValue], progress: Progress
) -> dict[str, JsonValue]:
    """Hold the memory until the file `go` in the data folder exists."""
    context = JobContext(ServiceSettings(data=Path(data)))
    with reserve(context, progress, "encoder", int(str(options["mib"])) * MIB):
        while not (Path(data) / "go").exists():
            stop_if_cancelled(progress)
            time.sleep(0.02)
    return {}


def main() -> None:
    """`reserving DATA MIB`: say when it is granted, and hold it until standard input ends."""
    context = JobContext(ServiceSettings(data=Path(sys.argv[1])))
    with reserve(context, NullProgress(), "encoder", int(sys.argv[2]) * MIB):
        print("granted", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
