"""Writes site reports onto a medium, and reads them at the office, where nobody knows who wrote them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from core.errors import InputError, XaivaError, os_reason
from core.files import read_regular, replace_atomically, write_remedy
from core.site_report.model import FORMAT, SiteReport
from core.strict_json import unique_keys
from core.validation_errors import first_problem

FOLDER = "reports"
NAMESPACE = "report@xaiva"  # of the signatures: a signed report is never taken for a signed shipment
SIGNATURE_SUFFIX = ".sig"
MAX_REPORT_BYTES = 64 << 20
_MAX_HOST_CHARACTERS = 40
_REMEDY = "write it again at the site: xaiva site report MEDIUM"

Signer = Callable[[bytes, str], bytes]
"""Signs a text in a namespace of SSH signatures. Raises XaivaError."""


def report_text(report: SiteReport) -> bytes:
    """The text of a report: what is not known or empty is left out."""
    data = {"format": report.format, **report.model_dump(mode="json", exclude_defaults=True)}
    return (json.dumps(data, indent=1, ensure_ascii=True) + "\n").encode()


def write_report(report: SiteReport, folder: Path, sign: Signer | None) -> Path:
    """Write a report into `reports/` of a medium or folder, with its signature beside it; returns its path.

    Raises InputError for a folder that does not exist, XaivaError when it cannot be written or signed.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}", "there is no such folder", "mount the medium, and name the folder where it is")
    text = report_text(report)
    signature = sign(text, NAMESPACE) if sign else b""
    path = folder / FOLDER / _file_name(report)
    try:
        path.parent.mkdir(exist_ok=True)
        if signature:  # first: a report under its final name then always has its signature
            _write(signature_path(path), signature)
        _write(path, text)
    except OSError as error:
        raise XaivaError(f"{path}", f"it cannot be written: {os_reason(error)}", write_remedy(error)) from error
    return path


def signature_path(report: Path) -> Path:
    """Where the signature of a report lies."""
    return report.with_name(report.name + SIGNATURE_SUFFIX)


def read_report(path: Path) -> SiteReport:
    """Read a report. Raises InputError that names the file and the field; a huge or strange file harms nothing."""
    text = read_bounded(path, MAX_REPORT_BYTES)
    try:
        data = json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}", f"it is not valid JSON: {error}", _REMEDY) from error
    number = data.get("format") if isinstance(data, dict) else None
    if number != FORMAT:
        why = "it is no site report" if number is None else f"it has format {number!r}, and this xaiva reads {FORMAT}"
        raise InputError(f"{path}", why, "name a file of the folder reports, or use a newer xaiva")
    try:
        return SiteReport.model_validate(data)
    except ValidationError as error:
        field, why = first_problem(error)
        raise InputError(f"{path}: {field or 'content'}", why, _REMEDY) from error


def read_bounded(path: Path, limit: int) -> bytes:
    """A file of at most `limit` bytes. Raises InputError."""
    try:
        if path.stat().st_size > limit:
            raise InputError(f"{path}", f"it is larger than {limit >> 20} MiB", "see whether it is a site report")
        return read_regular(path)
    except OSError as error:
        raise InputError(f"{path}", os_reason(error), "check the file, its permissions and its medium") from error


def _write(path: Path, data: bytes) -> None:
    with replace_atomically(path, mode=None) as file:
        file.write(data)


def _file_name(report: SiteReport) -> str:
    """Lower-case ASCII, so that every file system of a medium takes it."""
    host = re.sub("[^a-z0-9]+", "-", report.host_name.lower()).strip("-")[:_MAX_HOST_CHARACTERS].strip("-")
    return f"{host or 'host'}-{report.created:%Y%m%d-%H%M%S}.json"
