"""Opens a source of each kind through libav, with every wait bounded."""

from __future__ import annotations

import errno
import os
import time

import av
from av.container import InputContainer

from core.errors import InputError
from core.files import not_a_file
from core.inference.address_guard import check_resolved
from core.inference.cameras.address import Address, SourceKind
from core.inference.cameras.failures import Cause, Refused
from core.inference.cameras.redirects import redirect_status
from core.inference.schemas import Transport

ANALYSE_MICROSECONDS = 500_000  # libav's own 5 s delay every first frame; what is missing then comes with the first key
LAST_RESORT = 2.0  # times the time-out: PyAV's own limit on one read, where a protocol of libav forgets its option


def open_source(address: Address, timeout: float, transport: Transport) -> InputContainer:
    """Open it, waiting `timeout` seconds at most for each answer. Raises what `failures.classify` knows."""
    if address.kind is SourceKind.FILE:
        if kind := not_a_file(os.stat(address.url.removeprefix("file:")).st_mode):
            # libav would wait for a pipe's writer, and nothing could end that.
            raise Refused(Cause.NOT_FOUND, f"the path is {kind}, not a video file")
        return av.open(address.url, mode="r", options={"protocol_whitelist": "file"})
    # PyAV's own limit bounds opening as a whole, against a camera that answers in drops.
    limits = (timeout, LAST_RESORT * timeout)
    if address.kind is SourceKind.DEVICE:
        return av.open(address.url, mode="r", format="v4l2", timeout=limits)
    if address.kind is SourceKind.HTTP:
        return _open_http(address, _options(address, timeout, transport), limits)
    return av.open(address.url, mode="r", options=_options(address, timeout, transport), timeout=limits)


def _open_http(address: Address, options: dict[str, str], limits: tuple[float, float]) -> InputContainer:
    """Guarded, for a cloud's metadata speaks HTTP. Others are not: a camera without DHCP has a link-local address."""
    try:
        check_resolved(address.host, "Camera source")
    except InputError as error:
        raise Refused(Cause.UNREACHABLE, error.why) from None
    except OSError:
        pass  # libav says so
    began = time.monotonic()
    try:
        return av.open(address.url, mode="r", options=options, timeout=limits)
    except OSError as error:
        silent = time.monotonic() - began > limits[0] / 2  # libav says EIO for that, too
        if error.errno == errno.EIO and not silent and (status := redirect_status(address.url, limits[0])):
            why = f"it answers with status {status}: redirects are not followed"
            raise Refused(Cause.REDIRECT, why) from None
        raise


def _options(address: Address, timeout: float, transport: Transport) -> dict[str, str]:
    microseconds = str(int(timeout * 1e6))
    # `timeout` bounds each wait for the network; without it a stalled camera blocks for ever.
    common = {"timeout": microseconds, "analyzeduration": str(ANALYSE_MICROSECONDS)}
    if address.kind is SourceKind.RTSP:
        return {**common, "rtsp_transport": transport.value, "allowed_media_types": "video"}
    if address.kind is SourceKind.HTTP:  # a playlist must not lead to local files
        whitelist = "http,https,tcp,tls,crypto"
        # A redirect would lead past the guard, and so would a proxy of the environment.
        outgoing = {"max_redirects": "0", "http_proxy": ""}
        return {**common, **outgoing, "rw_timeout": microseconds, "protocol_whitelist": whitelist}
    return {**common, "rw_timeout": microseconds, "protocol_whitelist": "udp,tcp"}
