"""A bucket of a server that speaks S3: objects come and go over obstore, the rest over signed requests of our own."""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import obstore
from obstore.store import S3Store

from core.errors import InputError, XaivaError, os_reason
from core.files import replace_atomically
from core.inference.storage.address import BucketAddress
from core.inference.storage.faults import client_error
from core.inference.storage.listing import ForeignAnswer, read_page
from core.inference.storage.model import NameFinding, NoObject, ObjectInfo, ObjectList, StorageDown, StorageRefused
from core.inference.storage.names import FOLDER_MARKER, shown_key, why_unusable
from core.inference.storage.retries import RETRIES, pause_before, retrying
from core.inference.storage.s3_client import CONNECT_SECONDS, READ_SECONDS, S3Client
from core.inference.storage.signed_urls import check_expiry
from core.inference.storage.written import disk_errors, write_all

PAGE = 1000  # objects; the most that S3 lists at once
PIECE_BYTES = 512 << 10  # of a body, handed over at once: most pictures come in one
SMALL_PIECE_BYTES = 16 << 10  # once something was cut: what a cut costs, and what a slow line must bring in time
PART_BYTES = 5 << 20  # larger files are sent in parts of this size
_SLOWEST_UPLOAD = 20_000  # bytes a second; slower is a fault
Result = TypeVar("Result")


class Bucket:
    """`ObjectStorage` over a bucket with a prefix."""

    def __init__(self, address: BucketAddress, *, silence: float = READ_SECONDS) -> None:
        """`silence`: seconds without a byte after which an answer counts as cut."""
        self._address = address
        self._silence = silence
        self._client = S3Client(address)
        self.piece = PIECE_BYTES

    @property
    def shown(self) -> str:
        return self._address.shown

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo | NameFinding]:
        cursor = ""
        while True:
            page = self.list_page(prefix, cursor=cursor)
            yield from page.entries
            if not page.cursor:
                return
            if page.cursor == cursor:
                raise StorageDown(f"Listing {prefix or 'all objects'}", f"{self.shown}: its listing does not go on")
            cursor = page.cursor

    def list_page(self, prefix: str = "", *, cursor: str = "", limit: int = PAGE, level: bool = False) -> ObjectList:
        query = {
            "list-type": "2",
            "encoding-type": "url",  # XML cannot hold control characters
            "max-keys": str(min(limit, PAGE)),
            "prefix": self._address.prefix + prefix,
            **({"continuation-token": cursor} if cursor else {}),
            **({"delimiter": "/"} if level else {}),
        }
        what = f"Listing {shown_key(prefix) or 'all objects'}"
        try:
            return read_page(self._client.request(what, "GET", query=query), self._address.prefix)
        except ForeignAnswer as answer:
            raise StorageRefused(what, f"{self.shown}: {answer.why}", "check endpoint= and path_style=") from None
        except NoObject as error:
            why = f"{self.shown}: there is no bucket at this address"
            raise StorageRefused(what, why, "check the bucket's name, endpoint= and path_style=") from error

    def create_folder(self, prefix: str) -> None:
        self._put(f"{prefix.rstrip('/')}/{FOLDER_MARKER}", b"")

    def upload_file(self, key: str, source: Path) -> ObjectInfo:
        _check(key)
        try:
            size = os.stat(source).st_size
        except OSError as error:
            raise InputError(f"File {source}", os_reason(error)) from None
        etag = self._put(key, source, size)
        # Servers give an object of several parts another ETag when it is complete.
        return self.stat_object(key) if size > PART_BYTES else ObjectInfo(key, size, etag, None)

    def stat_object(self, key: str) -> ObjectInfo:
        _check(key)

        async def head() -> Any:
            return await self._answer(key, obstore.head_async(self._store, self._full(key)))

        meta = retrying(lambda: asyncio.run(head()))
        return ObjectInfo(key, int(meta["size"]), str(meta["e_tag"] or "").strip('"'), meta["last_modified"])

    def _put(self, key: str, content: Path | bytes, size: int = 0) -> str:
        """Store the content and return its ETag."""
        _check(key)
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        allowed = self._silence + size / _SLOWEST_UPLOAD

        async def put() -> str:
            attributes: Any = {"Content-Type": kind}
            sent = obstore.put_async(
                self._store, self._full(key), content, attributes=attributes, chunk_size=PART_BYTES
            )
            return str((await self._answer(key, sent, allowed))["e_tag"] or "")

        return retrying(lambda: asyncio.run(put())).strip('"')

    def download_file(self, key: str, target: Path) -> ObjectInfo:
        _check(key)
        with disk_errors(target), replace_atomically(target) as part:
            return asyncio.run(self.fetch_object(ObjectInfo(key, -1, "", None), part, lambda _count: None))

    async def fetch_object(self, info: ObjectInfo, part: BinaryIO, count: Callable[[int], None]) -> ObjectInfo:
        transfer = _Transfer(self, info, part, count)
        retry = 0
        while True:
            best = transfer.most
            try:
                return await transfer.go_on()
            except StorageDown:
                self.piece = SMALL_PIECE_BYTES
                retry = 1 if transfer.most > best else retry + 1  # a transfer that gets on may be cut more often
                if retry > RETRIES:
                    raise
            await asyncio.sleep(pause_before(retry))

    def delete_file(self, key: str) -> None:
        _check(key.rstrip("/"))
        stored = f"{key}{FOLDER_MARKER}" if key.endswith("/") else key
        try:
            self._client.request(_what(key), "DELETE", self._full(stored))
        except NoObject:
            return

    def get_url(self, key: str, expires: timedelta) -> str:
        _check(key)
        check_expiry(expires)
        return str(obstore.sign(self._store, "GET", self._full(key), expires))

    def local_path(self, key: str) -> Path | None:  # noqa: ARG002
        return None

    def open_local(self, key: str) -> None:
        pass

    async def open_stream(self, key: str, begin: int) -> obstore.GetResult:
        """The answer to a request for the object, from the byte `begin` on."""
        options: Any = {"range": {"offset": begin}} if begin else None
        return await self._answer(key, obstore.get_async(self._store, self._full(key), options=options))

    async def next_chunk(self, key: str, stream: obstore.BytesStream) -> bytes:
        """The next piece of an answer; empty at its end."""

        try:
            return bytes(await self._answer(key, stream.__anext__()))
        except StopAsyncIteration:
            return b""

    async def _answer(self, key: str, work: Awaitable[Result], seconds: float = 0) -> Result:
        """What the client answers within the time, or the error that its exception stands for."""
        try:
            return await asyncio.wait_for(work, seconds or self._silence)
        except (asyncio.TimeoutError, OSError, ValueError, obstore.exceptions.BaseError) as error:
            raise client_error(self._address, _what(key), error) from None

    def _full(self, key: str) -> str:
        return self._address.prefix + key

    @cached_property
    def _store(self) -> S3Store:
        address = self._address

        def credentials() -> Any:  # wins over everything that obstore finds in the environment
            return {
                "access_key_id": address.key,
                "secret_access_key": address.secret,
                "token": address.session or None,
                "expires_at": None,
            }

        options: Any = {"connect_timeout": f"{CONNECT_SECONDS:.0f}s", "timeout": "1d"}
        options["allow_http"] = address.endpoint.startswith("http:")
        if address.ca:
            options["root_certificate"] = address.ca
        return S3Store(
            address.bucket,
            endpoint=address.endpoint if address.path_style else address.base,
            region=address.region,
            virtual_hosted_style_request=not address.path_style,
            client_options=options,
            retry_config={"max_retries": 0},  # this class retries, and continues where it was cut
            credential_provider=credentials,
        )


