"""Which keys of objects can be used, and under which name an object lies on this machine.

A bucket may hold keys that no file system can: two that differ only in case or in their Unicode form, one that is a
file and a folder at once, some with a thousand characters. Local names are made of the last part of the key, for
people, and a hash of all that identifies the content, for everything else.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

from core.terminal_text import escape_invisible

MOST_KEY_BYTES = 1024  # the limit of S3
FOLDER_MARKER = ".folder"  # the object that keeps an empty folder of a bucket visible
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNPLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,8}")
_STEM_LENGTH = 40  # characters
_HASH_LENGTH = 32  # hexadecimal digits


def is_folder_marker(key: str) -> bool:
    """Whether the object only stands for a folder: ours, or a key that ends with / as other programs write it."""
    return (key.endswith("/") and not why_unusable(key[:-1])) or key.rpartition("/")[2] == FOLDER_MARKER


def why_unusable(key: str) -> str:
    """Why an object with this key cannot be used; empty: it can.

    The client normalises such keys and would fetch another object, or none.
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if size > MOST_KEY_BYTES:
        return f"its name has {size} bytes; {MOST_KEY_BYTES} are the limit"
    if _CONTROL.search(key):
        return "its name contains a control character"
    segments = key.split("/")
    if not segments[0]:
        return "its name is empty or begins with /"
    if "" in segments[1:-1] or segments[-1:] == [""]:
        return "its name contains //" if "//" in key else "its name ends with /"
    if "." in segments or ".." in segments:
        return "its name contains . or .. as a folder"
    return ""


def shown_key(key: str) -> str:
    """The key for people, in one line: what cannot be shown is escaped, and a long one is shortened."""
    text = escape_invisible(key.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
    return text if len(text) <= 200 else f"{text[:150]}…{text[-40:]}"


def content_version(etag: str, modified: datetime | None) -> str:
    """The ETag, or, where the server gives none, the whole seconds of `modified`: an answer has no finer ones."""
    return etag or (f"modified {int(modified.timestamp())}" if modified is not None else "")


def local_name(storage: str, key: str, etag: str, size: int, modified: datetime | None = None) -> str:
    """The path of a fetched object below the folder of the mirror: `3/image_01-3f….jpg`.

    Another content of the same key has another name, so that a file never changes while somebody reads it.
    """
    identity = "\0".join((storage, key, content_version(etag, modified), str(size)))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:_HASH_LENGTH]
    last = key.rpartition("/")[2]
    ending = last[last.rindex(".") :] if "." in last[1:] else ""
    ending = ending.lower() if _ENDING.fullmatch(ending) else ""
    stem = _UNPLAIN.sub("_", last[: len(last) - len(ending)])[:_STEM_LENGTH].strip("._-") or "object"
    return f"{digest[0]}/{stem}-{digest}{ending}"
