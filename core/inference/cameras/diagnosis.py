"""Diagnosis after a failed connection: asks the address a second time and examines the answer.

libav reports "invalid data" or "input/output error" alike for a web page, another protocol, a redirect and a broken
stream.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

import av.error
import httpx

from core.inference.cameras.failures import CAUSE_SENTENCES, FORBIDDEN_SENTENCE, Cause, Failure
from core.inference.cameras.source_address import SourceAddress, SourceKind
from core.inference.cameras.web_client import WebClient, unverified_context
from core.redaction import redact_address

PROBE_SECONDS = 3.0  # for the second request
_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
REDIRECT_STATUSES = (301, 302, 303, 307, 308)
_GREETING_BYTES = 200  # bytes of the first answer to examine
_TLS_RECORD = (b"\x15\x03", b"\x16\x03")  # an alert, a handshake
_SELF_EXPLANATORY = (  # the cause is known, and a second request would try a wrong login once more
    av.error.HTTPUnauthorizedError,
    av.error.HTTPNotFoundError,
    ConnectionRefusedError,
    TimeoutError,
    av.error.ExitError,
)


def diagnose(error: Exception, address: SourceAddress, addresses: Sequence[str], timeout: float) -> Failure | None:
    """The cause of `error`, found by a second request to one of the host's `addresses`; None when it stays unknown."""
    if isinstance(error, av.error.HTTPForbiddenError):
        return Failure(Cause.AUTH, FORBIDDEN_SENTENCE)
    if address.kind is SourceKind.RTSP and getattr(error, "errno", None) == errno.EPROTONOSUPPORT:  # libav's for 461
        return Failure(Cause.REJECTED, "the camera rejects this transport (status 461): use the other one (tcp, udp)")
    # libav reads whatever comes over TCP, and waits for video in it
    silent = address.url.startswith("tcp:") and isinstance(error, (TimeoutError, av.error.ExitError))
    if isinstance(error, _SELF_EXPLANATORY) and not silent:
        return None
    seconds = min(timeout, PROBE_SECONDS)
    try:
        if address.kind is SourceKind.HTTP:
            return _diagnose_web(address, addresses, seconds)
        return _diagnose_stream(error, address, addresses, seconds)
    except ssl.SSLError as ssl_error:
        return _tls_failure(ssl_error)
    except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL):
        return None


def _diagnose_web(address: SourceAddress, addresses: Sequence[str], seconds: float) -> Failure | None:
    web = WebClient(address.url, addresses, seconds)
    try:
        with web.request() as answer:
            return status_failure(answer) or content_type_failure(answer) or _other_type_failure(answer)
    except httpx.RemoteProtocolError:
        return _greeting_failure(_read_greeting(address, addresses, seconds, b"GET / HTTP/1.0\r\n\r\n"), "HTTP")
    except httpx.ConnectError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__cause__ or cause.__context__
        return None if cause is None else _tls_failure(cause)
    finally:
        web.close()


def status_failure(answer: httpx.Response) -> Failure | None:
    """The failure that the status of an HTTP answer means; None for a success."""
    status = answer.status_code
    status_text = f"status {status} ({httpx.codes.get_reason_phrase(status) or 'unknown'})"
    if status in REDIRECT_STATUSES:
        target = (
            f" and redirects to {redact_address(location)}" if (location := answer.headers.get("Location", "")) else ""
        )
        return Failure(Cause.REDIRECT, f"it answers with status {status}{target}: redirects are not followed")
    if status == httpx.codes.UNAUTHORIZED:
        return Failure(Cause.AUTH, CAUSE_SENTENCES[Cause.AUTH])
    if status == httpx.codes.FORBIDDEN:
        return Failure(Cause.AUTH, FORBIDDEN_SENTENCE)
    if status == httpx.codes.NOT_FOUND:
        return Failure(Cause.NOT_FOUND, CAUSE_SENTENCES[Cause.NOT_FOUND])
    if 400 <= status < 500:
        return Failure(Cause.REJECTED, f"the camera answers but rejects the request: {status_text}")
    if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        return Failure(Cause.ERROR, f"the camera answers with {status_text}")
    return None


def content_type_failure(answer: httpx.Response) -> Failure | None:
    """The failure that the type of an unreadable HTTP answer means. Some cameras send a picture as text/plain."""
    kind = _content_type(answer)
    if kind in ("text/html", "application/xhtml+xml"):
        return Failure(Cause.CODEC, f"the address answers with a web page ({kind}), not with video")
    if kind and (kind.startswith("text/") or kind.endswith(("json", "xml"))):
        return Failure(Cause.CODEC, f"the address answers with {kind}, not with video")
    if answer.headers.get("Content-Length") == "0":
        return Failure(Cause.CODEC, "the address answers with an empty body")
    return None


