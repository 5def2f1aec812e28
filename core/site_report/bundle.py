"""The support bundle: the facts of a site report, and the logs that an engineer chose, redacted, in one archive."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.errors import InputError, XaivaError, os_reason
from core.files import replace_atomically, write_remedy
from core.redaction import redact_text
from core.site import Site
from core.site_report.files import report_text
from core.site_report.logs import AvailableLogs, SupportLog
from core.site_report.model import SiteReport
from core.site_report.redacted_lines import redact_lines
from core.site_report.site_secrets import site_secrets

SUFFIX = ".tar.gz"
REPORT_NAME, MANIFEST_NAME = "report.json", "manifest.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class BundledFile(_Part):
    """A file of a bundle."""

    name: str
    bytes: int
    sha256: str
    about: str = ""
    left_out: str = ""
    """What of a log is not in it; empty: nothing."""


class NotRead(_Part):
    """A log or a source of logs that could not be read."""

    name: str
    why: str


class BundleManifest(_Part):
    """`manifest.json`: what the bundle has, and what it lacks."""

    format: Literal[1] = 1
    created: str
    xaiva: str
    files: list[BundledFile]
    not_read: list[NotRead] = []


@dataclass(frozen=True)
class _Entry:
    name: str
    data: bytes
    about: str
    left_out: str = ""


def choose_logs(available: AvailableLogs, names: Sequence[str]) -> list[SupportLog]:
    """The logs with these names, each once. Raises InputError for a name that there is not."""
    logs = available.by_name()
    for name in names:
        if name not in logs:
            reasons = [f"{source} could not be read ({reason})" for source, reason in available.unreadable.items()]
            why = "; ".join(["there is no such log", *reasons])
            raise InputError(f"Log {name}", why, "leave --log out to see the names")
    return [logs[name] for name in dict.fromkeys(names)]


def check_bundle_path(path: Path) -> None:
    """Raise InputError for a path that cannot become a bundle: nothing but a bundle is ever replaced by one."""
    if not path.name.endswith(SUFFIX) or path.name == SUFFIX:
        raise InputError(f"{path}", f"its name does not end in {SUFFIX}", f"name it {path.name or 'bundle'}{SUFFIX}")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}", "there is no such folder", "create it, or name another one")


def write_bundle(
    site: Site, path: Path, report: SiteReport, logs: Sequence[SupportLog], available: AvailableLogs
) -> BundleManifest:
    """Write the bundle whole or not at all, and return its manifest. A log that cannot be read is noted in it.

    Raises InputError as `check_bundle_path`, XaivaError when it cannot be written.
    """
    check_bundle_path(path)
    entries = [_Entry(REPORT_NAME, report_text(report), "the facts of the site report")]
    secrets = site_secrets(site)
    not_read = [NotRead(name=name, why=redact_text(why, secrets)) for name, why in available.unreadable.items()]
    for log in logs:
        try:
            entries.append(_log_entry(log, secrets))
        except XaivaError as error:
            not_read.append(NotRead(name=log.name, why=redact_text(error.summary, secrets)))
    manifest = BundleManifest(
        created=report.created.isoformat(),
        xaiva=report.xaiva,
        files=[_described(entry, secrets) for entry in entries],
        not_read=not_read,
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n"
    _write(path, [*entries, _Entry(MANIFEST_NAME, text.encode(), "")], report.created.timestamp())
    return manifest


def _log_entry(log: SupportLog, secrets: re.Pattern[str] | None) -> _Entry:
    part = log.read()
    text = "".join(f"{line}\n" for line in redact_lines(part.lines, secrets))
    return _Entry(f"logs/{log.name}.txt", text.encode(errors="replace"), log.about, part.cut)


def _described(entry: _Entry, secrets: re.Pattern[str] | None) -> BundledFile:
    return BundledFile(
        name=entry.name,
        bytes=len(entry.data),
        sha256=hashlib.sha256(entry.data).hexdigest(),
        about=redact_text(entry.about, secrets),
        left_out=entry.left_out,
    )


def _write(path: Path, entries: Sequence[_Entry], moment: float) -> None:
    """The archive, without names, owners and times of this machine besides the time of the report."""
    try:
        with (
            replace_atomically(path, mode=None) as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=moment) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for member, data in _members(path, entries, moment):
                archive.addfile(member, data)
    except OSError as error:
        raise XaivaError(f"{path}", f"it cannot be written: {os_reason(error)}", write_remedy(error)) from error


def _members(path: Path, entries: Sequence[_Entry], moment: float) -> Iterator[tuple[tarfile.TarInfo, io.BytesIO]]:
    folder = path.name.removesuffix(SUFFIX)
    for entry in entries:
        member = tarfile.TarInfo(f"{folder}/{entry.name}")
        member.size, member.mtime = len(entry.data), int(moment)
        yield member, io.BytesIO(entry.data)
