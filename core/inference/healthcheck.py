"""The container's health check: asks the service on this machine whether it is healthy."""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl

from core.errors import XaivaError

ANSWER_TIMEOUT = 4.0  # seconds; the image's health check is given 5


def check_health(host: str, port: int, tls: bool) -> str:
    """The service's health as one line. Raises XaivaError when it is not healthy.

    `host` is the address it listens on. Its certificate is not verified: nothing secret is sent, and the certificate is
    for the name by which other machines know this one.
    """
    address = _address_to_ask(host)
    shown_address = f"[{address}]" if ":" in address else address
    what = f"The inference service at {'https' if tls else 'http'}://{shown_address}:{port}"
    try:
        status, body = _get(address, port, tls)
        health = json.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise XaivaError(what, f"it does not answer: {error or type(error).__name__}", "see its log") from error
    if not isinstance(health, dict) or "live" not in health:
        raise XaivaError(what, f"it answers {status}, but not like the service", "check which program listens there")
    if status == http.client.OK:
        return f"healthy: {health.get('detail', '')}"
    why = "its cameras have not been started yet" if health["live"] else "it no longer watches its cameras"
    raise XaivaError(what, why, "see its log")


def _address_to_ask(host: str) -> str:
    """The address to connect to: the loopback for a service that listens on all addresses."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def _get(host: str, port: int, tls: bool) -> tuple[int, bytes]:
    connection = (
        http.client.HTTPSConnection(host, port, timeout=ANSWER_TIMEOUT, context=ssl._create_unverified_context())
        if tls
        else http.client.HTTPConnection(host, port, timeout=ANSWER_TIMEOUT)
    )
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
