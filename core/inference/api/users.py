"""Routes for administrators to manage users."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from core.api_schema import Name, Role, User, UserRequest, UserUpdate
from core.inference.api.access import Service, require_role
from core.inference.api.threads import DATABASE, routes_in

router = APIRouter(prefix="/users", tags=["users"], route_class=routes_in(DATABASE))


@router.get("", **require_role(Role.ADMIN))
def users(service: Service) -> list[User]:
    """All users, sorted by name."""
    return service.auth.users.all()


@router.post("", status_code=201, **require_role(Role.ADMIN, 409, 429))
async def add(service: Service, body: UserRequest) -> User:
    """Add a user. 409 if the name is taken."""
    return await asyncio.wrap_future(service.auth.run_in_turn(lambda: service.auth.users.add(body)))


@router.get("/{name}", **require_role(Role.ADMIN, 404))
def user(service: Service, name: Name) -> User:
    """A user with role and cameras."""
    return service.auth.users.get(name)


@router.patch("/{name}", **require_role(Role.ADMIN, 404, 409, 429))
async def update(service: Service, name: Name, body: UserUpdate) -> User:
    """Change the given fields. 409 if no administrator would be left."""
    return await asyncio.wrap_future(service.auth.run_in_turn(lambda: service.auth.users.update(name, body)))


@router.delete("/{name}", status_code=204, **require_role(Role.ADMIN, 404, 409))
def remove(service: Service, name: Name) -> None:
    """Remove a user and end their logins. 409 for the last administrator."""
    service.auth.users.remove(name)
