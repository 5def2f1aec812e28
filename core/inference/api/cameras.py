"""Cameras over HTTP: add, remove, look."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from core.inference.schemas import CameraRequest, CameraStatus
from core.inference.service import InferenceService

router = APIRouter(prefix="/cameras")


@router.post("", status_code=201)
def add(request: Request, camera: CameraRequest) -> CameraStatus:
    """Add a camera and keep it over a restart: 409 when its id is taken, 422 for a source that cannot be one."""
    service: InferenceService = request.app.state.service
    return service.add_camera(camera)


@router.delete("/{camera}", status_code=204)
def remove(request: Request, camera: str) -> None:
    """Stop a camera and forget it: 404 when there is none."""
    service: InferenceService = request.app.state.service
    service.remove_camera(camera)


@router.get("/{camera}/snapshot", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def snapshot(request: Request, camera: str) -> Response:
    """The newest scored frame as JPEG, its age in seconds in `X-Frame-Age`: 409 when the camera is not live."""
    service: InferenceService = request.app.state.service
    picture, age = service.manager.get(camera).snapshot()
    return Response(
        picture, media_type="image/jpeg", headers={"Cache-Control": "no-store", "X-Frame-Age": f"{age:.3f}"}
    )
