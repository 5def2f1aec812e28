"""A host's name, looked up before a source is opened: libav reports an unknown name and a dead network as one thing."""

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
    """What `getaddrinfo` answers for it, within that time. Raises Refused, which says why there is nothing."""
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(lookup_name(host), None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()  # nothing ends a look-up that hangs
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
