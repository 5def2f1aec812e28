"""Why a camera is not live: every error of libav put into one of a few causes, with a sentence for the reader."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import Enum

import av.error


class Cause(str, Enum):
    """The stable words of `CameraStatus.cause`; docs/cameras.md says what to do about each."""

    AUTH = "auth"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    UNREACHABLE = "unreachable"
    CODEC = "codec"
    TIMEOUT = "timeout"
    END = "end"
    ERROR = "error"


@dataclass(frozen=True)
class Failure:
    """Why a camera was lost: a word and a sentence."""

    cause: Cause
    reason: str


class StreamEnded(Exception):
    """The source came to its normal end, which for a camera is a failure too."""


class NoFrames(Exception):
    """No frame came for too long."""


class NoVideo(Exception):
    """The source holds no video that can be decoded."""


SENTENCES = {
    Cause.AUTH: "the camera refuses the user name or password",
    Cause.REFUSED: "nothing listens at that host and port",
    Cause.NOT_FOUND: "there is no such stream or file",
    Cause.UNREACHABLE: "the host's name is unknown or there is no way to it",
    Cause.CODEC: "what answers there sends no video that can be decoded",
    Cause.END: "the stream ended",
}

_BY_TYPE: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Cause], ...] = (
    ((av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, PermissionError), Cause.AUTH),
    (ConnectionRefusedError, Cause.REFUSED),
    ((av.error.HTTPNotFoundError, FileNotFoundError, IsADirectoryError), Cause.NOT_FOUND),
    ((TimeoutError, av.error.ExitError, NoFrames), Cause.TIMEOUT),
    ((StreamEnded, EOFError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError), Cause.END),
    ((NoVideo, av.error.LookupError, av.error.PatchWelcomeError), Cause.CODEC),
)
_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}


def classify(error: Exception, *, opening: bool, elapsed: float, timeout: float) -> Failure:
    """The cause of `error`, raised `elapsed` seconds into opening the source, or into reading it.

    libav's own text is shown only where no cause fits; it is taken without the address.
    """
    cause = _cause(error, opening=opening, late=elapsed >= 0.9 * timeout)
    if cause is Cause.TIMEOUT:
        return Failure(cause, f"no {'answer' if opening else 'frame'} within {timeout:g} s")
    if cause is Cause.ERROR:
        told = f"libav reports: {error.strerror}" if isinstance(error, av.error.FFmpegError) else "reading failed"
        return Failure(cause, told)
    return Failure(cause, SENTENCES[cause])


def _cause(error: Exception, *, opening: bool, late: bool) -> Cause:
    for types, cause in _BY_TYPE:
        if isinstance(error, types):
            return cause
    if isinstance(error, av.error.InvalidDataError):
        # A port that accepts and never answers ends so when the time-out strikes; a server that dies in mid-stream too.
        if not opening:
            return Cause.END
        return Cause.TIMEOUT if late else Cause.CODEC
    number = getattr(error, "errno", None)
    if number in _UNREACHABLE or (number == errno.EIO and opening):  # libav says EIO for an unknown host name
        return Cause.UNREACHABLE
    return Cause.ERROR
