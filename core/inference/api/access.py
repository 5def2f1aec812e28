"""Who may ask: everybody who can reach the port, or, once a token is set, whoever carries it."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Header, Request

from core.errors import XaivaError


class Unauthorised(XaivaError):
    """The request carries no token, or another one."""


def authorised(request: Request, authorization: Annotated[str, Header()] = "") -> None:
    """A dependency of every route but health. Raises Unauthorised."""
    token: str = request.app.state.token
    if not token:
        return
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Unauthorised("Access", "the request carries no valid token", "set XAIVA_SERVICE_TOKEN to the service's")
