"""Access rules: every route names one; an application with a route that names none does not start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from core.api_schema import CameraId, Role
from core.errors import XaivaError
from core.inference.api.errors import InsufficientRole, problem_responses
from core.inference.api.threads import DATABASE, run_in
from core.inference.auth import THE_SERVICE, Caller
from core.inference.cameras.manager import unknown_camera
from core.inference.service import InferenceService

ResponseDocs = dict[int | str, dict[str, Any]]  # as FastAPI's `responses`

# A token stands in the Authorization header alone: in an address it would end up in logs and histories.
_BEARER = HTTPBearer(auto_error=False, description="An access token of /auth/login, or the service's own token.")


async def get_service(request: Request) -> InferenceService:
    """The service behind the application."""
    service: InferenceService = request.app.state.service
    return service


def get_bearer_token(request: Request) -> str:
    """The bearer token of a request; empty when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


Service = Annotated[InferenceService, Depends(get_service)]


async def get_caller(request: Request, service: Service, _shown: Annotated[object, Depends(_BEARER)]) -> Caller:
    """Who asks. Raises Unauthorised."""
    bearer = get_bearer_token(request)
    if service.auth.is_service(bearer):  # it needs no database, and so none that answers
        caller = THE_SERVICE
    else:
        caller = await run_in(DATABASE, lambda: service.auth.caller(bearer))
    request.state.caller = caller
    return caller


CurrentCaller = Annotated[Caller, Depends(get_caller)]


async def require_visible_camera(camera: CameraId, caller: CurrentCaller) -> str:
    """The camera of the path. One that the caller may not see is as unknown as one that is not there."""
    require_visible(caller, camera)
    return camera


VisibleCamera = Annotated[str, Depends(require_visible_camera)]


def require_visible(caller: Caller, camera: str) -> None:
    """Raise UnknownCamera for a camera that the caller may not see."""
    if not caller.sees(camera):
        raise unknown_camera(camera)


class _RoleRequired:
    """A dependency: the caller has this role, or a higher one."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, caller: CurrentCaller) -> None:
        if caller.role.rank < self.role.rank:
            why = f"{caller.name} has the role {caller.role.value}, and this takes the role {self.role.value}"
            raise InsufficientRole("Access", why, "ask an administrator")


async def _no_token_required() -> None:
    """The rule of a route that is open to everybody who reaches the port."""


def require_role(role: Role, *codes: int, content: ResponseDocs | None = None) -> dict[str, Any]:
    """What a route's decorator takes: callers of this role or a higher one; it may also answer these error codes.

    `content` says what a good answer holds that is no JSON.
    """
    refusals = (401,) if role is Role.VIEWER else (401, 403)
    responses = {**problem_responses(*refusals, *codes), **(content or {})}
    return {"dependencies": [Depends(_RoleRequired(role))], "responses": responses}


def public(*codes: int, content: ResponseDocs | None = None) -> dict[str, Any]:
    """The same for a route that asks for no token."""
    return {
        "dependencies": [Depends(_no_token_required)],
        "responses": {**problem_responses(*codes), **(content or {})},
    }


def required_role(route: APIRoute) -> Role | None:
    """The role a route asks for; None: everybody may ask. Raises XaivaError when it names no rule or several."""
    rules = [dependency.dependency for dependency in route.dependencies if _is_access_rule(dependency.dependency)]
    if len(rules) != 1:
        raise XaivaError(f"Route {route.path}", f"it names {len(rules)} access rules", "give its decorator one")
    return rules[0].role if isinstance(rules[0], _RoleRequired) else None


def checked_routes(router: APIRouter) -> list[APIRoute]:
    """The router's routes. Raises XaivaError for one without a rule of its own: forgetting it must not open a door."""
    for route in router.routes:
        if not isinstance(route, APIRoute):
            raise XaivaError(f"Route {route}", "no rule can stand there", "make it a route with a decorator")
        required_role(route)
    return [route for route in router.routes if isinstance(route, APIRoute)]


def _is_access_rule(dependency: Callable[..., Any] | None) -> bool:
    return isinstance(dependency, _RoleRequired) or dependency is _no_token_required
