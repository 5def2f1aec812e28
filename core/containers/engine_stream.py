"""Streaming responses of the engine (a followed log) that any thread can stop at once.

The SDK's own streams remove the socket's time-out and cannot be stopped from another thread. These keep a time-out:
after IDLE_SECONDS without data the reader reconnects, which also detects an engine that hangs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from core.engine import engine_errors

if TYPE_CHECKING:
    import requests

    import docker

IDLE_SECONDS = 30.0


def engine_get(
    client: docker.DockerClient, path: str, query: Mapping[str, Any], *, stream: bool = False
) -> requests.Response:
    """The engine's answer to a GET request that the SDK has no function for. Raises the SDK's own errors."""
    api = client.api
    url = f"{api.base_url}/v{api.api_version}{path}"
    response = api.get(url, params=dict(query), stream=stream, timeout=api.timeout)
    if not response.ok:
        from docker.errors import create_api_error_from_http_exception
        from requests import HTTPError

        try:
            response.raise_for_status()
        except HTTPError as error:
            create_api_error_from_http_exception(error)
    return response


class StreamIdle(Exception):
    """No data came for IDLE_SECONDS."""


class StreamCut(Exception):
    """The connection broke: the engine was stopped, or the network failed."""


class EngineStream:
    """One GET request whose response is read as it arrives. Any thread may call `close` at any time."""

    def __init__(self, client: docker.DockerClient, what: str, path: str, query: Mapping[str, Any]) -> None:
        self._client = client
        self._what = what
        self._path = path
        self._query = {name: value for name, value in query.items() if value is not None}
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._response: requests.Response | None = None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def wait_closed(self, seconds: float) -> bool:
        """Wait up to `seconds` for `close`; whether it was called."""
        return self._closed.wait(seconds)

    def close(self) -> None:
        """End the iteration at once, even while it waits for data."""
        self._closed.set()
        with self._lock:
            if self._response is not None:
                _shut_down(self._response)

    def chunks(self, **more: Any) -> Iterator[bytes]:
        """The chunks of one response as the engine sends them, with `more` added to the query.

        Raises EngineError when the engine refuses or does not answer; while it is read, StreamIdle and StreamCut.
        """
        response = self._open(more)
        return iter(()) if response is None else self._read(response)

    def _read(self, response: requests.Response) -> Iterator[bytes]:
        import requests
        import urllib3

        try:
            yield from response.iter_content(chunk_size=None)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, AttributeError) as error:
            # AttributeError: urllib3's buffer is gone after another thread has closed the response
            if self.closed:
                return
            if _timed_out(error):
                raise StreamIdle() from error
            raise StreamCut() from error
        finally:
            with self._lock:
                self._response = None
            _shut_down(response)
            response.close()

    def _open(self, more: Mapping[str, Any]) -> requests.Response | None:
        with engine_errors(self._what):
            # the engine sends its headers at once, even when it has no data yet
            response = engine_get(self._client, self._path, {**self._query, **more}, stream=True)
        connection: Any = response.raw.connection
        if connection is not None and connection.sock is not None:
            connection.sock.settimeout(IDLE_SECONDS)
        with self._lock:
            self._response = response
            if self.closed:
                response.close()
                return None
        return response


def _shut_down(response: requests.Response) -> None:
    """Wake the reader of the response. urllib3 raises when the response is complete and its socket was released."""
    try:
        response.raw.shutdown()
    except (ValueError, RuntimeError, OSError):
        pass


def _timed_out(error: BaseException) -> bool:
    from urllib3.exceptions import ReadTimeoutError

    causes = [error, error.__cause__, error.__context__, *error.args]
    return any(isinstance(cause, (ReadTimeoutError, TimeoutError)) for cause in causes)
