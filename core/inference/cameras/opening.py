"""Opens a source of each kind through libav, with every wait bounded."""

from __future__ import annotations

import os

import av
from av.container import InputContainer

from core.files import not_a_file
from core.inference.cameras.address import Address, SourceKind
from core.inference.cameras.failures import NotAFile
from core.inference.schemas import Transport

ANALYSE_MICROSECONDS = 500_000  # libav's own 5 s delay every first frame; what is missing then comes with the first key
LAST_RESORT = 2.0  # times the time-out: PyAV's own limit on one read, where a protocol of libav forgets its option


def open_source(address: Address, timeout: float, transport: Transport) -> InputContainer:
    """Open it, waiting `timeout` seconds at most for each answer. Raises what `failures.classify` knows."""
    if address.kind is SourceKind.FILE:
        if kind := not_a_file(os.stat(address.url.removeprefix("file:")).st_mode):
            raise NotAFile(kind)  # libav would wait for a pipe's writer, and nothing could end that
        return av.open(address.url, mode="r", options={"protocol_whitelist": "file"})
    # PyAV's own limit bounds opening as a whole, against a camera that answers in drops.
    limits = (timeout, LAST_RESORT * timeout)
    if address.kind is SourceKind.DEVICE:
        return av.open(address.url, mode="r", format="v4l2", timeout=limits)
    return av.open(address.url, mode="r", options=_options(address, timeout, transport), timeout=limits)


def _options(address: Address, timeout: float, transport: Transport) -> dict[str, str]:
    microseconds = str(int(timeout * 1e6))
    # `timeout` bounds each wait for the network; without it a stalled camera blocks for ever.
    common = {"timeout": microseconds, "analyzeduration": str(ANALYSE_MICROSECONDS)}
    if address.kind is SourceKind.RTSP:
        return {**common, "rtsp_transport": transport.value, "allowed_media_types": "video"}
    if address.kind is SourceKind.HTTP:  # a playlist must not lead to local files
        return {**common, "rw_timeout": microseconds, "protocol_whitelist": "http,https,tcp,tls,httpproxy,crypto"}
    return {**common, "rw_timeout": microseconds, "protocol_whitelist": "udp,tcp"}
