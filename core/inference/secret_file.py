"""Secrets that the service generates, each in a file that only its owner can read."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path

from core.errors import InputError, XaivaError, os_reason
from core.files import TEMPORARY_PREFIX, describe_irregular_file, fsync_folder

PRIVATE = 0o600
SECRET_BYTES = 32
_REMOVE = "remove it: the service creates a new one"
MIN_SECRET_LENGTH = 32  # characters; the file holds 43


def read_or_create_secret(path: Path) -> str:
    """The secret in `path`; creates it if the file is missing. Of several processes that do so at once, one wins.

    Raises XaivaError when it can be neither read nor created, InputError when others can read it or it is incomplete.
    """
    try:
        if not path.exists():
            _create(path)
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(handle, encoding="ascii", errors="replace") as file:
            mode = os.fstat(file.fileno()).st_mode
            if kind := describe_irregular_file(mode):
                raise InputError(f"Secret {path}", f"it is {kind}, not a file", _REMOVE)
            secret = file.read().strip()
    except OSError as error:
        remedy = "give a writable data folder with --data DIR"
        raise XaivaError(f"Secret {path}", os_reason(error), remedy) from error
    if mode & 0o077:
        remedy = f"chmod 600 {path}; if somebody may have read it, remove it instead: the service creates a new one"
        raise InputError(f"Secret {path}", f"other users can read it (mode {stat.S_IMODE(mode):o})", remedy)
    if len(secret) < MIN_SECRET_LENGTH:
        raise InputError(f"Secret {path}", "it is incomplete", _REMOVE)
    return secret


def _create(path: Path) -> None:
    """Create the file complete or not at all, and never replace one: `os.link` fails if it exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)  # 0600, O_EXCL
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")
            file.flush()
            os.fchmod(file.fileno(), PRIVATE)
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            pass  # another process was faster: its secret counts
    finally:
        os.unlink(name)
    fsync_folder(path.parent)
