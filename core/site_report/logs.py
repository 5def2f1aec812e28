"""The logs that an engineer may add to a support bundle: where they are, and their newest part."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from core.containers.container_logs import read_logs
from core.containers.listing import list_containers
from core.engine import connect_engine
from core.errors import XaivaError, os_reason
from core.images.build_history import list_builds, log_path
from core.operations.ledger import Ledger
from core.site import Site
from core.site_report.engine_facts import ENGINE_SECONDS
from core.site_report.history_facts import ERROR_LOG

MAX_LOG_BYTES = 1 << 20  # of one log in a bundle: its newest part
MAX_LOG_LINES = 50_000
NEWEST_OPERATIONS = 50
NEWEST_BUILDS = 20


@dataclass(frozen=True)
class LogPart:
    """The newest lines of a log."""

    lines: list[str]
    cut: str = ""
    """What was left out; empty for a whole log."""


@dataclass(frozen=True)
class SupportLog:
    """A log that can go into a bundle."""

    name: str
    """For `--log`, and of its file."""
    about: str
    read: Callable[[], LogPart]
    """Raises XaivaError."""


@dataclass
class AvailableLogs:
    """The logs that can be added, and the sources that could not be asked."""

    logs: list[SupportLog] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    """Source → why."""

    def by_name(self) -> dict[str, SupportLog]:
        """Name → log."""
        return {log.name: log for log in self.logs}


def available_logs(site: Site, ledger: Ledger) -> AvailableLogs:
    """The newest operations and builds, xaiva's containers, and xaiva's own unexpected errors."""
    sources: dict[str, Callable[[], Iterator[SupportLog]]] = {
        "errors": partial(_error_log, site),
        "operations": partial(_operation_logs, ledger),
        "builds": partial(_build_logs, site),
        "containers": partial(_container_logs, site),
    }
    available = AvailableLogs()
    for name, list_logs in sources.items():
        try:
            available.logs += list_logs()
        except XaivaError as error:
            available.unreadable[name] = error.summary
    return available


def _error_log(site: Site) -> Iterator[SupportLog]:
    path = site.state / ERROR_LOG
    if path.is_file():
        yield SupportLog("errors", "unexpected errors of xaiva", partial(_read_file, path))


def _operation_logs(ledger: Ledger) -> Iterator[SupportLog]:
    for operation in ledger.list(NEWEST_OPERATIONS):
        path = Path(operation.log)
        if path.is_file():
            about = f"{operation.title()}, {operation.state.word}"
            yield SupportLog(f"operation-{operation.id}", about, partial(_read_file, path))


def _build_logs(site: Site) -> Iterator[SupportLog]:
    for build in list_builds(site)[:NEWEST_BUILDS]:
        path = log_path(site, build.id)
        if path.is_file():
            about = f"build of {build.preset}, {build.outcome.word}"
            yield SupportLog(f"build-{build.id}", about, partial(_read_file, path))


def _container_logs(site: Site) -> Iterator[SupportLog]:
    with closing(connect_engine(site, ENGINE_SECONDS)) as client:
        containers = [container for container in list_containers(client) if container.managed]
    for container in containers:
        about = f"container of {container.preset}, {container.condition}"
        yield SupportLog(f"container-{container.name}", about, partial(_read_container, site, container.id))


def _read_file(path: Path) -> LogPart:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(size - MAX_LOG_BYTES, 0)
            file.seek(begin)
            data = file.read(MAX_LOG_BYTES)
    except OSError as error:
        raise XaivaError(f"{path}", os_reason(error), "check the file and its permissions") from error
    if not begin:
        return LogPart(data.decode(errors="replace").splitlines())
    partial_line, _, rest = data.partition(b"\n")
    return LogPart(rest.decode(errors="replace").splitlines(), f"its first {begin + len(partial_line) + 1} bytes")


def _read_container(site: Site, identity: str) -> LogPart:
    """The newest lines of a container. They are redacted with the secrets of its own configuration, too."""
    newest: deque[str] = deque()
    size = dropped = 0
    with closing(connect_engine(site, ENGINE_SECONDS)) as client:
        for line in read_logs(client, identity, tail=MAX_LOG_LINES):
            newest.append(f"{line.time} {line.stream} {line.text}")
            size += len(newest[-1])
            while size > MAX_LOG_BYTES:
                size -= len(newest.popleft())
                dropped += 1
    whole = len(newest) + dropped < MAX_LOG_LINES
    cut = f"its first {dropped} lines" if whole and dropped else "" if whole else f"all but {len(newest)} lines"
    return LogPart(list(newest), cut)
