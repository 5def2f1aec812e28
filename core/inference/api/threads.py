"""Where the work of routes runs: never on the event loop, and each kind of it in a bulkhead of its own.

The framework would run everything in one pool of 40 threads, which some calls that hang fill for all others.
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

# All of these, those that wait, logins and open answers together are fewer than the server's MOST_CONNECTIONS: whatever
# hangs, a health check gets in.
REQUESTS = Bulkhead("Requests", 8, 24)  # short ones, which wait for nobody
STATUS = Bulkhead("Requests for the status", 8, 24)  # which also looks at the database and at the clips' disk
DATABASE = Bulkhead("Requests to the database", 16, 32)  # the threads: as many as it has connections
CHANGES = Bulkhead("Changes of cameras", 8, 16, retry_after=10)  # each may wait for a model to be loaded
FILES = Bulkhead("Clips and pictures", 4, 12)  # their disk may be a mount that hangs
LIFECYCLE = Bulkhead("Start and stop", 2)  # of the service: they wait for no request, nor for each other
BULKHEADS = (REQUESTS, STATUS, DATABASE, CHANGES, FILES)

RETRY_AFTER_SECONDS = 5.0  # seconds, for one more open answer
_BULKHEAD = "bulkhead"  # the attribute that `slow` leaves on a function


async def run_in(bulkhead: Bulkhead, work: Callable[[], ResultT]) -> ResultT:
    """Run `work` in a thread of `bulkhead`, and wait without holding anybody up. Raises TooManyRequests."""
    return await asyncio.wrap_future(bulkhead.submit(work))


def in_bulkhead(bulkhead: Bulkhead) -> Callable[[EndpointT], EndpointT]:
    """A decorator of endpoints that run in another bulkhead than the rest of their router."""

    def mark_endpoint(endpoint: EndpointT) -> EndpointT:
        setattr(endpoint, _BULKHEAD, bulkhead)
        return endpoint

    return mark_endpoint


def routes_in(bulkhead: Bulkhead, *, any_key: bool = False) -> type[StrictRoute]:
    """The class of a router's routes: their endpoints run in `bulkhead`, unless they are async or marked as `slow`.

    `any_key`: query keys that they do not know are no error.
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
    """Counts answers of one kind that go on for long, on the event loop. `most` of them may be open."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.most = limit
        self._open = 0

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """While it is sent. Raises TooManyRequests, before anything is sent."""
        if self._open >= self.most:
            raise TooManyRequests(self.name, f"{self.most} are open: no more are taken", RETRY_AFTER_SECONDS)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