class _Transfer:
    """An object on its way into a file; continues where it was cut, if it is still the same object."""

    def __init__(self, bucket: Bucket, wanted: ObjectInfo, part: BinaryIO, count: Callable[[int], None]) -> None:
        self._bucket = bucket
        self._wanted = wanted
        self._part = part
        self._count = count
        self._received = 0
        self._same: tuple[str, int] | None = None  # ETag and size of what was received
        self.most = 0

    async def go_on(self) -> ObjectInfo:
        """Receive what is missing. Raises StorageDown when it is cut."""
        key = self._wanted.key
        answer = await self._open(key)
        meta = answer.meta
        etag, size = str(meta["e_tag"] or "").strip('"'), int(meta["size"])
        if etag and etag == self._wanted.etag and size != self._wanted.size:
            why = f"{self._bucket.shown} sends {size} bytes, but its listing says {self._wanted.size}"
            raise StorageDown(_what(key), why, "try again later; if it stays so, look at the server")
        self._same = (etag, size)
        stream = answer.stream(min_chunk_size=self._bucket.piece)
        while self._received < size and (chunk := await self._bucket.next_chunk(key, stream)):
            write_all(self._part, chunk)
            self._received += len(chunk)
            self._count(len(chunk))
        self.most = max(self.most, self._received)
        if self._received != size:
            raise StorageDown(_what(key), f"{self._bucket.shown} sent {self._received} of {size} bytes")
        return ObjectInfo(key, size, etag, meta["last_modified"])

    async def _open(self, key: str) -> obstore.GetResult:
        self.most = max(self.most, self._received)
        if self._received and self._same and self._same[0]:
            try:
                answer = await self._bucket.open_stream(key, self._received)
                if (str(answer.meta["e_tag"] or "").strip('"'), int(answer.meta["size"])) == self._same:
                    return answer
            except XaivaError:
                pass  # it cannot send a part; whether it can send the whole is seen next
        if self._received:
            self._count(-self._received)
            self._received = 0
            self._part.seek(0)
            self._part.truncate()
        return await self._bucket.open_stream(key, 0)


def _check(key: str) -> None:
    if why := why_unusable(key):
        raise InputError(_what(key), why, "give it another name")


def _what(key: str) -> str:
    return f"Object {shown_key(key)}"
