"""The base of the client's classes: requests whose answers become models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel

from core.service_client.errors import ServiceError
from core.service_client.transport import HttpTransport

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # the id of an event or an inspection
STREAM_SILENCE = 10.0  # seconds without a line that mean a broken stream; the service sends one more often

AnswerT = TypeVar("AnswerT")


class Calls:
    """Requests over one transport."""

    def __init__(self, transport: HttpTransport) -> None:
        self._transport = transport

    def _get(self, path: str, kind: type[AnswerT], query: BaseModel | None = None) -> AnswerT:
        parameters = query.model_dump(mode="json", exclude_defaults=True) if query else None
        return self._transport.read_leniently(self._transport.send("GET", path, query=parameters).text, kind)

    def _request(
        self, method: str, path: str, kind: type[AnswerT], body: BaseModel | None = None, *, wait: float = 0
    ) -> AnswerT:
        return self._transport.read_leniently(self._transport.send(method, path, body, wait=wait).text, kind)

    def _stream(self, path: str, query: dict[str, float]) -> Iterator[str]:
        """Yield the data of server-sent events. When the access token ends the stream, it is reopened."""
        while True:
            with self._transport.stream(path, query, {}, STREAM_SILENCE) as response:
                for line in response.iter_lines():
                    if line.startswith("data:"):
                        yield line[5:].strip()
            if not self._transport.login_expires_soon():
                remedy = "try again; its log says more: xaiva logs CONTAINER"
                raise ServiceError(f"Inference service {self._transport.url}", "it closed the stream", remedy)
