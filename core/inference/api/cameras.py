"""Cameras over HTTP: status, settings, start, stop, learn, snapshot, connection test."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from core.api_schema import CameraId, CameraRequest, CameraStatus, ConnectionTest, LearnRequest, Role, SuspendRequest
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
    """The current state of every camera that the caller may see."""
    return [visible_camera(caller, camera) for camera in service.camera_statuses() if caller.sees(camera.id)]


@router.post("/cameras", status_code=201, **require_role(Role.ADMIN, 409))
@in_bulkhead(CHANGES)
def add(service: Service, body: CameraRequest) -> CameraStatus:
    """Add a camera. 409 if its id is taken or there is no room for it."""
    return service.add_camera(body)


@router.get("/cameras/{camera}", **require_role(Role.VIEWER, 404))
def camera(service: Service, camera: VisibleCamera, caller: CurrentCaller) -> CameraStatus:
    """The current state of a camera."""
    return visible_camera(caller, service.camera_status(camera))


@router.delete("/cameras/{camera}", status_code=204, **require_role(Role.ADMIN, 404))
@in_bulkhead(CHANGES)
def remove(service: Service, camera: CameraId) -> None:
    """Remove a camera. Its events stay."""
    service.remove_camera(camera)


@router.get("/cameras/{camera}/settings", **require_role(Role.OPERATOR, 404))
def settings(service: Service, camera: VisibleCamera) -> CameraRequest:
    """The settings of a camera, with secrets in its source replaced by `***`."""
    request = service.cameras.get(camera).request
    return request.model_copy(update={"source": redact_address(request.source)})


@router.put("/cameras/{camera}/settings", **require_role(Role.ADMIN, 404, 409))
@in_bulkhead(CHANGES)
def update(service: Service, camera: CameraId, body: CameraRequest) -> CameraStatus:
    """Replace all settings of a camera. `***` in its source keeps the stored secret of that host."""
    if body.id != camera:
        raise InputError(
            f"Camera {camera}", f"the settings are for camera {body.id}", "use the same id; it cannot be changed"
        )
    service.cameras.get(camera)
    return service.update_camera(_with_kept_secrets(service, body))


@router.post("/cameras/{camera}/start", **require_role(Role.OPERATOR, 404, 409))
@in_bulkhead(CHANGES)
def start(service: Service, camera: VisibleCamera) -> CameraStatus:
    """Start a stopped or failed camera. A running camera is not affected."""
    service.cameras.start_camera(camera)
    return service.camera_status(camera)


@router.post("/cameras/{camera}/stop", **require_role(Role.OPERATOR, 404))
@in_bulkhead(CHANGES)
def stop(service: Service, camera: VisibleCamera) -> CameraStatus:
    """Stop a camera. It stays in the list."""
    service.cameras.stop_camera(camera)
    return service.camera_status(camera)


@router.post("/cameras/{camera}/restart", **require_role(Role.OPERATOR, 404, 409))
@in_bulkhead(CHANGES)
def restart(service: Service, camera: VisibleCamera) -> CameraStatus:
    """Reconnect a camera, with a fresh restart budget."""
    service.cameras.restart_camera(camera)
    return service.camera_status(camera)


@router.post("/cameras/{camera}/learn", **require_role(Role.OPERATOR, 404, 409))
@in_bulkhead(CHANGES)
def learn(service: Service, camera: VisibleCamera, body: LearnRequest) -> CameraStatus:
    """Learn what is normal for a camera. `learning` in its status shows the progress."""
    service.learn(camera, body.minutes)
    return service.camera_status(camera)


@router.delete("/cameras/{camera}/learn", **require_role(Role.OPERATOR, 404))
@in_bulkhead(CHANGES)
def cancel_learning(service: Service, camera: VisibleCamera) -> CameraStatus:
    """Cancel learning. What was learned earlier stays."""
    service.cancel_learning(camera)
    return service.camera_status(camera)


@router.post("/cameras/{camera}/suspend", **require_role(Role.OPERATOR, 404))
def suspend(service: Service, camera: VisibleCamera, body: SuspendRequest) -> CameraStatus:
    """Suspend a camera's notifications for some minutes. Its events are still recorded."""
    service.cameras.get(camera)
    service.notifier.suspend(camera, body.minutes)
    return service.camera_status(camera)


@router.post("/connection-test", **require_role(Role.ADMIN))
def test(service: Service, body: CameraRequest) -> ConnectionTest:
    """Try to connect with these settings. Nothing is stored."""
    return service.cameras.test(_with_kept_secrets(service, body))


@router.get(
    "/cameras/{camera}/snapshot", response_class=Response, **require_role(Role.VIEWER, 404, 409, content=PICTURE_DOCS)
)
def snapshot(service: Service, camera: VisibleCamera, width: Width = None) -> Response:
    """The newest picture as JPEG, or with `width` as PPM of at most that width in pixels.

    `X-Frame-Age` is its age in seconds. 409 if the camera is not live.
    """
    jpeg, age = service.cameras.get(camera).snapshot()
    return picture_response(jpeg, width, {"X-Frame-Age": f"{age:.3f}"})


def _with_kept_secrets(service: InferenceService, body: CameraRequest) -> CameraRequest:
    """Fill in hidden parts of the source from the stored camera. Raises InputError."""
    try:
        stored_source = service.cameras.get(body.id).request.source
    except UnknownCamera:
        stored_source = ""
    return body.model_copy(update={"source": restore_source_secrets(body.source, stored_source, body.id)})
