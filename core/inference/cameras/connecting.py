"""Connects to a source the way it wants to be read: as a stream, or picture by picture."""

from __future__ import annotations

import threading
from typing import TypeAlias

from core.inference.cameras.address import Address, SourceKind
from core.inference.cameras.decoder import KEY_FRAME_SECONDS, Connection
from core.inference.cameras.opening import addresses_of
from core.inference.cameras.snapshots import JPEG_FORMATS, SnapshotConnection, is_picture
from core.inference.schemas import Transport

AnyConnection: TypeAlias = Connection | SnapshotConnection


def connect(
    address: Address,
    timeout: float,
    transport: Transport,
    stop: threading.Event,
    *,
    silence: float,
    poll_interval: float,
    key_frame: float = KEY_FRAME_SECONDS,
) -> AnyConnection:
    """An open source. What a web address answers with decides, not how the address is written."""
    connection = Connection(address, timeout, transport, silence=silence, key_frame=key_frame)
    found = connection.format
    if address.kind is not SourceKind.HTTP or not (is_picture(found) or found in JPEG_FORMATS):
        return connection
    try:
        goes_on = found in JPEG_FORMATS and connection.goes_on()
    finally:
        connection.close()
    if goes_on:
        return Connection(address, timeout, transport, silence=silence, key_frame=key_frame, format="mjpeg")
    return SnapshotConnection(address, addresses_of(address, timeout), timeout, poll_interval, stop)
