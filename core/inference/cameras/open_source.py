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

ANALYSE_MICROSECONDS = 500_000  # libav's own 5 s delay every first frame; what is missing then comes with the first key
PROBE_BYTES = 65536  # that name the format of a web camera; libav's own 1 MiB take a slow one half a minute
OPENING_TIMEOUTS = (
    3.0  # times the time-out: libav reads 30 frames of a transport stream that has not shown its key frame yet
)
READ_TIMEOUTS = 2.0  # times the time-out: PyAV's own limit on one read, where a protocol of libav forgets its option


def open_source(
    address: SourceAddress, timeout: float, silence: float, transport: Transport, format: str | None = None
) -> InputContainer:
    """Open it; `timeout` seconds bound each answer, later `silence` seconds. Raises what `classify` knows.

    `format` is libav's name of what comes, where it is known already.
    """
    if address.kind is SourceKind.FILE:
        status = os.stat(address.url.removeprefix("file:"))
        if kind := describe_irregular_file(status.st_mode):
            # libav would wait for a pipe's writer, and nothing could end that.
            raise SourceError(Cause.NOT_FOUND, f"the path is {kind}, not a video file")
        if not status.st_size:
            raise SourceError(Cause.CODEC, "the file is empty")
        return av.open(address.url, mode="r", options={"protocol_whitelist": "file"})
    # PyAV's own limit bounds opening as a whole, against a camera that answers in drops.
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
    """Seconds that opening may take as a whole."""
    return OPENING_TIMEOUTS * timeout if address.kind in (SourceKind.HTTP, SourceKind.STREAM) else timeout


def resolve_host(address: SourceAddress, timeout: float) -> list[str]:
    """Those of its host. Raises Refused for an unknown name, and for a web camera at an address that is nobody's.

    Only web cameras are guarded, for a cloud's metadata speaks HTTP: a camera without DHCP has a link-local address.
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
    # `timeout` bounds each wait for the network; without it a stalled camera blocks for ever.
    common = {"timeout": microseconds, "analyzeduration": str(ANALYSE_MICROSECONDS)}
    if address.kind is SourceKind.RTSP:
        return {**common, "rtsp_transport": transport.value, "allowed_media_types": "video"}
    if address.kind is SourceKind.HTTP:  # a playlist must not lead to local files
        whitelist = "http,https,tcp,tls,crypto"
        # A redirect would lead past the guard, and so would a proxy of the environment.
        outgoing = {"max_redirects": "0", "http_proxy": "", "formatprobesize": str(PROBE_BYTES)}
        return {**common, **outgoing, "rw_timeout": microseconds, "protocol_whitelist": whitelist}
    return {**common, "rw_timeout": microseconds, "protocol_whitelist": "udp,tcp"}
