"""Connects to a source, as a stream or as a snapshot camera."""

from __future__ import annotations

import threading
from typing import TypeAlias

from core.api_schema import Transport
from core.inference.cameras.decoder import KEY_FRAME_SECONDS, Connection
from core.inference.cameras.open_source import resolve_host
from core.inference.cameras.snapshots import JPEG_FORMATS, SnapshotConnection, is_picture
from core.inference.cameras.source_address import SourceAddress, SourceKind

AnyConnection: TypeAlias = Connection | SnapshotConnection


def connect(
    address: SourceAddress,
    timeout: float,
    transport: Transport,
    stop: threading.Event,
    *,
    silence: float,
    poll_interval: float,
    key_frame_timeout: float = KEY_FRAME_SECONDS,
) -> AnyConnection:
    """Open a source. For HTTP the answer decides between stream and snapshot camera, not the form of the address."""
    connection = Connection(address, timeout, transport, silence=silence, key_frame_timeout=key_frame_timeout)
    format_name = connection.format
    if address.kind is not SourceKind.HTTP or not (is_picture(format_name) or format_name in JPEG_FORMATS):
        return connection
    try:
        is_continuous = format_name in JPEG_FORMATS and connection.is_continuous()
    finally:
        connection.close()
    if is_continuous:
        return Connection(
            address, timeout, transport, silence=silence, key_frame_timeout=key_frame_timeout, format="mjpeg"
        )
    return SnapshotConnection(address, resolve_host(address, timeout), timeout, poll_interval, stop)
