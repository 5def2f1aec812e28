"""Inspections over HTTP: inspect a picture, list, show, export and correct."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive, Scope, Send

from core.api_schema import Correction, Inspection, InspectionPage, InspectionQuery, Role
from core.api_schema.inspection_export import INSPECTION_COLUMNS, csv_line, inspection_cells
from core.api_schema.products import PartId, ProductName
from core.errors import InputError
from core.inference.api import pictures
from core.inference.api.access import CurrentCaller, ResponseDocs, require_role
from core.inference.api.cameras import Width
from core.inference.api.event_path import EVENT_ID_PATTERN
from core.inference.api.media import OPEN_DOWNLOADS
from core.inference.api.products import Inspecting
from core.inference.api.threads import (
    DATABASE,
    FILES,
    INSPECTIONS,
    OBJECT_STORAGE,
    ResponseLimit,
    in_bulkhead,
    routes_in,
    run_in,
)
from core.inference.inspection.inspection_service import InspectionService

router = APIRouter(tags=["inspections"], route_class=routes_in(DATABASE))

MAX_PICTURE_BYTES = 32 << 20
NEIGHBOURS = 3
EXPORTED_AT_ONCE = 500
_INSPECTION = "/inspections/{inspection:event_id}"
_MULTIPART, _RAW = "multipart/form-data", "application/octet-stream"
_BYTES: dict[str, Any] = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A picture: JPEG, PNG, BMP, WebP or TIFF, as the field `picture` or as it is, also as image/….",
        "content": {
            _MULTIPART: {
                "schema": {"type": "object", "properties": {"picture": _BYTES}, "required": ["picture"]},
            },
            _RAW: {"schema": _BYTES},
        },
    }
}
_PNG: ResponseDocs = {200: {"description": "The heat map", "content": {"image/png": {"schema": _BYTES}}}}
_EXPORT: ResponseDocs = {
    200: {
        "description": "All matching inspections",
        "content": {"text/csv": {"schema": {"type": "string"}}, "application/json": {"schema": {"type": "object"}}},
    }
}

InspectionId = Annotated[str, Path(pattern=f"^{EVENT_ID_PATTERN}$")]
Neighbours = Annotated[int, Query(ge=0, le=50)]

# Held while the body is read, too: pictures that wait for their turn take memory.
OPEN_INSPECTIONS = ResponseLimit("Inspections", INSPECTIONS.at_once + INSPECTIONS.waiting)


@router.post("/inspect", openapi_extra=_BODY, **require_role(Role.OPERATOR, 404, 409))
async def inspect(
    request: Request,
    service: Inspecting,
    product: Annotated[ProductName, Query()],
    part: Annotated[PartId, Query()] = "",
    neighbours: Neighbours = NEIGHBOURS,
    heat_map: Annotated[bool, Query()] = False,
) -> Inspection:
    """Inspect a picture: score, verdict, and the known pictures that look most like it.

    409 while the product has no memory bank; 429 when too many pictures wait.
    """
    with OPEN_INSPECTIONS.slot():
        picture = await _picture(request)

        def work() -> Inspection:
            return service.inspect(product, picture, part=part, neighbours=neighbours, heat_map=heat_map)

        return await run_in(INSPECTIONS, work)


@router.get("/inspections", **require_role(Role.VIEWER, 403))
def inspections(service: Inspecting, query: Annotated[InspectionQuery, Query()]) -> InspectionPage:
    """A page of inspections, newest first. `next` is the `cursor` of the following page."""
    return service.inspections.page(query)


class _Export(StreamingResponse):
    """A response with many inspections. 429 if too many downloads are being sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with OPEN_DOWNLOADS.slot():
            await super().__call__(scope, receive, send)


class ExportQuery(InspectionQuery):
    """A filter, and the form of the answer."""

    format: Literal["csv", "json"] = "csv"


