"""Public health checks for engines, load balancers and consoles.

They run on the event loop and use no thread, file or database, because an engine kills a service that does not answer.
Unknown query keys are ignored: some clients add the time to bypass caches.
"""

from __future__ import annotations

from fastapi import APIRouter, Response

from core.api_schema import Health
from core.inference.api.access import ResponseDocs, Service, public
from core.inference.api.threads import REQUESTS, routes_in
from core.inference.service import InferenceService

router = APIRouter(tags=["health"], route_class=routes_in(REQUESTS, any_key=True))

_DATABASE_DOWN = "it does not answer; events are kept on disk"
_UNHEALTHY_DOCS: ResponseDocs = {503: {"model": Health, "description": "Unhealthy; the body says why"}}


@router.get("/health", **public(content=_UNHEALTHY_DOCS))
async def health(service: Service, response: Response) -> Health:
    """200 if live and ready, else 503; the body says which."""
    answer = _public_health(service)
    response.status_code = 200 if answer.live and answer.ready else 503
    return answer


@router.get("/health/live", **public(content=_UNHEALTHY_DOCS))
async def live(service: Service, response: Response) -> Health:
    """503 if the process no longer watches its cameras and should be restarted."""
    answer = _public_health(service)
    response.status_code = 200 if answer.live else 503
    return answer


@router.get("/health/ready", **public(content=_UNHEALTHY_DOCS))
async def ready(service: Service, response: Response) -> Health:
    """503 until the cameras have been started, and while the service stops."""
    answer = _public_health(service)
    response.status_code = 200 if answer.ready else 503
    return answer


def _public_health(service: InferenceService) -> Health:
    """The health without details about the database, which only the status gives."""
    answer = service.health()
    return answer.model_copy(update={"database": _DATABASE_DOWN if answer.database else ""})
