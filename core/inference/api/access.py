"""Access rules. Every route must name one; the application does not start with a route that names none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.security import HTTPBearer

from core.api_schema import CameraId, Role
from core.api_schema.event_types import INSPECTION
from core.errors import XaivaError
from core.inference.api.errors import InsufficientRole, problem_responses
from core.inference.api.threads import DATABASE, run_in
from core.inference.auth import THE_SERVICE, Caller
from core.inference.cameras.manager import unknown_camera
from core.inference.service import InferenceService

ResponseDocs = dict[int | str, dict[str, Any]]  # the type of FastAPI's `responses`

# Tokens are accepted only in the Authorization header; in an address they would end up in logs and histories.
_BEARER = HTTPBearer(auto_error=False, description="An access token of /auth/login, or the service's own token.")


async def get_service(request: Request) -> InferenceService:
    """The service behind the application."""
    service: InferenceService = request.app.state.service
    return service


def get_bearer_token(request: Request) -> str:
    """The bearer token of a request, or an empty string."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


Service = Annotated[InferenceService, Depends(get_service)]


async def get_caller(request: Request, service: Service, _shown: Annotated[object, Depends(_BEARER)]) -> Caller:
    """The caller of a request. Raises Unauthorised."""
    caller = await caller_of(service, get_bearer_token(request))
    request.state.caller = caller
    return caller


async def caller_of(service: InferenceService, bearer: str) -> Caller:
    """The caller of a bearer token, as it is now. Raises Unauthorised, DatabaseError, TooManyRequests."""
    if service.auth.is_service(bearer):  # works without the database
        return THE_SERVICE
    return await run_in(DATABASE, lambda: service.auth.caller(bearer))


CurrentCaller = Annotated[Caller, Depends(get_caller)]


async def require_visible_camera(camera: CameraId, caller: CurrentCaller) -> str:
    """The camera in the path. Raises UnknownCamera also if the caller may not see it."""
    require_visible(caller, camera)
    return camera


VisibleCamera = Annotated[str, Depends(require_visible_camera)]


def require_visible(caller: Caller, camera: str) -> None:
    """Raise UnknownCamera if the caller may not see the camera."""
    if not caller.sees(camera):
        raise unknown_camera(camera)


def require_inspection(caller: Caller, what: str) -> None:
    """Raise InsufficientRole, about `what`, if the caller may not see the camera of the inspections."""
    if not caller.sees(INSPECTION):
        why = f"{caller.name} may see only some cameras, and {INSPECTION} is not one of them"
        raise InsufficientRole(what, why, f"ask an administrator to add {INSPECTION} to their cameras")


class AccessRule:
    """A dependency that refuses callers with a lower role; with `jobs` also those who may not see inspections."""

    def __init__(self, role: Role, jobs: bool = False) -> None:
        self.role = role
        self._jobs = jobs

    def check(self, caller: Caller) -> None:
        """Raise InsufficientRole for a lower role, and for a user who may see jobs as little as inspections."""
        if caller.role.rank < self.role.rank:
            why = f"{caller.name} has the role {caller.role.value}, but this needs the role {self.role.value}"
            raise InsufficientRole("Access", why, "ask an administrator")
        if self._jobs:
            require_inspection(caller, "Jobs")


class _RoleRequired(AccessRule):
    """The rule of a route."""

    async def __call__(self, caller: CurrentCaller) -> None:
        self.check(caller)


class SocketRule(AccessRule):
    """The rule of a WebSocket; `core.inference.api.sockets` has it."""


async def _no_token_required() -> None:
    """The access rule of public routes."""


def require_role(role: Role, *codes: int, content: ResponseDocs | None = None) -> dict[str, Any]:
    """Keyword arguments for a route's decorator: it needs this role or a higher one, and may return these error codes.

    `content` describes a successful response that is not JSON.
    """
    refusals = (401,) if role is Role.VIEWER else (401, 403)
    return _require(_RoleRequired(role), (*refusals, *codes), content)


def require_jobs_role(role: Role, *codes: int, content: ResponseDocs | None = None) -> dict[str, Any]:
    """As `require_role`, for a route about jobs, which are for users who may see inspections."""
    return _require(_RoleRequired(role, jobs=True), (401, 403, *codes), content)


def _require(rule: _RoleRequired, codes: tuple[int, ...], content: ResponseDocs | None) -> dict[str, Any]:
    return {"dependencies": [Depends(rule)], "responses": {**problem_responses(*codes), **(content or {})}}


def public(*codes: int, content: ResponseDocs | None = None) -> dict[str, Any]:
    """Keyword arguments for the decorator of a route that needs no token."""
    return {
        "dependencies": [Depends(_no_token_required)],
        "responses": {**problem_responses(*codes), **(content or {})},
    }


def required_role(route: APIRoute | APIWebSocketRoute) -> Role | None:
    """The role a route needs; None: it is public. Raises XaivaError unless it has exactly one access rule."""
    rules = [dependency.dependency for dependency in route.dependencies if _is_access_rule(dependency.dependency)]
    if len(rules) != 1:
        raise XaivaError(f"Route {route.path}", f"it has {len(rules)} access rules", "give it exactly one")
    (rule,) = rules
    if isinstance(route, APIWebSocketRoute) is not isinstance(rule, SocketRule):
        raise XaivaError(f"Route {route.path}", "its access rule is not one of its kind", "see access and sockets")
    return rule.role if isinstance(rule, AccessRule) else None


def checked_routes(router: APIRouter) -> list[APIRoute]:
    """The router's routes but for its sockets. Raises XaivaError for a route or socket without an access rule.

    So forgetting one is safe.
    """
    for route in router.routes:
        if not isinstance(route, (APIRoute, APIWebSocketRoute)):
            raise XaivaError(f"Route {route}", "it cannot have an access rule", "make it a decorated route")
        required_role(route)
    return [route for route in router.routes if isinstance(route, APIRoute)]


def sockets(router: APIRouter) -> list[APIWebSocketRoute]:
    """The router's WebSockets."""
    return [route for route in router.routes if isinstance(route, APIWebSocketRoute)]


def _is_access_rule(dependency: Callable[..., Any] | None) -> bool:
    return isinstance(dependency, AccessRule) or dependency is _no_token_required
