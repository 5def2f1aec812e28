"""Opens a source of each kind through libav, with every wait bounded."""

from __future__ import annotations

import os
import time

import av
import av.error
from av.container import InputContainer

from core.api_schema import Transport
from core.errors import InputError
from core.files import describe_irregular_file
from core.inference.address_guard import check_addresses
from core.inference.cameras.diagnosis import diagnose
from core.inference.cameras.failures import Cause, SourceError
from core.inference.cameras.name_lookup import look_up_host
from core.inference.cameras.source_address import SourceAddress, SourceKind

ANALYSE_MICROSECONDS = 500_000  # libav's default of 5 s delays every first frame; the first key frame brings the rest
PROBE_BYTES = 65536  # enough to detect a web camera's format; libav's default of 1 MiB takes a slow one half a minute
OPENING_TIMEOUTS = 3.0  # times the time-out: libav reads 30 frames of a transport stream without a key frame
READ_TIMEOUTS = 2.0  # times the time-out: PyAV's limit on one read, where a protocol of libav ignores its option


def open_source(
    address: SourceAddress, timeout: float, silence: float, transport: Transport, format: str | None = None
) -> InputContainer:
    """Open a source. Each answer may take `timeout` seconds, each later read `silence` seconds.

    `format` is libav's name of the format, if known. Raises errors that `failures.classify` understands.
    """
    if address.kind is SourceKind.FILE:
        status = os.stat(address.url.removeprefix("file:"))
        if kind := describe_irregular_file(status.st_mode):
            # libav would wait for a pipe's writer, without a time-out.
            raise SourceError(Cause.NOT_FOUND, f"the path is {kind}, not a video file")
        if not status.st_size:
            raise SourceError(Cause.CODEC, "the file is empty")
        return av.open(address.url, mode="r", options={"protocol_whitelist": "file"})
    # PyAV's limit bounds opening as a whole, against a camera that answers byte by byte.
    limits = (opening_limit(address, timeout), READ_TIMEOUTS * silence)
    if address.kind is SourceKind.DEVICE:
        return av.open(address.url, mode="r", format="v4l2", timeout=limits)
    addresses = resolve_host(address, timeout)
    began = time.monotonic()
    try:
        options = _options(address, silence, transport)
        return av.open(address.url, mode="r", format=format, options=options, timeout=limits)
    except av.error.FFmpegError as error:
        early = time.monotonic() - began < timeout / 2 or address.url.startswith("tcp:")
        if early and (failure := diagnose(error, address, addresses, timeout)):
            raise SourceError(failure.cause, failure.reason) from error
        raise


def opening_limit(address: SourceAddress, timeout: float) -> float:
    """The maximum duration of opening as a whole, in seconds."""
    return OPENING_TIMEOUTS * timeout if address.kind in (SourceKind.HTTP, SourceKind.STREAM) else timeout


def resolve_host(address: SourceAddress, timeout: float) -> list[str]:
    """The IP addresses of the source's host. Raises SourceError for an unknown name or a guarded address.

    Only web cameras are guarded, because a cloud's metadata service speaks HTTP, and a camera without DHCP has a
    link-local address.
    """
    answers = look_up_host(address.host, timeout)
    try:
        if address.kind is SourceKind.HTTP:
            return check_addresses(answers, "Camera source")
    except InputError as error:
        raise SourceError(Cause.UNREACHABLE, error.why) from None
    return [str(socket_address[0]) for *_, socket_address in answers]


def _options(address: SourceAddress, silence: float, transport: Transport) -> dict[str, str]:
    microseconds = str(int(silence * 1e6))
    # `timeout` bounds each wait for the network; without it a stalled camera blocks indefinitely.
    common = {"timeout": microseconds, "analyzeduration": str(ANALYSE_MICROSECONDS)}
    if address.kind is SourceKind.RTSP:
        return {**common, "rtsp_transport": transport.value, "allowed_media_types": "video"}
    if address.kind is SourceKind.HTTP:  # a playlist must not lead to local files
        whitelist = "http,https,tcp,tls,crypto"
        # A redirect, or a proxy from the environment, would bypass the guard.
        outgoing = {"max_redirects": "0", "http_proxy": "", "formatprobesize": str(PROBE_BYTES)}
        return {**common, **outgoing, "rw_timeout": microseconds, "protocol_whitelist": whitelist}
    return {**common, "rw_timeout": microseconds, "protocol_whitelist": "udp,tcp"}
