"""Routes for the object storage: what lies there, objects in and out, addresses that expire.

A storage may hang. Its requests have threads of their own, and an object of a bucket crosses the data folder's disk, so
that neither a slow storage nor a slow caller holds what the other needs. What crosses it leaves the disk its margin.
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from core.api_schema import (
    ObjectPage,
    ObjectStorageStatus,
    Role,
    SignedUrl,
    SignedUrlRequest,
    StorageFinding,
    StoredObject,
)
from core.disk_space import check_space
from core.errors import InputError, XaivaError
from core.files import CHUNK_BYTES
from core.inference.api.access import CurrentCaller, ResponseDocs, Service, public, require_inspection, require_role
from core.inference.api.errors import NotFound, RangeNotSatisfiable
from core.inference.api.middleware import MAX_OBJECT_BYTES
from core.inference.api.ranges import ByteRange, IfRange, read_range
from core.inference.api.threads import OBJECT_STORAGE, ResponseLimit, routes_in, run_in
from core.inference.storage.folder import Folder
from core.inference.storage.model import NameFinding, ObjectInfo, ObjectStorage
from core.inference.storage.names import shown_key
from core.inference.storage.written import disk_errors

router = APIRouter(prefix="/storage", tags=["storage"], route_class=routes_in(OBJECT_STORAGE))

MAX_PAGE = 1000
_PURPOSE = "an object that goes over the service"
OPEN_TRANSFERS = ResponseLimit("Transfers of objects", 8)
_SHOWN_KINDS = frozenset(("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff", "image/gif"))
_BYTES: dict[str, Any] = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_CONTENT: ResponseDocs = {
    200: {"description": "The object", **_BYTES},
    206: {"description": "The bytes of the object in `Range`", **_BYTES},
}
_BODY: dict[str, Any] = {"requestBody": {"required": False, **_BYTES}}  # an empty object is one, too
Key = Annotated[str, Query(min_length=1, max_length=1024)]


async def get_storage(service: Service, caller: CurrentCaller) -> ObjectStorage:
    """The object storage. Raises InsufficientRole for users who see some cameras alone."""
    require_inspection(caller, "Object storage")
    return service.storage


Storage = Annotated[ObjectStorage, Depends(get_storage)]


@router.get("", **require_role(Role.VIEWER, 403))
def status(storage: Storage) -> ObjectStorageStatus:
    """Where pictures come from, and whether it answers now."""
    try:
        storage.list_page(limit=1)
    except XaivaError as error:
        return ObjectStorageStatus(url=storage.shown, why=error.why or error.what)
    return ObjectStorageStatus(url=storage.shown)


@router.get("/objects", **require_role(Role.VIEWER, 403))
def objects(
    storage: Storage,
    prefix: Annotated[str, Query(max_length=1024)] = "",
    cursor: Annotated[str, Query(max_length=4096)] = "",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    level: bool = False,
) -> ObjectPage:
    """A page of the objects below a prefix; with `level=true` only those directly below it, and the folders there."""
    page = storage.list_page(prefix, cursor=cursor, limit=limit, level=level)
    return ObjectPage(
        objects=[_stored(entry) for entry in page.entries if isinstance(entry, ObjectInfo)],
        folders=page.folders,
        findings=[StorageFinding(key=each.key, why=each.why) for each in page.entries if isinstance(each, NameFinding)],
        next=page.cursor,
    )


@router.get("/object", response_class=Response, **require_role(Role.VIEWER, 403, 404, 416, content=_CONTENT))
async def download(
    service: Service, storage: Storage, key: Key, byte_range: ByteRange = None, if_range: IfRange = None
) -> Response:
    """The content of an object, with a single `Range` of bytes: at most 512 MiB."""
    return await _send(service.settings.data, storage, key, byte_range, if_range)


@router.put("/object", openapi_extra=_BODY, **require_role(Role.OPERATOR, 409))
async def upload(service: Service, storage: Storage, request: Request, key: Key) -> StoredObject:
    """Store the body as an object, in place of one of that key: at most 512 MiB."""
    data = service.settings.data
    length = request.headers.get("content-length", "")
    expected = int(length) if length.isdecimal() and len(length) < 16 else 0
    with OPEN_TRANSFERS.slot():
        file = await run_in(OBJECT_STORAGE, partial(_temporary, data, expected))
        try:
            await _receive(request, data, file)
            source = Path(f"/proc/self/fd/{file.fileno()}")  # it has no name that a kill could leave behind
            return _stored(await run_in(OBJECT_STORAGE, partial(storage.upload_file, key, source)))
        finally:
            await asyncio.to_thread(file.close)


@router.delete("/object", status_code=204, **require_role(Role.OPERATOR, 409))
def delete(storage: Storage, key: Key) -> None:
    """Delete an object, or an empty folder with `/` at its end. One that does not exist is fine."""
    storage.delete_file(key)


@router.post("/url", **require_role(Role.OPERATOR))
def url(storage: Storage, body: SignedUrlRequest) -> SignedUrl:
    """An address that gives the object to anybody until it expires. A path is one of this service."""
    address = storage.get_url(body.key, timedelta(seconds=body.seconds))
    return SignedUrl(url=address, expires=datetime.now(timezone.utc) + timedelta(seconds=body.seconds))


@router.get("/signed", response_class=Response, **public(404, 416, content=_CONTENT))
async def signed(
    service: Service,
    key: Key,
    expires: Annotated[int, Query(ge=0, le=1 << 40)],
    signature: Annotated[str, Query(max_length=100)],
    byte_range: ByteRange = None,
    if_range: IfRange = None,
) -> Response:
    """The object of an address that `POST /storage/url` gave, with a single `Range`. 404 once it has expired."""
    storage = service.storage
    valid = isinstance(storage, Folder) and await run_in(
        OBJECT_STORAGE, partial(storage.is_signed, key, expires, signature)
    )
    if not valid:
        raise NotFound("Address", "it is not valid, or no longer", "ask for another one")
    return await _send(service.settings.data, storage, key, byte_range, if_range)


class _Content(StreamingResponse):
    """These bytes of an open file, which is closed at the end, however it ends."""

    def __init__(self, file: BinaryIO, wanted: range, slot: contextlib.ExitStack, **options: Any) -> None:
        super().__init__(_pieces(file, wanted), **options)
        self._file = file
        self._slot = slot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._slot:
            try:
                await super().__call__(scope, receive, send)
            finally:
                await asyncio.to_thread(self._file.close)


async def _send(data: Path, storage: ObjectStorage, key: str, byte_range: str | None, if_range: str | None) -> Response:
    """A response with the object, which is fetched whole first: an error is then an answer, and not a cut body."""
    with contextlib.ExitStack() as slot:
        slot.enter_context(OPEN_TRANSFERS.slot())
        file, info = await run_in(OBJECT_STORAGE, partial(_open, data, storage, key))
        etag = f'"{info.etag}"' if info.etag else ""
        try:
            part = read_range(byte_range, if_range, etag, info.size)
        except RangeNotSatisfiable:
            await asyncio.to_thread(file.close)
            raise
        wanted = range(info.size) if part is None else part
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Length": str(len(wanted)),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(key.rpartition('/')[2], safe='')}",
        }
        if etag:
            headers["ETag"] = etag
        if part is not None:
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{info.size}"
        kind = mimetypes.guess_type(key)[0]
        shown = kind if kind in _SHOWN_KINDS else "application/octet-stream"
        code = 200 if part is None else 206
        return _Content(file, wanted, slot.pop_all(), status_code=code, media_type=shown, headers=headers)


def _open(data: Path, storage: ObjectStorage, key: str) -> tuple[BinaryIO, ObjectInfo]:
    """The object as an open file: its own in a folder, a copy in the data folder of one in a bucket."""
    info = storage.stat_object(key)
    _check_size(key, info.size)
    if local := storage.open_local(key):
        return local
    file = _temporary(data, info.size)
    try:
        return file, _fetch(data, storage, info, file)
    except BaseException:
        file.close()
        raise


def _fetch(data: Path, storage: ObjectStorage, info: ObjectInfo, file: BinaryIO) -> ObjectInfo:
    """Write the object into the file, which may have been replaced by a larger one since its size was asked for."""
    received = 0

    def count(size: int) -> None:
        nonlocal received
        received += size
        _check_size(info.key, received)
        check_space({data: max(size, 0)}, _PURPOSE)

    with disk_errors(data):
        fetched = asyncio.run(storage.fetch_object(info, file, count))
        file.seek(0)
    return fetched


def _check_size(key: str, size: int) -> None:
    if size > MAX_OBJECT_BYTES:
        why = f"it has more than {MAX_OBJECT_BYTES >> 20} MiB, the most that goes over the service"
        raise InputError(f"Object {shown_key(key)}", why, "copy it from the bucket or folder itself")


def _temporary(data: Path, size: int) -> BinaryIO:
    """A file in the data folder without a name, for so many bytes. Raises XaivaError where they have no room."""
    with disk_errors(data):
        check_space({data: size}, _PURPOSE)
        return tempfile.TemporaryFile(dir=data)


def _pieces(file: BinaryIO, wanted: range) -> Iterator[bytes]:
    """These bytes, and not to the end: a file of a folder may grow meanwhile."""
    file.seek(wanted.start)
    size = len(wanted)
    while size and (piece := file.read(min(size, CHUNK_BYTES))):
        size -= len(piece)
        yield piece


async def _receive(request: Request, data: Path, file: BinaryIO) -> None:
    """Write the body into the file, in pieces and off the event loop."""
    waiting = bytearray()
    async for piece in request.stream():
        waiting += piece
        if len(waiting) >= CHUNK_BYTES:
            await asyncio.to_thread(_write, data, file, bytes(waiting))
            waiting.clear()
    await asyncio.to_thread(_write, data, file, bytes(waiting))


def _write(data: Path, file: BinaryIO, content: bytes) -> None:
    with disk_errors(data):
        check_space({data: len(content)}, _PURPOSE)
        file.write(content)
        file.flush()


def _stored(info: ObjectInfo) -> StoredObject:
    return StoredObject(key=info.key, size=info.size, etag=info.etag, modified=info.modified)
