"""Routes for logging in and out."""

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
    """Log in with a name and a password. 429 with `Retry-After` after too many attempts."""
    address = request.client.host if request.client else ""
    return await asyncio.wrap_future(service.auth.login(body, address))


@router.post("/refresh", **public(401))
def refresh(service: Service, body: Refresh) -> Tokens:
    """Get new tokens for a refresh token, which is valid for one use: a second use ends the login.

    Within a minute, and until the new refresh token is used, the same request returns the same one again, because a
    response may be lost.
    """
    return service.auth.refresh(body.refresh)


@router.post("/logout", status_code=204, **public())
def logout(service: Service, body: Refresh) -> None:
    """End the login of a refresh token, including its access tokens. An unknown token is not an error."""
    service.auth.logout(body.refresh)


@router.post("/password", **require_role(Role.VIEWER, 404, 429))
async def password(request: Request, service: Service, caller: CurrentCaller, body: PasswordChange) -> Tokens:
    """Change your own password. 422 if the current one is wrong. All other logins of the user end."""
    if caller.name == SERVICE_CALLER_NAME:
        raise UnknownUser(SERVICE_CALLER_NAME)
    address = request.client.host if request.client else ""
    return await asyncio.wrap_future(service.auth.change_password(caller.name, body, address))


@router.get("/me", **require_role(Role.VIEWER, 404))
def me(service: Service, caller: CurrentCaller) -> User:
    """The current user. 404 for the holder of the service's token, who is not a user."""
    if caller.name == SERVICE_CALLER_NAME:
        raise UnknownUser(SERVICE_CALLER_NAME)
    return service.auth.users.get(caller.name)
