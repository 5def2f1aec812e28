"""Health checks, open to everybody: for engines, load balancers and consoles.

The event loop answers them itself: no thread, no file and no database is asked, for an engine ends a service that does
not answer. Some who ask add a query of their own, such as the time, so that no cache answers: it changes nothing.
"""

from __future__ import annotations

from fastapi import APIRouter, Response

from core.api_schema import Health
from core.inference.api.access import ResponseDocs, Service, public
from core.inference.api.threads import REQUESTS, routes_in
from core.inference.service import InferenceService

router = APIRouter(tags=["health"], route_class=routes_in(REQUESTS, any_key=True))

_DATABASE_DOWN = "it does not answer; events wait on disk"
_UNHEALTHY_DOCS: ResponseDocs = {503: {"model": Health, "description": "Not well; the body says why"}}


@router.get("/health", **public(content=_UNHEALTHY_DOCS))
async def health(service: Service, response: Response) -> Health:
    """200 when live and ready, else 503; the body says which."""
    answer = _public_health(service)
    response.status_code = 200 if answer.live and answer.ready else 503
    return answer


@router.get("/health/live", **public(content=_UNHEALTHY_DOCS))
async def live(service: Service, response: Response) -> Health:
    """503 when the process answers but no longer watches its cameras: it should be started again."""
    answer = _public_health(service)
    response.status_code = 200 if answer.live else 503
    return answer


@router.get("/health/ready", **public(content=_UNHEALTHY_DOCS))
async def ready(service: Service, response: Response) -> Health:
    """503 until its cameras have been started, and again while it ends."""
    answer = _public_health(service)
    response.status_code = 200 if answer.ready else 503
    return answer


def _public_health(service: InferenceService) -> Health:
    """What strangers are told: that the database fails, but not where it is; the status says that."""
    answer = service.health()
    return answer.model_copy(update={"database": _DATABASE_DOWN if answer.database else ""})