def _content_type(answer: httpx.Response) -> str:
    return str(answer.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _other_type_failure(answer: httpx.Response) -> Failure | None:
    kind = _content_type(answer)
    return Failure(Cause.CODEC, f"the address answers with {kind}, which contains no video") if kind else None


def _diagnose_stream(
    error: Exception, address: SourceAddress, addresses: Sequence[str], seconds: float
) -> Failure | None:
    """Diagnose RTSP, or MPEG-TS over TCP, where the sender talks first."""
    url = urlsplit(address.url)
    if address.kind is not SourceKind.RTSP:
        return _greeting_failure(_read_greeting(address, addresses, seconds, b""), "") if url.scheme == "tcp" else None
    url_without_login = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}{'?' if url.query else ''}{url.query}"
    question = f"DESCRIBE {url_without_login} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    greeting = _read_greeting(address, addresses, seconds, question.encode())
    match = re.match(rb"RTSP/[\d.]+ (\d{3}) ?([^\r\n]*)", greeting)
    if match is None:
        return _greeting_failure(greeting, "RTSP")
    status, rejected = int(match[1]), isinstance(error, av.error.HTTPClientError)
    if 300 <= status < 400:
        return Failure(Cause.REDIRECT, f"it answers with status {status}: redirects are not followed")
    status_text = f"status {status} ({_printable(match[2]) or 'unknown'})"
    if status >= 500:
        return Failure(Cause.ERROR, f"the camera answers with {status_text}")
    if status >= 400 and status != httpx.codes.UNAUTHORIZED:
        return (
            Failure(Cause.REJECTED, f"the camera answers but rejects the request: {status_text}") if rejected else None
        )
    if status >= 300:
        return None
    if rejected:
        return Failure(Cause.REJECTED, "the camera describes its stream but refuses to send it (status 4xx)")
    if isinstance(error, av.error.HTTPServerError):
        return Failure(Cause.ERROR, "the camera describes its stream but fails to send it (status 5xx)")
    if isinstance(error, PermissionError):  # libav's for an answer that is neither a success nor a failure
        return Failure(Cause.ERROR, "the camera describes its stream but does not send it")
    return None


def _read_greeting(address: SourceAddress, addresses: Sequence[str], seconds: float, question: bytes) -> bytes:
    """Send `question` and return the first bytes received. Raises OSError, TimeoutError when none arrive in time."""
    url = urlsplit(address.url)
    port = url.port or _PORTS[url.scheme]
    with socket.create_connection((addresses[0], port), seconds) as connection:
        if address.encrypted:
            connection = unverified_context().wrap_socket(connection, server_hostname=address.host)
        connection.sendall(question)
        try:
            return connection.recv(_GREETING_BYTES)
        except ConnectionResetError:
            return b""


def _greeting_failure(greeting: bytes, expected: str) -> Failure | None:
    """The failure that the first bytes mean when the server does not speak the `expected` protocol."""
    if not expected and not greeting.isascii():
        return None
    mismatch = f"does not speak {expected}" if expected else "sends no video"
    if not greeting:
        return Failure(
            Cause.CODEC, f"the server at that address {mismatch}: it closes the connection without an answer"
        )
    if greeting.startswith(_TLS_RECORD):
        return Failure(
            Cause.CODEC,
            f"the server at that address {mismatch}, but TLS: use {'https' if expected == 'HTTP' else 'rtsps'}://",
        )
    for name in (b"HTTP", b"RTSP"):
        if greeting.startswith(name + b"/") and name.decode() != expected:
            scheme = name.decode().lower()
            return Failure(Cause.CODEC, f"the server at that address {mismatch}, but {name.decode()}: use {scheme}://")
    line = _printable(greeting.splitlines()[0])
    return Failure(
        Cause.CODEC,
        f'the server at that address {mismatch}: it answers "{line}"'
        if line
        else f"the server at that address {mismatch}",
    )


def _printable(text: bytes) -> str:
    return re.sub(r"[^ -~]+", " ", text.decode("ascii", "replace"))[:60].strip()


def _tls_failure(error: ssl.SSLError) -> Failure:
    if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER" in str(error):
        return Failure(
            Cause.TLS, "the encrypted connection cannot be set up: the server at that address does not speak TLS"
        )
    return Failure(
        Cause.TLS,
        f"the encrypted connection cannot be set up: {(error.reason or 'no reason').lower().replace('_', ' ')}",
    )
