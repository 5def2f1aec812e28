"""Whether the service is well: open to everybody, for engines, load balancers and consoles."""

from __future__ import annotations

from fastapi import APIRouter, Response

from core.inference.api.access import Content, Service, everybody
from core.inference.schemas import Health

router = APIRouter(tags=["health"])

_UNWELL: Content = {503: {"model": Health, "description": "Not well; the body says why"}}


@router.get("/health", **everybody(content=_UNWELL))
def health(service: Service, response: Response) -> Health:
    """200 when live and ready, else 503; the body says which."""
    answer = service.health()
    response.status_code = 200 if answer.live and answer.ready else 503
    return answer


@router.get("/health/live", **everybody(content=_UNWELL))
def live(service: Service, response: Response) -> Health:
    """503 when the process answers but no longer watches its cameras: it should be started again."""
    answer = service.health()
    response.status_code = 200 if answer.live else 503
    return answer


@router.get("/health/ready", **everybody(content=_UNWELL))
def ready(service: Service, response: Response) -> Health:
    """503 until its cameras have been started, and again while it ends."""
    answer = service.health()
    response.status_code = 200 if answer.ready else 503
    return answer
