"""Middleware around every route: the size limit, the API version, headers for browsers."""

from __future__ import annotations

import asyncio
import logging

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.api_schema import API_VERSION
from core.api_schema.base import VERSION_HEADER
from core.inference.api.errors import stopping_response, unexpected_error_response

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1 << 20  # the largest real request, a camera with all its zones, has some 50 KB
# Routes that take pictures and other files; a form adds something to the 32 MiB of a picture.
MAX_OBJECT_BYTES = 512 << 20  # of an object that comes or goes over the service
BODY_LIMITS = {"/inspect": 33 << 20, "/storage/object": MAX_OBJECT_BYTES}


class RequestGuard:
    """ASGI middleware. Refuses bodies over `MAX_BODY_BYTES` or the limit of their route while they are received (413).

    Unexpected errors are logged and become a Problem here.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size, limit = 0, BODY_LIMITS.get(scope["path"], MAX_BODY_BYTES)

        async def receive_bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(413, f"this request must not have more than {limit} bytes")
            return message

        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers[VERSION_HEADER] = str(API_VERSION)
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive_bounded, send_with_headers)
        except asyncio.CancelledError:  # the service stops, and the request had time to finish
            if not started:
                await stopping_response()(scope, receive, send_with_headers)
        except Exception:
            logger.exception("%s %r failed", scope["method"], scope["path"])
            if started:
                raise  # cut off half a response: it must not look complete
            await unexpected_error_response()(scope, receive, send_with_headers)
