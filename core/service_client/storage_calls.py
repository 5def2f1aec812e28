"""The routes of object storage as typed methods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from core.api_schema import ObjectPage, ObjectStorageStatus, SignedUrl, SignedUrlRequest, StoredObject
from core.service_client.calls import Calls
from core.service_client.download import ProgressCallback, save
from core.service_client.upload import send_file

STORAGE_SECONDS = 110.0  # the service asks a server that hangs four times, and then says so


class StorageCalls(Calls):
    """The service's object storage."""

    def status(self) -> ObjectStorageStatus:
        """Where pictures come from, and whether it answers."""
        return self._request("GET", "/storage", ObjectStorageStatus, wait=STORAGE_SECONDS)

    def page(self, prefix: str = "", *, cursor: str = "", limit: int = 100, level: bool = False) -> ObjectPage:
        """A page of objects below a prefix; with `level` those directly below it, and the folders there."""
        query = {"prefix": prefix, "limit": limit, "level": "true" if level else "false"}
        path = f"/storage/objects?{urlencode({**query, **({'cursor': cursor} if cursor else {})})}"
        return self._request("GET", path, ObjectPage, wait=STORAGE_SECONDS)

    def pages(self, prefix: str = "", *, level: bool = False) -> Iterator[ObjectPage]:
        """All pages below a prefix."""
        cursor = ""
        while True:
            page = self.page(prefix, cursor=cursor, limit=1000, level=level)
            yield page
            cursor = page.next
            if not cursor:
                return

    def put(self, key: str, source: Path, on_progress: ProgressCallback | None = None) -> StoredObject:
        """Store a file as an object. Raises InputError if it cannot be read."""
        path = f"/storage/object?{urlencode({'key': key})}"
        answer = send_file(self._transport, path, source, on_progress)
        return self._transport.read_leniently(answer.text, StoredObject)

    def get(self, key: str, target: Path, on_progress: ProgressCallback | None = None) -> Path:
        """Fetch an object into a file, whole or not at all, and return the file."""
        silence = STORAGE_SECONDS
        return save(self._transport, "/storage/object", target, on_progress, query={"key": key}, silence=silence)

    def delete(self, key: str) -> None:
        """Delete an object, or an empty folder with `/` at its end. One that does not exist is fine."""
        self._transport.send("DELETE", f"/storage/object?{urlencode({'key': key})}", wait=STORAGE_SECONDS)

    def url(self, key: str, seconds: int) -> SignedUrl:
        """An address that gives the object to anybody for so many seconds."""
        body = SignedUrlRequest(key=key, seconds=seconds)
        signed = self._request("POST", "/storage/url", SignedUrl, body, wait=STORAGE_SECONDS)
        if not signed.url.startswith("/"):
            return signed
        return signed.model_copy(update={"url": self._transport.url + signed.url})
