"""The licence that a wheel's metadata states, read from its zip without unpacking it."""

from __future__ import annotations

import re
import zipfile
from email.message import Message
from email.parser import HeaderParser
from typing import BinaryIO

from core.carry.licence import DAMAGE, Licence, inside, not_stated, stated, stated_names, unreadable

_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_MAX_METADATA_BYTES = 1 << 20  # of its fields; the description after them may be longer
_WHERE = "METADATA"


def read_wheel(wheel: BinaryIO) -> Licence:
    """What the wheel states. A wheel that is damaged or not a wheel is stated as such, and never raises."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if _METADATA.fullmatch(name)]
            if len(names) != 1:
                return unreadable(f"it has {len(names)} METADATA files", _WHERE)
            with archive.open(names[0]) as file:
                data = file.read(_MAX_METADATA_BYTES + 1)
    except DAMAGE as error:
        return unreadable(error, _WHERE)
    text = data.replace(b"\r\n", b"\n")
    fields, end, _ = text.partition(b"\n\n")
    if not end and len(data) > _MAX_METADATA_BYTES:
        return unreadable(f"the fields of its METADATA are longer than {_MAX_METADATA_BYTES >> 20} MiB", _WHERE)
    return _of_fields(HeaderParser().parsestr(fields.decode("utf-8", "replace")), names[0].partition("/")[0])


def _of_fields(fields: Message, folder: str) -> Licence:
    for field in ("License-Expression", "License"):
        value = str(fields.get(field, "")).strip()
        if value and value.upper() != "UNKNOWN":  # what old build tools write where there is none
            return stated(value, f"{_WHERE}, {field}")
    classifiers = [str(value) for value in fields.get_all("Classifier", []) if str(value).startswith("License ::")]
    if classifiers:
        return stated_names([value.rpartition("::")[2] for value in classifiers], f"{_WHERE}, Classifier")
    if file := str(fields.get("License-File", "")).strip():
        return inside(f"{file} in {folder}", f"{_WHERE}, License-File")
    return not_stated(_WHERE)
