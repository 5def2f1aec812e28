"""The logs of several services as one, in the order of time."""

from __future__ import annotations

import heapq
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from core.containers.container_logs import follow_logs, read_logs
from core.containers.model import ContainerLogLine
from core.errors import XaivaError

if TYPE_CHECKING:
    import docker

NamedLine = tuple[str, ContainerLogLine]


def read_stack_logs(
    client: docker.DockerClient,
    containers: Sequence[tuple[str, str]],
    *,
    tail: int | None = None,
    since: float | None = None,
    search: str = "",
) -> Iterator[NamedLine]:
    """(service, line) of all lines so far, oldest first; `containers` are (service, id). Raises EngineError."""

    def lines(service: str, identity: str) -> Iterator[NamedLine]:
        for line in read_logs(client, identity, tail=tail, since=since, search=search):
            yield service, line

    yield from heapq.merge(*(lines(*one) for one in containers), key=lambda named: named[1].time)


def follow_stack_logs(
    connect: Callable[[], docker.DockerClient],
    containers: Sequence[tuple[str, str]],
    *,
    tail: int | None = None,
    since: float | None = None,
    search: str = "",
) -> Iterator[NamedLine]:
    """(service, line) as the lines come, until all containers have ended. `connect` gives each its own client.

    Raises the error of a container whose log cannot be followed.
    """
    arrived: queue.Queue[NamedLine | XaivaError | None] = queue.Queue(maxsize=1000)

    def follow(service: str, identity: str) -> None:
        try:
            with closing(connect()) as client:
                for line in follow_logs(client, identity, tail=tail, since=since, search=search):
                    arrived.put((service, line))
            arrived.put(None)
        except XaivaError as error:
            arrived.put(error)

    for one in containers:
        threading.Thread(target=follow, args=one, daemon=True).start()
    running = len(containers)
    while running:
        item = arrived.get()
        if isinstance(item, XaivaError):
            raise item
        if item is None:
            running -= 1
        else:
            yield item
