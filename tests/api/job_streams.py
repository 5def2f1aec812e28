"""What tests of the streams of jobs do: start jobs, listen, be refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from core.api_schema.jobs import JOB_MESSAGE
from tests.api.serving import TOKEN, Running
from tests.support import until

BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE = 30.0
PASSWORD = "some long password"


def start(api: httpx.Client, kind: str, subject: str = "", **more: Any) -> int:
    response = api.post("/jobs", json={"kind": kind, "subject": subject, **more})
    assert response.status_code == 202, response.text
    return int(response.json()["id"])


def ended(api: httpx.Client, job: int) -> dict[str, Any]:
    return dict(until(lambda: api.get(f"/jobs/{job}").json(), lambda one: one["state"] not in ("queued", "running")))


@contextlib.contextmanager
def listening(jobs: Running, path: str, token: str = TOKEN, **options: Any) -> Iterator[ClientConnection]:
    """An open stream, with the token as subprotocol."""
    address = jobs.url.replace("http", "ws", 1) + path
    options.setdefault("subprotocols", ["xaiva.bearer", token] if token else None)
    with connect(address, open_timeout=PATIENCE, close_timeout=1, **options) as connection:
        yield connection


def messages(connection: ClientConnection) -> Iterator[dict[str, Any]]:
    """What comes until the service closes the stream, without heartbeats; each fits the schema."""
    schema = JOB_MESSAGE.json_schema(mode="serialization")
    while True:
        try:
            message = json.loads(connection.recv(PATIENCE))
        except ConnectionClosed:
            return
        jsonschema.validate(message, schema)
        if message["type"] != "heartbeat":
            yield message


def refused(jobs: Running, path: str, **options: Any) -> tuple[int, str]:
    """The code and the reason with which a stream is closed at once."""
    with listening(jobs, path, **options) as connection:
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(PATIENCE)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason
