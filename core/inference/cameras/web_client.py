"""An HTTP client for cameras: Basic and Digest login, guarded addresses, no redirects and no proxy."""

from __future__ import annotations

import ssl
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import unquote

import httpx

MAX_ANSWER_BYTES = 32 * 1024 * 1024  # bytes of one answer


class TooLarge(Exception):
    """The answer is larger than any picture."""


class CameraLogin(httpx.Auth):
    """Basic or Digest, as the camera asks. Sends no login before it asks, and gives up after a refusal."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._scheme: httpx.Auth | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._scheme is None:
            answer = yield request
            challenge = answer.headers.get("WWW-Authenticate", "").lower()
            if answer.status_code != httpx.codes.UNAUTHORIZED or not challenge:
                return
            if "digest" in challenge:
                self._scheme = httpx.DigestAuth(self._user, self._password)
                flow = self._scheme.auth_flow(request)
                next(flow)  # the request without a login, which is already answered
                yield flow.send(answer)
                return
            self._scheme = httpx.BasicAuth(self._user, self._password)
        yield from self._scheme.auth_flow(request)


class WebClient:
    """Requests one URL repeatedly over one connection. Not thread-safe. Raises httpx's errors.

    `addresses` are the host's IP addresses, already checked by the guard.
    """

    def __init__(self, url: str, addresses: Sequence[str], seconds: float) -> None:
        self._target = httpx.URL(url)
        self._seconds = seconds
        self._login = CameraLogin(unquote(self._target.username), unquote(self._target.password))
        self._addresses = list(addresses)
        self._client = httpx.Client(
            timeout=seconds, verify=unverified_context(), follow_redirects=False, trust_env=False
        )

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def request(self, headers: dict[str, str] | None = None) -> Iterator[httpx.Response]:
        """The answer, whose body is not read yet."""
        answer = self._send(headers or {})
        try:
            yield answer
        finally:
            answer.close()

    def body(self, answer: httpx.Response) -> bytes:
        """The whole body, within the time-out. Raises TooLarge."""
        body, until = bytearray(), time.monotonic() + self._seconds
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > MAX_ANSWER_BYTES:
                raise TooLarge
            if time.monotonic() > until:
                raise httpx.ReadTimeout("the answer does not end in time")
        return bytes(body)

    def _send(self, headers: dict[str, str]) -> httpx.Response:
        """Send the request to the first address that accepts a connection; later requests use the same one."""
        login = self._login if self._target.userinfo else None
        while True:
            request = self._client.build_request(
                "GET",
                self._target.copy_with(host=self._addresses[0], userinfo=b""),
                headers={**headers, "Host": self._target.netloc.decode("ascii")},
                extensions={"sni_hostname": self._target.raw_host.decode("ascii")},
            )
            try:
                return self._client.send(request, auth=login, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if len(self._addresses) == 1:
                    raise
                del self._addresses[0]


def root_cause(error: BaseException) -> BaseException:
    """The original error behind an error of httpx."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def unverified_context() -> ssl.SSLContext:
    """A TLS context that accepts any certificate, because cameras sign theirs themselves."""
    return ssl._create_unverified_context()
