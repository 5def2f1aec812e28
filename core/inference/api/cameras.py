"""Cameras over HTTP: status, settings, start, stop, learn, snapshot, connection test."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from core.api_schema import (
    CameraId,
    CameraRequest,
    CameraStatus,
    ConnectionTest,
    LearnRequest,
    Role,
    SuspendRequest,
)
from core.errors import InputError
from core.inference.api.access import CurrentCaller, Service, VisibleCamera, require_role
from core.inference.api.pictures import PICTURE_DOCS, picture_response
from core.inference.api.threads import CHANGES, REQUESTS, in_bulkhead, routes_in
from core.inference.api.visibility import visible_camera
from core.inference.cameras.manager import UnknownCamera
from core.inference.cameras.source_address import restore_source_secrets
from core.inference.cameras.thumbnail import NARROWEST, WIDEST
from core.inference.service import InferenceService
from core.redaction import redact_address

router = APIRouter(tags=["cameras"], route_class=routes_in(REQUESTS))

Width = Annotated[int | None, Query(ge=NARROWEST, le=WIDEST)]


@router.get("/cameras", **require_role(Role.VIEWER))
def cameras(service: Service, caller: CurrentCaller) -> list[CameraStatus]:
    """Every camera that the caller may see, as it is now."""
    return [visible_camera(caller, camera) for camera in service.camera_statuses() if caller.sees(camera.id)]


@router.post("/cameras", status_code=201, **require_role(Role.ADMIN, 409))
@in_bulkhead(CHANGES)
def add(service: Service, body: CameraRequest) -> CameraStatus:
    """Add a camera and keep it over a restart. 409 when its id is taken or there is no room for it."""
    return service.add_camera(body)


@router.get("/cameras/{camera}", **require_role(Role.VIEWER, 404))
def camera(service: Service, camera: VisibleCamera, caller: CurrentCaller) -> CameraStatus:
    """One camera as it is now."""
    return visible_camera(caller, service.camera_status(camera))


@router.delete("/cameras/{camera}", status_code=204, **require_role(Role.ADMIN, 404))
@in_bulkhead(CHANGES)
def remove(service: Service, camera: CameraId) -> None:
    """Stop a camera and forget it; its events stay."""
    service.remove_camera(camera)


@router.get("/cameras/{camera}/settings", **require_role(Role.OPERATOR, 404))
def settings(service: Service, camera: VisibleCamera) -> CameraRequest:
    """One camera as it is set, secrets in its source replaced by `***`."""
    request = service.cameras.get(camera).request
    return request.model_copy(update={"source": redact_address(request.source)})


@router.put("/cameras/{camera}/settings", **require_role(Role.ADMIN, 404, 409))
@in_bulkhead(CHANGES)
def update(service: Service, camera: CameraId, body: CameraRequest) -> CameraStatus:
    """Replace all settings of a camera. Where its source has `***`, what is kept for that host stays."""
    if body.id != camera:
        raise InputError(f"Camera {camera}", f"the settings are of camera {body.id}", "an id never changes")
    service.cameras.get(camera)
    return service.update_camera(_with_kept_secrets(service, body))


@router.post("/cameras/{camera}/start", **require_role(Role.OPERATOR, 404, 409))
@in_bulkhead(CHANGES)
def start(service: Service, camera: VisibleCamera) -> CameraStatus:
    """Start a stopped or failed camera; nothing happens to one that runs."""
    service.cameras.start_camera(camera)
    return service.camera_status(camera)


@router.post("/cameras/{camera}/stop", **require_role(Role.OPERATOR, 404))
@in_bulkhead(CHANGES)
def stop(service: Service, camera: VisibleCamera) -> CameraStatus:
    """Stop a camera; it stays in the list."""
    service.cameras.stop_camera(camera)
    return service.camera_status(camera)


@router.post("/cameras/{camera}/restart", **require_role(Role.OPERATOR, 404, 409))
@in_bulkhead(CHANGES)
def restart(service: Service, camera: VisibleCamera) -> CameraStatus:
    """Connect anew, with a fresh restart budget."""
    service.cameras.restart_camera(camera)
    return service.camera_status(camera)


@router.post("/cameras/{camera}/learn", **require_role(Role.OPERATOR, 404, 409))
@in_bulkhead(CHANGES)
def learn(service: Service, camera: VisibleCamera, body: LearnRequest) -> CameraStatus:
    """Learn the camera's normal pictures for some minutes; `learning` in its status shows how far it is."""
    service.learn(camera, body.minutes)
    return service.camera_status(camera)


@router.delete("/cameras/{camera}/learn", **require_role(Role.OPERATOR, 404))
@in_bulkhead(CHANGES)
def cancel_learning(service: Service, camera: VisibleCamera) -> CameraStatus:
    """End the learning; what was learned before stays."""
    service.cancel_learning(camera)
    return service.camera_status(camera)


@router.post("/cameras/{camera}/suspend", **require_role(Role.OPERATOR, 404))
def suspend(service: Service, camera: VisibleCamera, body: SuspendRequest) -> CameraStatus:
    """Send no notifications of this camera for some minutes; its events are kept all the same."""
    service.cameras.get(camera)
    service.notifier.suspend(camera, body.minutes)
    return service.camera_status(camera)


@router.post("/connection-test", **require_role(Role.ADMIN))
def test(service: Service, body: CameraRequest) -> ConnectionTest:
    """Try to connect to what may become a camera; nothing is kept."""
    return service.cameras.test(_with_kept_secrets(service, body))


@router.get(
    "/cameras/{camera}/snapshot", response_class=Response, **require_role(Role.VIEWER, 404, 409, content=PICTURE_DOCS)
)
def snapshot(service: Service, camera: VisibleCamera, width: Width = None) -> Response:
    """The newest picture as JPEG, or with `width` as PPM of at most that many pixels a line.

    Its age in seconds stands in `X-Frame-Age`. 409 when the camera is not live.
    """
    jpeg, age = service.cameras.get(camera).snapshot()
    return picture_response(jpeg, width, {"X-Frame-Age": f"{age:.3f}"})


def _with_kept_secrets(service: InferenceService, body: CameraRequest) -> CameraRequest:
    """`body` with what is hidden in its source filled in from the camera as it is set. Raises InputError."""
    try:
        stored_source = service.cameras.get(body.id).request.source
    except UnknownCamera:
        stored_source = ""
    return body.model_copy(update={"source": restore_source_secrets(body.source, stored_source, body.id)})
