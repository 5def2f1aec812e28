"""HTTP errors and connection failures as messages with a cause and a remedy."""

from __future__ import annotations

import re

import urllib3

LONGEST_WAIT = 30.0  # seconds: no server may hold an operation up for longer between two tries


def why_silent(error: BaseException) -> str:
    """Why there was no answer."""
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "the host name cannot be resolved"
    if isinstance(error, urllib3.exceptions.SSLError):
        return f"the secure connection failed ({error}); check SSL_CERT_FILE"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "the host does not let us connect"
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "the host does not answer"
    if isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError)):
        return "no bytes came for too long"
    return "the connection broke"


def remedy_for(status: int) -> str:
    """What to do about a refusal."""
    if status in (401, 403, 407):
        return "check the token in .env that the preset's token_variable names, and the proxy"
    if status in (404, 410):
        return "it is gone from its origin; lock again with --upgrade, or set a mirror that still has it"
    return "look at the address in a browser"


def retry_after(response: urllib3.BaseHTTPResponse) -> float:
    """The seconds a server asks us to wait; 0 for none."""
    value = response.headers.get("retry-after", "")
    return min(float(value), LONGEST_WAIT) if value.isdigit() else 0.0


def total_size(response: urllib3.BaseHTTPResponse) -> int | None:
    """The size of the whole file, as the answer tells it; None when it does not."""
    if response.status == 206:
        match = re.search(r"/(\d+)$", response.headers.get("content-range", ""))
        return int(match[1]) if match else None
    length = response.headers.get("content-length", "")
    return int(length) if response.status == 200 and length.isdigit() else None
