"""WebSockets: who may open one, and how a stream of messages is sent over it.

The token comes as subprotocol or as the first message, never in the address, which ends up in logs and histories.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect, WebSocketException
from fastapi.exceptions import WebSocketRequestValidationError
from pydantic import BaseModel, ValidationError

from core.api_schema import Role
from core.errors import InputError, XaivaError
from core.inference.api.access import SocketRule, caller_of
from core.inference.api.errors import InsufficientRole, NotFound
from core.inference.api.sse import OPEN_STREAMS
from core.inference.api.threads import ResponseLimit
from core.inference.auth import Unauthorised
from core.inference.bulkhead import TooManyRequests
from core.inference.database.errors import DatabaseError
from core.inference.jobs.service import UnknownJob
from core.validation_errors import describe_error

BEARER_PROTOCOL = "xaiva.bearer"
TOKEN_SECONDS = 5.0
CANCEL_SECONDS = 0.5  # between two attempts to cancel a task
MAX_REASON_BYTES = 123  # of a close frame

# Close codes: those of HTTP plus 4000, and standard ones.
ENDED, CLOSING, REFUSED, FAULT, TRY_AGAIN = 1000, 1001, 1008, 1011, 1013
_CLOSE_CODES: tuple[tuple[type[XaivaError], int], ...] = (
    (Unauthorised, 4401),
    (InsufficientRole, 4403),
    (UnknownJob, 4404),
    (NotFound, 4404),
    (InputError, 4422),
    (TooManyRequests, TRY_AGAIN),
    (DatabaseError, TRY_AGAIN),
    (XaivaError, FAULT),
)

WAITING_SOCKETS = ResponseLimit("Sockets that wait for a token", 16)


class _JobsSocketRole(SocketRule):
    """Accepts a socket whose caller has the role and may see jobs; its state has `query`, an object of that model."""

    def __init__(self, role: Role, query: type[BaseModel]) -> None:
        super().__init__(role, jobs=True)
        self._query = query

    async def __call__(self, websocket: WebSocket) -> None:
        _check_origin(websocket)
        websocket.state.query = _read_query(websocket, self._query)
        bearer = await _accept(websocket)
        try:
            await self.check_again(websocket, bearer)
        except XaivaError as error:
            raise refusal(error) from None
        websocket.state.bearer = bearer
        websocket.state.rule = self

    async def check_again(self, websocket: WebSocket, bearer: str) -> None:
        """Raise Unauthorised, InsufficientRole, DatabaseError or TooManyRequests for the caller as it is now."""
        self.check(await caller_of(websocket.app.state.service, bearer))


def require_jobs_socket_role(role: Role, query: type[BaseModel]) -> dict[str, Any]:
    """Keyword arguments for the decorator of a socket about jobs: its caller needs this role or a higher one.

    The query of its address must fit `query`.
    """
    return {"dependencies": [Depends(_JobsSocketRole(role, query))]}


async def check_again(websocket: WebSocket) -> None:
    """Raise Unauthorised or InsufficientRole when the caller of an open socket may not see it any more.

    Raises DatabaseError or TooManyRequests when that cannot be found out now.
    """
    await websocket.state.rule.check_again(websocket, websocket.state.bearer)


async def send_stream(websocket: WebSocket, messages: AsyncGenerator[BaseModel, None], closing: asyncio.Event) -> None:
    """Send all messages, then close; also when the client goes or says anything, which ends the stream."""
    try:
        with OPEN_STREAMS.slot():
            await _send_while_connected(websocket, messages)
    except XaivaError as error:
        raise refusal(error) from None
    if closing.is_set():
        raise WebSocketException(CLOSING, "the service is being stopped")
    raise WebSocketException(ENDED, "the job has ended")


async def _send_while_connected(websocket: WebSocket, messages: AsyncGenerator[BaseModel, None]) -> None:
    sending = asyncio.ensure_future(_send_all(websocket, messages))
    listening = asyncio.ensure_future(websocket.receive())
    try:
        await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, listening):
            while not task.done():  # what is being awaited may swallow a cancel
                task.cancel()
                await asyncio.wait({task}, timeout=CANCEL_SECONDS)
    if not sending.cancelled():
        sending.result()
    elif listening.result()["type"] == "websocket.disconnect":
        raise WebSocketDisconnect()
    else:
        raise WebSocketException(REFUSED, "this stream takes no messages")


async def _send_all(websocket: WebSocket, messages: AsyncGenerator[BaseModel, None]) -> None:
    async with aclosing(messages) as each:
        async for message in each:
            await websocket.send_text(message.model_dump_json())


def refusal(error: XaivaError) -> WebSocketException:
    """What closes an accepted socket because of `error`."""
    code = next(code for kind, code in _CLOSE_CODES if isinstance(error, kind))
    reason = error.summary.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    return WebSocketException(code, reason)


def install(app: FastAPI) -> None:
    """Close sockets of `app` quietly: with a code and a reason, or not at all when the client is gone."""
    app.add_exception_handler(WebSocketException, _close)
    app.add_exception_handler(WebSocketRequestValidationError, _close_invalid)
    app.add_exception_handler(WebSocketDisconnect, _ignore)


async def _close(websocket: Any, error: Exception) -> None:
    assert isinstance(error, WebSocketException)
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.close(error.code, error.reason)


async def _close_invalid(websocket: Any, _error: Exception) -> None:
    await _close(websocket, WebSocketException(4422, "the address is not valid"))


async def _ignore(_websocket: Any, _error: Exception) -> None:
    """The client is gone."""


def _check_origin(websocket: WebSocket) -> None:
    """Refuse pages of other sites, as CORS does for requests: browsers do not do so for sockets by themselves."""
    origin = websocket.headers.get("origin")
    if origin is None:
        return
    allowed = websocket.app.state.service.settings.cors_origins.replace(",", " ").split()
    host = websocket.headers.get("host")
    if "*" in allowed or origin in (*allowed, f"http://{host}", f"https://{host}"):
        return
    raise InsufficientRole("Origin", "pages of this origin may not use the service", "add it to XAIVA_CORS_ORIGINS")


def _read_query(websocket: WebSocket, kind: type[BaseModel]) -> BaseModel:
    """The query of a socket's address. Raises InputError for an unknown key, a key given twice and a wrong value."""
    pairs = websocket.query_params.multi_items()
    values = dict(pairs)
    if len(values) < len(pairs):
        raise InputError("query", "a key was given twice", "give it once")
    for name in values:
        if name not in kind.model_fields:
            remedy = f"known keys: {', '.join(kind.model_fields)}; a token is sent as first message"
            raise InputError("query", "it has a key that is not known", remedy)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        field, why = describe_error(error.errors()[0])
        raise InputError(f"query.{field}", why, "docs/jobs.md describes the streams") from None


async def _accept(websocket: WebSocket) -> str:
    """Accept the socket and get its token. Raises TooManyRequests before it is accepted."""
    offered: list[str] = websocket.scope["subprotocols"]
    if BEARER_PROTOCOL in offered:
        await websocket.accept(BEARER_PROTOCOL)
        following = offered[offered.index(BEARER_PROTOCOL) + 1 :]
        return following[0] if following else ""
    with WAITING_SOCKETS.slot():
        await websocket.accept()
        return await _first_message(websocket)


async def _first_message(websocket: WebSocket) -> str:
    """The token in the first message. Closes the socket when none comes in time."""
    try:
        text = await asyncio.wait_for(websocket.receive_text(), TOKEN_SECONDS)
        message = json.loads(text)
    except (asyncio.TimeoutError, ValueError, KeyError, RecursionError):  # KeyError: it is not text
        message = None
    if isinstance(message, dict) and isinstance(message.get("token"), str) and len(message) == 1:
        return str(message["token"])
    why = f'no first message {{"token": "…"}} within {TOKEN_SECONDS:g} s'
    raise refusal(Unauthorised("Token", why, "send it, or use the subprotocol xaiva.bearer"))
