"""Middleware around every route: the size limit, the API version, headers for browsers."""

from __future__ import annotations

import asyncio
import logging

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.inference.api.errors import ending, unexpected
from core.inference.schemas import API_VERSION
from core.inference.schemas.base import VERSION_HEADER

logger = logging.getLogger(__name__)

LARGEST_BODY = 1 << 20  # bytes; the largest true request, a camera with all its zones, has some 50 KB


class Envelope:
    """ASGI middleware. Bodies larger than `LARGEST_BODY` are refused (413) while they come in, not afterwards.

    An error that no route foresaw becomes a Problem here, whatever raised it, and goes to the log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > LARGEST_BODY:
                raise HTTPException(413, f"a request has at most {LARGEST_BODY} bytes")
            return message

        started = False

        async def labelled(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers[VERSION_HEADER] = str(API_VERSION)
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, bounded, labelled)
        except asyncio.CancelledError:  # the service ends, and gave the request its time
            if not started:
                await ending()(scope, receive, labelled)
        except Exception:
            logger.exception("%s %r failed", scope["method"], scope["path"])
            if started:
                raise  # half an answer is cut off: it must not look whole
            await unexpected()(scope, receive, labelled)
