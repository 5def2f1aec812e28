"""The audit log of a site: what was packed, unpacked, built and launched, when and by whom, one JSON line for each.

Lines are only ever appended, here in `.xaiva/audit.jsonl`, and on a medium in `audit/<host>-<day>.jsonl`. A site whose
disk is full keeps working: what cannot be written is a warning in the log.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import socket
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from core.errors import InputError, XaivaError, os_reason
from core.files import describe_irregular_file, fsync_folder
from core.operations.ledger import current_user
from core.project_metadata import package_version
from core.redaction import redact_document, redact_text
from core.site import Site
from core.terminal_text import escape_invisible, strip_controls

MAX_LINE_BYTES = 8192
MEDIUM_FOLDER = "audit"
_MAX_WORD = 300  # characters of a user, a host, an action or a subject
_log = logging.getLogger(__name__)


class AuditEntry(BaseModel):
    """One line of an audit log. Keys that a newer xaiva added are ignored."""

    model_config = ConfigDict(frozen=True)

    time: str = ""
    """By this machine's clock, in UTC; `?` when the line cannot be read."""
    user: str = ""
    host: str = ""
    xaiva: str = ""
    action: str = ""
    """`build`, `launch`, `pack`, `unpack`, `key trust`, …"""
    subject: str = ""
    """What it was done to: a preset, a container, a shipment, a key."""
    details: dict[str, JsonValue] = {}
    unreadable: str = ""
    """The line itself, when it cannot be read: the power failed while it was written, or somebody changed it."""


def audit_file(site: Site) -> Path:
    """Where the site's log is."""
    return site.state / "audit.jsonl"


def record(site: Site, action: str, subject: str, details: Mapping[str, JsonValue], medium: Path | None = None) -> None:
    """Append one entry to the site's log and, if named, to that of a medium. Secrets are hidden.

    Never fails: an entry that cannot be written is a warning in the log, because the work that it is about is done.
    """
    now = datetime.now(timezone.utc)
    line = _line(now, action, subject, details)
    try:
        site.state.mkdir(exist_ok=True)
        _append(site.state.resolve(), audit_file(site).name, line)  # `.xaiva` itself may be a link to another disk
    except OSError as error:
        _warn(audit_file(site), error)
    if medium is not None:
        name = medium_file_name(socket.gethostname(), now)
        try:
            (medium / MEDIUM_FOLDER).mkdir(exist_ok=True)
            _append(medium / MEDIUM_FOLDER, name, line)
        except OSError as error:
            _warn(medium / MEDIUM_FOLDER / name, error)


def medium_file_name(host: str, now: datetime) -> str:
    """A name of lower-case ASCII, because a stick's file system may not tell `A` from `a`."""
    return f"{re.sub('[^a-z0-9-]+', '-', host.lower()).strip('-')[:60] or 'host'}-{now:%Y%m%d}.jsonl"


def read_audit(site: Site, last: int) -> list[AuditEntry]:
    """The newest `last` entries of the site's log, oldest first; none when nothing was recorded yet.

    Raises InputError when the log cannot be read. A line that cannot be understood is an entry that says so.
    """
    path = audit_file(site)
    try:
        with path.open("rb") as file:
            lines = deque(file, maxlen=last)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"Audit log {path}", os_reason(error), "correct its owner or permissions") from error
    return [_entry(line) for line in lines if line.strip()]


def _entry(line: bytes) -> AuditEntry:
    try:
        return AuditEntry.model_validate_json(line)
    except ValidationError:
        return AuditEntry(time="?", unreadable=line.decode(errors="replace").strip()[:_MAX_WORD])


def _line(now: datetime, action: str, subject: str, details: Mapping[str, JsonValue]) -> bytes:
    """The entry as one line of at most MAX_LINE_BYTES. Details that are too long are cut, and that is noted."""
    try:
        version = package_version()
    except XaivaError:
        version = "unknown"
    entry: dict[str, JsonValue] = {
        "time": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "user": _word(current_user()),
        "host": _word(socket.gethostname()),
        "xaiva": version,
        "action": _word(action),
        "subject": _word(subject),
    }
    text = json.dumps(entry | {"details": redact_document(dict(details))})
    if len(text) >= MAX_LINE_BYTES:
        whole = json.dumps(redact_document(dict(details)))
        room = (MAX_LINE_BYTES - len(json.dumps(entry))) // 2 - 100  # JSON inside JSON: a quote may take two bytes
        text = json.dumps(entry | {"details": {"cut": whole[:room]}})
    return text.encode() + b"\n"


def _word(text: str) -> str:
    return redact_text(escape_invisible(strip_controls(text)))[:_MAX_WORD]


def _append(folder: Path, name: str, line: bytes) -> None:
    """Append the line durably. A link instead of folder or file is refused: on a stick it could lead anywhere."""
    with contextlib.ExitStack() as stack:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        stack.callback(os.close, place)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(name, flags, 0o644, dir_fd=place)
        stack.callback(os.close, handle)
        if kind := describe_irregular_file(os.fstat(handle).st_mode):
            raise OSError(0, f"it is {kind}, not a file")
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"  # the power failed while the last line was written
        os.write(handle, b"\n" * torn + line)
        os.fsync(handle)
    fsync_folder(folder)


def _warn(path: Path, error: OSError) -> None:
    _log.warning("Audit log %s: an entry could not be written: %s", path, os_reason(error))
