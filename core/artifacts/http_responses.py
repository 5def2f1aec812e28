"""HTTP errors and connection failures as messages with a cause and a remedy."""

from __future__ import annotations

import re

import urllib3

MAX_WAIT_SECONDS = 30.0  # between two attempts, whatever a server asks for
NETWORK_REMEDY = "check the network and proxy"


def explain_connection_error(error: BaseException) -> tuple[str, str]:
    """The cause (why) and the remedy of a request that got no response."""
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "the host name cannot be resolved", "check the address, and the name server of this machine"
    if isinstance(error, urllib3.exceptions.SSLError):
        why = f"the secure connection failed ({error})"
        return why, "check https in the address, and name its certificate authority in SSL_CERT_FILE"
    if isinstance(error, urllib3.exceptions.ProxyError):
        return "the proxy refuses the connection", "check the proxy in http_proxy, https_proxy and no_proxy"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "the host refuses the connection", NETWORK_REMEDY
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
        return "the host does not answer", NETWORK_REMEDY
    if isinstance(error, (urllib3.exceptions.TimeoutError, TimeoutError)):
        return "the server sent nothing for too long", NETWORK_REMEDY
    return "the connection broke", NETWORK_REMEDY


def remedy_for_status(status: int) -> str:
    """What to do about an error status."""
    if status in (401, 403, 407):
        return "check the token in .env that the preset's token_variable names, and the proxy"
    if status in (408, 429) or status >= 500:
        return "wait until the server works again, or set a mirror in site.toml, [sync.mirrors]"
    if status in (404, 410):
        return "the file is gone from its origin; lock again with --upgrade, or set a mirror that still has it"
    return "open the address in a browser"


def retry_after(response: urllib3.BaseHTTPResponse) -> float:
    """The `Retry-After` of a response in seconds, at most MAX_WAIT_SECONDS; 0 without one."""
    value = response.headers.get("retry-after", "")
    return min(float(value), MAX_WAIT_SECONDS) if value.isdigit() else 0.0


def total_size(response: urllib3.BaseHTTPResponse) -> int | None:
    """The size of the whole file in bytes, from the response's headers; None when they do not have it."""
    if response.status == 206:
        match = re.search(r"/(\d+)$", response.headers.get("content-range", ""))
        return int(match[1]) if match else None
    length = response.headers.get("content-length", "")
    return int(length) if response.status == 200 and length.isdigit() else None
