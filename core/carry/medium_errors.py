"""Explains what a system call on a medium failed with: pulled out, full, read-only."""

from __future__ import annotations

import errno
import os
import resource

from core.carry.target import GOES_ON
from core.content.placeholders import format_size
from core.errors import XaivaError, os_reason

_GONE = {
    errno.ENODEV: "its device is gone",
    errno.ENXIO: "its device is gone",
    errno.ENOMEDIUM: "its device is gone",
    errno.ESHUTDOWN: "its device is gone",
    errno.ENOTCONN: "the program that serves its file system has ended",
    errno.ECONNABORTED: "the program that serves its file system has ended",
    errno.ESTALE: "it is no longer connected",
}
_FULL = (errno.ENOSPC, errno.EDQUOT)


class MediumGone(XaivaError):
    """The medium was pulled out, or is mounted no longer."""


def explain_medium_error(error: OSError, name: str, path: str, free: int | None) -> XaivaError:
    """The error for a failed system call on `path` of the medium `name`, on which `free` bytes are free."""
    number, file = error.errno or 0, f"{path} on {name}" if path else name
    if number in _GONE:
        return MediumGone(f"Medium {name} is gone", _GONE[number], f"plug it in and mount it, then {GOES_ON}")
    if number == errno.EIO:
        why = f"reading or writing {path or 'it'} failed with an input/output error: it was pulled out, or it is broken"
        return XaivaError(f"Medium {name} fails", why, f"plug it in again, or take another one; then {GOES_ON}")
    if number in _FULL:
        room = "" if free is None else f"; {format_size(free)} are free"
        remedy = f"make room on it, or take a larger one; then {GOES_ON}"
        return XaivaError(f"Medium {name} is full", f"{path or 'what was written'} does not fit{room}", remedy)
    if number == errno.EROFS:
        return read_only_error(name)
    if number == errno.EFBIG:
        return _too_long(file)
    if number == errno.EPERM:
        why = f"{os_reason(error)}; some file systems, as that of fusefat, also answer this when they are full"
        return XaivaError(f"{file} cannot be used", why, f"see whether it is full, or not yours; then {GOES_ON}")
    if number == errno.EACCES:
        return XaivaError(f"No access to {file}", os_reason(error), "mount it for your user, or change its owner")
    if number in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP):
        why = f"something else lies there, or is in the way ({os_reason(error)})"
        return XaivaError(f"{file} cannot be used", why, f"move it away, then {GOES_ON}")
    return XaivaError(f"{file} cannot be used", os_reason(error))


def lost_medium(error: OSError, path: str) -> XaivaError | None:
    """The error when reading `path` failed because of the medium, and not because of that file; else None."""
    number = error.errno or 0
    if number in _GONE:
        return MediumGone(f"{path} cannot be read", _GONE[number], f"plug the medium in and mount it, then {GOES_ON}")
    if number == errno.EIO:
        why = "it failed with an input/output error: the medium was pulled out, or it is broken"
        return XaivaError(f"{path} cannot be read", why, f"plug it in again, or take another copy; then {GOES_ON}")
    return None


def read_only_error(name: str) -> XaivaError:
    """For a medium that may only be read; a kernel also turns one on which it has met errors into that."""
    why = "it is mounted read-only: on purpose, by a switch on it, or by the kernel after errors on it"
    return XaivaError(f"Medium {name} cannot be written", why, f"mount it writable, then {GOES_ON}")


def _too_long(file: str) -> XaivaError:
    limit, _hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY:
        why = f"this process may write files of {format_size(limit)} at most"
        return XaivaError(f"{file} is too long", why, f"run: ulimit -f unlimited; then {GOES_ON}")
    return XaivaError(f"{file} is too long", os.strerror(errno.EFBIG))
