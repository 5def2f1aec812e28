"""One HTTP POST: guarded, bounded in time and size, never redirected, with readable errors.

The analyser and the webhooks of rules and flows go through here; object storage has a client of its own.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from core.errors import InputError, XaivaError
from core.inference.address_guard import check_addresses, check_host, lookup_name

CONNECT_SECONDS = 5.0
ANSWER_LIMIT = 1 << 20  # bytes read of an answer; the rest is dropped
REACHABLE = "check that it is running and can be reached"
_CONTROL = re.compile(r"[\s\x00-\x1f\x7f]")


class Unreachable(XaivaError):
    """The host is unreachable or did not answer in time."""


class Redirected(XaivaError):
    """The answer redirects to another address, which was not checked."""


@dataclass(frozen=True)
class Reply:
    """The answer; `body` is cut at the limit."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


def check_url(url: str, what: str) -> None:
    """Raise InputError unless it is an http(s) URL with an allowed host. The error never contains the URL."""
    remedy = "write it as http://host:port/path or https://host/path"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InputError(what, "the URL's host or port cannot be read", remedy) from None
    if parts.scheme.lower() not in ("http", "https"):
        raise InputError(what, "it is not an http:// or https:// URL", remedy)
    if not host or port == 0 or _CONTROL.search(url):
        raise InputError(what, "the URL names no host, or contains a space or a control character", remedy)
    check_host(host, what)


def post(
    url: str, content: bytes, headers: Mapping[str, str], seconds: float, what: str, limit: int = ANSWER_LIMIT
) -> Reply:
    """POST and read the answer within `seconds`, all together.

    Raises Unreachable, Redirected, and InputError as `check_url` (also for what the host's name resolves to).
    """
    check_url(url, what)
    loop = asyncio.new_event_loop()  # asyncio.run would wait for a name server that does not answer
    try:
        return loop.run_until_complete(asyncio.wait_for(_post(url, content, headers, seconds, what, limit), seconds))
    except (asyncio.TimeoutError, httpx.TimeoutException):
        raise Unreachable(what, f"no answer within {seconds:g} s", REACHABLE) from None
    except httpx.HTTPError as error:
        raise Unreachable(what, _describe_error(error), REACHABLE) from None
    finally:
        loop.close()


async def _post(url: str, content: bytes, headers: Mapping[str, str], seconds: float, what: str, limit: int) -> Reply:
    target = httpx.URL(url)
    timeout = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
    trusted = _trusted_certificates()
    async with httpx.AsyncClient(timeout=timeout, verify=trusted, follow_redirects=False, trust_env=False) as client:
        failure: httpx.HTTPError | None = None
        for address in await _resolve(target, what):
            pinned = client.build_request(
                "POST",
                target.copy_with(host=address),
                content=content,
                headers={**headers, "Host": target.netloc.decode("ascii")},
                extensions={"sni_hostname": target.raw_host.decode("ascii")},
            )
            try:
                return await _send(client, pinned, what, limit)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure or httpx.ConnectError("the host has no address")


async def _send(client: httpx.AsyncClient, request: httpx.Request, what: str, limit: int) -> Reply:
    answer = await client.send(request, stream=True)
    try:
        if 300 <= answer.status_code < 400:
            why = f"it answers with status {answer.status_code}: redirects are not followed"
            raise Redirected(what, why, "give the address the redirect leads to")
        body = bytearray()
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) >= limit:
                break
        return Reply(answer.status_code, bytes(body[:limit]))
    finally:
        await answer.aclose()


async def _resolve(url: httpx.URL, what: str) -> list[str]:
    host = lookup_name(url.raw_host.decode("ascii"))
    try:
        address_infos = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpx.ConnectError(str(error)) from error
    return check_addresses(address_infos, what)


@functools.cache
def _trusted_certificates() -> ssl.SSLContext:
    """The trusted certificates, including SSL_CERT_FILE; cached, because reading them takes longer than a POST."""
    return httpx.create_ssl_context()


def _describe_error(error: httpx.HTTPError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens at that host and port"
        if isinstance(cause, socket.gaierror):
            return "the host's name is unknown"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectError):
        return "the connection failed"
    return f"the connection was lost ({type(error).__name__})"
