"""Logging in and out."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request

from core.api_schema import Login, PasswordChange, Refresh, Role, Tokens, User
from core.inference.api.access import CurrentCaller, Service, public, require_role
from core.inference.api.threads import DATABASE, routes_in
from core.inference.auth import UnknownUser
from core.inference.auth.caller import SERVICE_CALLER_NAME

router = APIRouter(prefix="/auth", tags=["auth"], route_class=routes_in(DATABASE))


@router.post("/login", **public(401, 429))
async def login(request: Request, service: Service, body: Login) -> Tokens:
    """Tokens for a name and password. 429 after too many tries, with `Retry-After`."""
    address = request.client.host if request.client else ""
    return await asyncio.wrap_future(service.auth.login(body, address))


@router.post("/refresh", **public(401))
def refresh(service: Service, body: Refresh) -> Tokens:
    """New tokens for a refresh token, which is good for one use: a second one ends the login.

    Within a minute, and as long as the new refresh token was not used, the same use gets the same one again: an answer
    may be lost on its way.
    """
    return service.auth.refresh(body.refresh)


@router.post("/logout", status_code=204, **public())
def logout(service: Service, body: Refresh) -> None:
    """End the login of a refresh token, its access tokens included. A token that is not known is no error."""
    service.auth.logout(body.refresh)


@router.post("/password", **require_role(Role.VIEWER, 404, 429))
async def password(request: Request, service: Service, caller: CurrentCaller, body: PasswordChange) -> Tokens:
    """Change one's own password: 422 when the current one is wrong. Every other login of the user ends."""
    if caller.name == SERVICE_CALLER_NAME:
        raise UnknownUser(SERVICE_CALLER_NAME)
    address = request.client.host if request.client else ""
    return await asyncio.wrap_future(service.auth.change_password(caller.name, body, address))


@router.get("/me", **require_role(Role.VIEWER, 404))
def me(service: Service, caller: CurrentCaller) -> User:
    """The user who asks; 404 for the holder of the service's token, who is no user."""
    if caller.name == SERVICE_CALLER_NAME:
        raise UnknownUser(SERVICE_CALLER_NAME)
    return service.auth.users.get(caller.name)
