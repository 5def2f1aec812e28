"""What happens to containers, as the engine tells it: one stream instead of polling."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from core import labels
from core.containers.model import Event, Health
from core.containers.streams import Cut, Idle, Stream, json_values

if TYPE_CHECKING:
    import docker

_HEALTH_STATUS = "health_status"
# exec_* would tell of every health check, top and attach of every look
_UNINTERESTING = ("exec_create", "exec_start", "exec_die", "exec_detach", "top", "attach", "detach", "resize")


class EventStream:
    """Iterates over the containers' events until `close` is called (from any thread) or the engine goes away.

    Silence is no end: the stream is asked for again from the last event on. Raises EngineError and Cut.
    """

    def __init__(self, client: docker.DockerClient) -> None:
        filters = json.dumps({"type": ["container"]})
        self._stream = Stream(client, "Events of the engine", "/events", {"filters": filters})
        self._last = 0  # nanoseconds of the newest event

    @property
    def closed(self) -> bool:
        """Whether somebody asked for the end."""
        return self._stream.closed

    def close(self) -> None:
        """End the iteration, also when it waits right now."""
        self._stream.close()

    def __iter__(self) -> Iterator[Event]:
        while not self.closed:
            since = {"since": _engine_time(self._last + 1)} if self._last else {}
            try:
                for raw in json_values(self._stream.chunks(**since)):
                    self._last = max(self._last, int(raw.get("timeNano") or 0))
                    if raw["Action"].partition(":")[0] not in _UNINTERESTING:
                        yield _event(raw)
            except Idle:
                continue
            if not self.closed:
                raise Cut()  # the engine ended its answer: it is shutting down


def _engine_time(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"


def _event(raw: dict[str, Any]) -> Event:
    actor = raw.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    action, _, detail = str(raw["Action"]).partition(": ")
    exit_code = attributes.get("exitCode")
    return Event(
        time=int(raw.get("timeNano") or time.time_ns()) / 1e9,
        action=action,
        container_id=str(actor.get("ID") or ""),
        name=attributes.get("name", ""),
        image=attributes.get("image", ""),
        preset=attributes.get(labels.PRESET, "") if attributes.get(labels.SITE) else "",
        exit_code=int(exit_code) if exit_code is not None else None,
        health=Health(detail) if action == _HEALTH_STATUS and detail in Health._value2member_map_ else Health.NONE,
    )
