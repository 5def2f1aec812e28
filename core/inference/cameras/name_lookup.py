"""Resolves a host name before a source is opened, because libav does not tell an unknown name from a dead network."""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any

from core.inference.address_guard import lookup_name
from core.inference.cameras.failures import Cause, SourceError

UNKNOWN_HOST = "the host name is unknown: no name server knows it"
NO_NAME_SERVER_ANSWER = "the host name cannot be resolved now: the name server does not answer"
INVALID_HOST = "the host name is invalid"
_NOT_THERE = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def look_up_host(host: str, seconds: float) -> list[Any]:
    """The answer of `getaddrinfo` within that time. Raises SourceError with the reason."""
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(lookup_name(host), None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()  # nothing can end a hanging look-up
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise SourceError(Cause.UNREACHABLE, NO_NAME_SERVER_ANSWER) from None
    if isinstance(answer, list):
        return answer
    if isinstance(answer, UnicodeError):
        raise SourceError(Cause.UNREACHABLE, INVALID_HOST)
    not_found = isinstance(answer, socket.gaierror) and answer.errno in _NOT_THERE
    raise SourceError(Cause.UNREACHABLE, UNKNOWN_HOST if not_found else NO_NAME_SERVER_ANSWER)
