"""Runs the work of routes off the event loop, each kind in a bulkhead of its own.

The framework would use a single pool of 40 threads, and a few hanging calls would block all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from core.inference.api.strict_route import StrictRoute
from core.inference.bulkhead import Bulkhead, TooManyRequests

ResultT = TypeVar("ResultT")
EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])

# All of these with their queues, logins and open responses together are fewer than the server's MAX_CONNECTIONS, so
# that a health check always gets a connection.
REQUESTS = Bulkhead("Requests", 8, 24)  # short requests that wait for nothing
STATUS = Bulkhead("Requests for the status", 8, 24)  # also reads the database and the disk of the clips
DATABASE = Bulkhead("Requests to the database", 16, 32)  # as many threads as database connections
CHANGES = Bulkhead("Changes of cameras", 8, 16, retry_after=10)  # each may wait until a model is loaded
FILES = Bulkhead("Clips and pictures", 4, 12)  # their disk may be a hanging mount
JOBS = Bulkhead("Requests for jobs", 4, 60)  # each waits for the disk of the ledger
JOB_STREAMS = Bulkhead("Streams of jobs", 2, 44)  # as many as there are streams and exports
INSPECTIONS = Bulkhead("Inspections", 2, 10, retry_after=1, niceness=5)  # fewer than cores: the cameras come first
OBJECT_STORAGE = Bulkhead("Requests to the object storage", 6, 12)  # it may hang
LIFECYCLE = Bulkhead("Start and stop", 2)  # of the service: independent of all requests
BULKHEADS = (REQUESTS, STATUS, DATABASE, CHANGES, FILES, JOBS, INSPECTIONS, OBJECT_STORAGE)

RETRY_AFTER_SECONDS = 5.0  # when too many responses are open
_BULKHEAD = "bulkhead"  # the attribute that `in_bulkhead` sets on a function


async def run_in(bulkhead: Bulkhead, work: Callable[[], ResultT]) -> ResultT:
    """Run `work` in a thread of `bulkhead` and await it. Raises TooManyRequests."""
    return await asyncio.wrap_future(bulkhead.submit(work))


def in_bulkhead(bulkhead: Bulkhead) -> Callable[[EndpointT], EndpointT]:
    """Decorate an endpoint that runs in another bulkhead than the rest of its router."""

    def mark_endpoint(endpoint: EndpointT) -> EndpointT:
        setattr(endpoint, _BULKHEAD, bulkhead)
        return endpoint

    return mark_endpoint


def routes_in(bulkhead: Bulkhead, *, any_key: bool = False) -> type[StrictRoute]:
    """The route class of a router: endpoints run in `bulkhead` unless they are async or decorated with `in_bulkhead`.

    `any_key`: unknown query keys are accepted.
    """

    class Route(StrictRoute):
        own_keys_only = not any_key

        def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
            super().__init__(path, _in_thread(endpoint, getattr(endpoint, _BULKHEAD, bulkhead)), **options)

    return Route


def _in_thread(endpoint: Callable[..., Any], bulkhead: Bulkhead) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(endpoint):
        return endpoint

    @functools.wraps(endpoint)
    async def run(*args: Any, **values: Any) -> Any:
        return await run_in(bulkhead, functools.partial(endpoint, *args, **values))

    return run


class ResponseLimit:
    """Limits how many long responses of one kind may be open. Used on the event loop only."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self._open = 0

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot while the response is sent. Raises TooManyRequests before anything is sent."""
        if self._open >= self.limit:
            raise TooManyRequests(self.name, f"{self.limit} are open, which is the limit", RETRY_AFTER_SECONDS)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
