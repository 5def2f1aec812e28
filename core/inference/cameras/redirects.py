"""Whether a web camera redirects: libav, which is not to follow it, says only that reading failed."""

from __future__ import annotations

import base64
import http.client
import ssl
from urllib.parse import unquote, urlsplit

from core.errors import XaivaError
from core.inference.address_guard import connect

_PORTS = {"http": 80, "https": 443}


def redirect_status(url: str, seconds: float) -> int:
    """The status with which it redirects; 0 when it does not, or does not answer."""
    parts = urlsplit(url)
    host, scheme = parts.hostname or "", parts.scheme.lower()
    connection = http.client.HTTPConnection(host, parts.port or _PORTS[scheme], timeout=seconds)
    try:
        connection.sock = connect(host, connection.port, seconds, "Camera source")
        if scheme == "https":  # cameras sign their certificates themselves
            connection.sock = ssl._create_unverified_context().wrap_socket(connection.sock, server_hostname=host)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers=_login(parts.username, parts.password))
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, XaivaError, ValueError):
        return 0
    finally:
        connection.close()
    return status if 300 <= status < 400 else 0


def _login(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    login = f"{unquote(user)}:{unquote(password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
