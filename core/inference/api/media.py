"""Routes for the picture and the clip of an event."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from core.api_schema import Event, Role
from core.errors import os_reason
from core.files import read_regular
from core.inference.api import pictures
from core.inference.api.access import CurrentCaller, ResponseDocs, Service, require_role
from core.inference.api.cameras import Width
from core.inference.api.errors import NotFound, NotReady
from core.inference.api.event_path import EVENT_PATH, EventId, visible_event
from core.inference.api.ranges import ByteRange, IfRange, read_range
from core.inference.api.threads import FILES, ResponseLimit, routes_in

router = APIRouter(prefix="/events", tags=["events"], route_class=routes_in(FILES))

_VIDEO: dict[str, Any] = {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}}
_CLIP: ResponseDocs = {
    200: {"description": "The clip", **_VIDEO},
    206: {"description": "The bytes of the clip in `Range`", **_VIDEO},
}


OPEN_DOWNLOADS = ResponseLimit("Downloads of clips", 24)


class ClipDownload(FileResponse):
    """A response with a clip. 429 if too many are being sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with OPEN_DOWNLOADS.slot():
            await super().__call__(scope, receive, send)


@router.get(
    f"{EVENT_PATH}/snapshot", response_class=Response, **require_role(Role.VIEWER, 404, content=pictures.PICTURE_DOCS)
)
def snapshot(service: Service, caller: CurrentCaller, event: EventId, width: Width = None) -> Response:
    """The event's best picture as JPEG, or with `width` as PPM of at most that width in pixels."""
    visible = visible_event(service, caller, event)
    path = service.media.snapshot_path(visible.id)
    try:
        jpeg = read_regular(path)
    except OSError as error:
        why = "there is none" if isinstance(error, FileNotFoundError) else f"it cannot be read: {os_reason(error)}"
        raise NotFound(f"Picture of event {event}", why, "it may have been removed to make room") from None
    return pictures.picture_response(jpeg, width)


@router.get(f"{EVENT_PATH}/clip", response_class=Response, **require_role(Role.VIEWER, 404, 409, 416, content=_CLIP))
def clip(
    service: Service,
    caller: CurrentCaller,
    event: EventId,
    byte_range: ByteRange = None,
    if_range: IfRange = None,
) -> Response:
    """The clip as MP4, with a single `Range` of bytes. 409 while it is being recorded."""
    visible = visible_event(service, caller, event)
    path = service.media.clip_path(visible.id)
    if visible.clip.state == "recording":
        raise NotReady(f"Clip of event {event}", "it is still being recorded", "try again when its state is done")
    file_status = _file_status(path, visible)
    response = ClipDownload(
        path,
        media_type="video/mp4",
        filename=f"{visible.camera}-{visible.id}.mp4",
        stat_result=file_status,
        headers={"Cache-Control": "private, no-cache"},
    )
    read_range(byte_range, if_range, response.headers["etag"], file_status.st_size)  # what cannot be sent is refused
    return response


def _file_status(path: Path, event: Event) -> os.stat_result:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        status = None
    if status is None or not stat.S_ISREG(status.st_mode):
        why = event.clip.why or "there is none"
        raise NotFound(f"Clip of event {event.id}", why, "it may have been removed to make room")
    return status
