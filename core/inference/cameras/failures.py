"""Groups errors of libav into a few causes, each with a sentence for people."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import Enum

import av.error

from core.inference.cameras.source_address import SourceAddress, SourceKind
from core.redaction import login_of


class Cause(str, Enum):
    """The values of `CameraStatus.cause`, part of the API; docs/cameras.md says what to do about each."""

    AUTH = "auth"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    CODEC = "codec"
    TIMEOUT = "timeout"
    NO_KEY_FRAME = "no_key_frame"
    TLS = "tls"
    REDIRECT = "redirect"
    END = "end"
    ERROR = "error"


@dataclass(frozen=True)
class Failure:
    """Why a connection to a source failed."""

    cause: Cause
    reason: str  # a sentence for people


class SourceError(Exception):
    """The source cannot be opened or read, for a known cause."""

    def __init__(self, cause: Cause, reason: str) -> None:
        super().__init__(reason)
        self.failure = Failure(cause, reason)


class StreamEnded(Exception):
    """The source ended normally, which for a camera is a failure, too."""


class NoFrames(Exception):
    """No frame arrived for too long."""


class NoVideo(Exception):
    """The source contains no video."""


CAUSE_SENTENCES = {
    Cause.AUTH: "the camera refuses the user name or password",
    Cause.REFUSED: "nothing listens at that host and port",
    Cause.NOT_FOUND: "there is no such stream or file",
    Cause.REJECTED: "the camera answers but rejects the request",
    Cause.UNREACHABLE: "there is no route to the host",
    Cause.CODEC: "the server at that address sends no video that can be decoded",
    Cause.END: "the stream ended",
}
LOGIN_MISSING = "the camera asks for a user name and password, but the address has none"
FORBIDDEN_SENTENCE = "the camera denies access (status 403): this user or this machine may not view the stream"
LOGIN_RETRY_NOTE = "attempts are minutes apart, because cameras lock accounts after a few wrong logins"
REFUSED_LOGIN = f"{CAUSE_SENTENCES[Cause.AUTH]}; {LOGIN_RETRY_NOTE}"
FILE_SENTENCES = {
    Cause.AUTH: "the service's user may not read the file",
    Cause.NOT_FOUND: "there is no such file",
    Cause.CODEC: "the file contains no video that can be decoded",
}
DEVICE_SENTENCES = {
    Cause.AUTH: "the service's user may not open the device",
    Cause.REFUSED: "another program is using the device",
    Cause.NOT_FOUND: "there is no such device",
    Cause.CODEC: "the device is not a camera, or offers no format that can be decoded",
    Cause.END: "the device was unplugged",
}
SENTENCES_BY_KIND = {SourceKind.DEVICE: DEVICE_SENTENCES, SourceKind.FILE: FILE_SENTENCES}

_BY_TYPE: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Cause], ...] = (
    ((av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError), Cause.AUTH),
    (ConnectionRefusedError, Cause.REFUSED),
    ((av.error.HTTPNotFoundError, FileNotFoundError, IsADirectoryError, NotADirectoryError), Cause.NOT_FOUND),
    (av.error.HTTPClientError, Cause.REJECTED),
    ((TimeoutError, av.error.ExitError, NoFrames), Cause.TIMEOUT),
    ((StreamEnded, EOFError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError), Cause.END),
    ((NoVideo, av.error.LookupError, av.error.PatchWelcomeError), Cause.CODEC),
)
_UNREACHABLE_ERRORS = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
_NO_FILE_ERRORS = {errno.ELOOP, errno.ENAMETOOLONG}
_DEVICE_ERRORS = {errno.EBUSY: Cause.REFUSED, errno.ENXIO: Cause.NOT_FOUND, errno.ENODEV: Cause.END}


def classify(error: Exception, address: SourceAddress, *, opening: bool, elapsed: float, timeout: float) -> Failure:
    """The cause of `error`, raised `elapsed` seconds after opening (or reading) began.

    libav's own text, without the address, is shown only where no cause fits.
    """
    if isinstance(error, SourceError):
        return error.failure
    cause = _find_cause(error, address, opening=opening, timed_out=elapsed >= 0.9 * timeout)
    if isinstance(error, NoFrames) and str(error):
        return Failure(cause, str(error))
    if cause is Cause.TIMEOUT:
        return Failure(cause, f"no {'answer' if opening else 'frame'} within {timeout:g} s")
    if cause is Cause.ERROR:
        reason = f"libav reports: {error.strerror}" if isinstance(error, av.error.FFmpegError) else "reading failed"
        return Failure(cause, reason)
    if isinstance(error, av.error.HTTPUnauthorizedError) and not login_of(address.url):
        return Failure(cause, LOGIN_MISSING)
    return Failure(cause, SENTENCES_BY_KIND.get(address.kind, CAUSE_SENTENCES).get(cause, CAUSE_SENTENCES[cause]))


def _find_cause(error: Exception, address: SourceAddress, *, opening: bool, timed_out: bool) -> Cause:
    for types, cause in _BY_TYPE:
        if isinstance(error, types):
            return cause
    if isinstance(error, av.error.InvalidDataError):
        # A port that accepts but never answers ends like this at the time-out; a server that dies in mid-stream, too.
        if not opening:
            return Cause.END
        return Cause.TIMEOUT if timed_out else Cause.CODEC
    if isinstance(error, PermissionError) and address.kind in SENTENCES_BY_KIND:
        return Cause.AUTH  # over the network it is a firewall, or an answer that libav does not know
    number = getattr(error, "errno", None)
    if address.kind is SourceKind.DEVICE:
        return _DEVICE_ERRORS.get(number or 0, Cause.CODEC if opening else Cause.END)
    if address.kind is SourceKind.FILE and number in _NO_FILE_ERRORS:
        return Cause.NOT_FOUND
    if number in _UNREACHABLE_ERRORS:
        return Cause.UNREACHABLE
    if number == errno.EIO and opening and timed_out:
        return Cause.TIMEOUT  # libav reports silence like this, too
    return Cause.ERROR
