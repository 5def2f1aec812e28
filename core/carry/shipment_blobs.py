"""The contents of an opened shipment as blobs that a registry can serve: by digest, from any offset, parts joined."""

from __future__ import annotations

from collections.abc import Iterator

from core.carry.opened_shipment import OpenedShipment, open_regular
from core.carry.shipment import blob_path
from core.files import CHUNK_BYTES


class ShipmentBlobs:
    """A blob source over the medium. It checks no digest: the registry and the engine do."""

    def __init__(self, shipment: OpenedShipment) -> None:
        self._medium = shipment.medium
        self._contents = shipment.index.by_sha256()

    def size(self, digest: str) -> int:
        """The size in bytes. Raises KeyError for a digest that the shipment does not have."""
        return self._contents[digest].size

    def open(self, digest: str, offset: int = 0) -> Iterator[bytes]:
        """The bytes from `offset` on. Raises KeyError, OSError."""
        for blob in self._contents[digest].blobs():
            if offset >= blob.size:
                offset -= blob.size
                continue
            with open_regular(self._medium / blob_path(blob.sha256)) as file:
                file.seek(offset)
                while data := file.read(CHUNK_BYTES):
                    yield data
            offset = 0
