"""`GET /health`: open to everybody, for engines and consoles that ask whether this is a service and well."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.inference.schemas import Health
from core.inference.service import InferenceService

router = APIRouter()


@router.get("/health")
def health(request: Request, response: Response) -> Health:
    """200 when live and ready, else 503; the body says which."""
    service: InferenceService = request.app.state.service
    answer = service.health()
    if not (answer.live and answer.ready):
        response.status_code = 503
    return answer