@router.get("/inspections/export", response_class=Response, **require_role(Role.VIEWER, 403, content=_EXPORT))
async def export(service: Inspecting, query: Annotated[ExportQuery, Query()]) -> Response:
    """All matching inspections as CSV or JSON, from `cursor` on; `limit` is ignored."""
    filters = InspectionQuery.model_validate({**query.model_dump(exclude={"format"}), "limit": EXPORTED_AT_ONCE})
    first = await run_in(DATABASE, lambda: service.inspections.page(filters))  # its errors are answers of their own
    pages = _pages(service, filters, first)
    headers = {"Content-Disposition": f'attachment; filename="inspections.{query.format}"'}
    if query.format == "csv":
        return _Export(_csv(pages), media_type="text/csv; charset=utf-8", headers=headers)
    return _Export(_json(pages), media_type="application/json", headers=headers)


@router.get(_INSPECTION, **require_role(Role.VIEWER, 403, 404))
def show(service: Inspecting, inspection: InspectionId) -> Inspection:
    """Everything about one inspection."""
    return service.inspections.get(inspection).inspection


@router.get(
    f"{_INSPECTION}/picture",
    response_class=Response,
    **require_role(Role.VIEWER, 403, 404, 409, content=pictures.PICTURE_DOCS),
)
@in_bulkhead(FILES)
def picture(service: Inspecting, inspection: InspectionId, width: Width = None) -> Response:
    """The kept picture as JPEG, or with `width` as PPM of at most that width in pixels. 409 if it is not kept."""
    content = service.pictures.read(service.inspections.get(inspection).kept)
    return pictures.any_picture_response(content, width)


@router.get(f"{_INSPECTION}/heat-map", response_class=Response, **require_role(Role.VIEWER, 403, 404, content=_PNG))
def heat_map(service: Inspecting, inspection: InspectionId) -> Response:
    """The heat map as PNG: grey, as wide and high as the patches; 0 is a score of 0, 255 one of 1."""
    return Response(service.inspections.heat_map(inspection), media_type="image/png")


@router.post(f"{_INSPECTION}/correct", **require_role(Role.OPERATOR, 404, 409))
@in_bulkhead(OBJECT_STORAGE)
def correct(service: Inspecting, caller: CurrentCaller, inspection: InspectionId, body: Correction) -> Inspection:
    """Store a person's verdict: the picture goes to the normal or defect pictures, and the next rebuild learns it."""
    return service.correct(inspection, body, caller.name)


async def _picture(request: Request) -> bytes:
    """The picture in the body. Raises InputError."""
    kind = request.headers.get("content-type", _RAW).partition(";")[0].strip().lower()
    if kind.startswith("image/") or kind == _RAW:
        return await request.body()
    if kind != _MULTIPART:
        remedy = f"send the picture as {_MULTIPART}, image/… or {_RAW}"
        raise InputError("body", f"its Content-Type is {kind[:60]}", remedy)
    parser = MultiPartParser(request.headers, request.stream(), max_files=1, max_fields=8)
    parser.spool_max_size = MAX_PICTURE_BYTES  # never to the disk, which may be read-only
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise InputError("body", f"it is not a form ({error})", "send one file as the field picture") from error
    file = form.get("picture")
    if not isinstance(file, UploadFile):
        raise InputError("body.picture", "it is missing, or no file", "send one file as the field picture")
    return await file.read()


async def _pages(service: InspectionService, query: InspectionQuery, page: InspectionPage) -> AsyncIterator[Inspection]:
    while True:
        for inspection in page.inspections:
            yield inspection
        if not page.next:
            return
        query = query.model_copy(update={"cursor": page.next})
        page = await run_in(DATABASE, functools.partial(service.inspections.page, query))


async def _csv(inspections: AsyncIterator[Inspection]) -> AsyncIterator[str]:
    yield csv_line(INSPECTION_COLUMNS)
    async for inspection in inspections:
        yield csv_line(inspection_cells(inspection))


async def _json(inspections: AsyncIterator[Inspection]) -> AsyncIterator[str]:
    start = '{"inspections": [\n'
    async for inspection in inspections:
        yield start + inspection.model_dump_json()
        start = ",\n"
    yield "\n]}\n" if start.startswith(",") else '{"inspections": []}\n'
