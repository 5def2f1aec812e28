"""Server-sent events: streams that end with the login, the service or the connection, even when idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from core.inference.api.access import ResponseDocs
from core.inference.api.threads import ResponseLimit
from core.inference.auth import Unauthorised
from core.inference.bulkhead import TooManyRequests
from core.inference.database.errors import DatabaseError

HEARTBEAT_SECONDS = 5.0  # clients treat a longer silence as a broken connection
HEARTBEAT = ": still here\n\n"

EVENT_STREAM_DOCS: ResponseDocs = {
    200: {"description": "The stream", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


OPEN_STREAMS = ResponseLimit("Streams", 40)  # each console uses two


class EventStream(StreamingResponse):
    """A response with server-sent events. 429 if too many are open."""

    media_type = "text/event-stream"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with OPEN_STREAMS.slot():
            await super().__call__(scope, receive, send)


def format_event(text: str) -> str:
    """Format one event. `text` is JSON and has no line breaks."""
    return f"data: {text}\n\n"


async def poll_every(interval: float, poll: Callable[[], Awaitable[str]], closing: asyncio.Event) -> AsyncIterator[str]:
    """Yield the result of `poll` every `interval` seconds until `closing` is set or `poll` raises Unauthorised.

    While the database does not answer, or too many requests wait for it, a heartbeat is sent instead.
    """
    while not closing.is_set():
        try:
            text = format_event(await poll())
        except Unauthorised:
            return
        except (DatabaseError, TooManyRequests):
            text = HEARTBEAT
        yield text
        due = time.monotonic() + interval
        while (remaining := due - time.monotonic()) > 0 and not closing.is_set():
            if remaining > HEARTBEAT_SECONDS:
                yield HEARTBEAT
            await until_set(closing, min(remaining, HEARTBEAT_SECONDS))


async def until_set(event: asyncio.Event, seconds: float) -> None:
    """Wait for `event` for at most that many seconds."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        pass
