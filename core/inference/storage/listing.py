"""Reads the pages in which an S3 server lists a bucket."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import unquote_plus

from core.inference.storage.model import NameFinding, ObjectInfo, ObjectList
from core.inference.storage.names import is_folder_marker, shown_key, why_unusable

_FRACTION = re.compile(r"\.\d+")  # of a second: servers write any number of digits, and Python 3.10 reads 3 or 6


@dataclass(frozen=True)
class ForeignAnswer(ValueError):
    """The answer is no listing, as a page of a proxy is none."""

    why: str


def read_page(body: bytes, root: str) -> ObjectList:
    """One page; keys become relative to `root`, the prefix of the storage. Raises ForeignAnswer."""
    try:
        tree = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise ForeignAnswer("its answer is no XML") from None
    if _local(tree.tag) != "ListBucketResult":
        raise ForeignAnswer(f"its answer is {_local(tree.tag)[:40]} in place of a listing")
    is_encoded = _text(tree, "EncodingType") == "url"
    entries: list[ObjectInfo | NameFinding] = []
    folders: list[str] = []
    for element in tree:
        if _local(element.tag) == "Contents":
            entries += _read_object(element, root, is_encoded)
        elif _local(element.tag) == "CommonPrefixes":
            folders += _relative(_text(element, "Prefix"), root, is_encoded)
    more = _text(tree, "IsTruncated") == "true"
    cursor = _text(tree, "NextContinuationToken") if more else ""
    if more and not cursor:
        raise ForeignAnswer("its listing is cut short and says not where to go on")
    return ObjectList(entries, folders, cursor)


def _read_object(element: ElementTree.Element, root: str, is_encoded: bool) -> Iterator[ObjectInfo | NameFinding]:
    for key in _relative(_text(element, "Key"), root, is_encoded):
        size = _text(element, "Size")
        if not key or is_folder_marker(key):
            continue
        if why := why_unusable(key):
            yield NameFinding(shown_key(key), why)
        elif not size.isdecimal():
            raise ForeignAnswer("its listing has an object without a size")
        else:
            yield ObjectInfo(key, int(size), _text(element, "ETag").strip('"'), _time(_text(element, "LastModified")))


def _relative(text: str, root: str, is_encoded: bool) -> Iterator[str]:
    """The key below `root`; nothing for a key that was not asked for."""
    key = unquote_plus(text, errors="surrogateescape") if is_encoded else text
    if key.startswith(root):
        yield key[len(root) :]


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    return next((child.text or "" for child in element if _local(child.tag) == name), "")


def _time(text: str) -> datetime | None:
    """To the second; UTC, if the server names no time zone."""
    try:
        moment = datetime.fromisoformat(_FRACTION.sub("", text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
