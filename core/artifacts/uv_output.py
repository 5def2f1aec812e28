"""Parses the output of uv: wheels of its lock file, index and parents of packages, package names in its errors."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.tags import Tag
from packaging.utils import canonicalize_name

from core.artifacts.index_settings import strip_credentials
from core.artifacts.wheel_choice import best_wheel
from core.toml import tomllib


@dataclass(frozen=True)
class Wheel:
    """A resolved wheel. `size` and `sha256` are empty when the index lacks them, `index` is empty for a local file."""

    name: str
    version: str
    url: str
    filename: str
    size: int = 0
    sha256: str = ""
    index: str = ""


@dataclass
class Origin:
    """Why a package is in the resolution, and where it comes from."""

    parents: list[str] = field(default_factory=list)
    """The packages that need it, and requirement files as `-r common.txt`."""
    index: str = ""


def packages_by_name(pylock: str) -> dict[str, Mapping[str, Any]]:
    """Package → its table in a `pylock.toml`."""
    return {canonicalize_name(package["name"]): package for package in tomllib.loads(pylock).get("packages", [])}


def choose_wheel(package: Mapping[str, Any], ranks: dict[Tag, int], hashes: Collection[str] = ()) -> Wheel | None:
    """The wheel of a package that fits best, preferably with a SHA-256 in `hashes`; None when no wheel fits."""
    entries = list(package.get("wheels", []))
    archive = package.get("archive")
    if archive:
        entries.append(archive)
    entries = [entry for entry in entries if entry.get("hashes", {}).get("sha256") in hashes] or entries
    names = [_filename(entry) for entry in entries]
    at = best_wheel(names, ranks)
    if at is None:
        return None
    entry = entries[at]
    url = entry.get("url") or "file:" + entry.get("path", "")
    version = package.get("version") or names[at].split("-")[1]
    return Wheel(
        name=canonicalize_name(package["name"]),
        version=version,
        url=strip_credentials(url.partition("#")[0]),
        filename=names[at],
        size=int(entry.get("size", 0)),
        sha256=entry.get("hashes", {}).get("sha256", ""),
    )


def parse_origins(annotated: str) -> dict[str, Origin]:
    """Package → its origin, from a requirement file with uv's annotations."""
    origins: dict[str, Origin] = {}
    current = Origin()
    for line in annotated.splitlines():
        text = line.strip().removeprefix("#").strip()
        if match := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line):
            current = origins.setdefault(canonicalize_name(match[0]), Origin())
        elif text.startswith("from "):
            current.index = strip_credentials(text.removeprefix("from "))
        elif text not in ("", "via"):
            current.parents.append(text.removeprefix("via "))
    return origins


def required_packages(origins: Mapping[str, Origin]) -> set[str]:
    """The packages that requirement files ask for, with all their dependencies."""
    children: dict[str, set[str]] = {}
    for name, origin in origins.items():
        for parent in origin.parents:
            children.setdefault("-r" if parent.startswith("-r ") else canonicalize_name(parent), set()).add(name)
    reached: set[str] = set()
    waiting = set(children.get("-r", ()))
    while waiting:
        reached |= waiting
        waiting = {child for name in waiting for child in children.get(name, ())} - reached
    return reached


def possible_names(text: str) -> set[str]:
    """All words of a text that may be package names."""
    return {canonicalize_name(word.rstrip(".-_")) for word in re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", text)}


def missing_packages(refusal: str) -> list[str]:
    """The packages that uv did not find, from its error."""
    missing: Iterable[str] = re.findall(r"there (?:is|are) no versions? of ([A-Za-z0-9._-]+)", refusal)
    absent = re.findall(r"([A-Za-z0-9._-]+) was not found in the (?:package registry|provided)", refusal)
    return [canonicalize_name(name) for name in [*missing, *absent]]


def unfetchable_wheel(refusal: str) -> tuple[str, str] | None:
    """(package, URL) of the wheel that uv could not fetch, from its error; None without one."""
    match = re.search(r"(https?://[^\s`)]+/([A-Za-z0-9._]+)-[^\s`/)]*\.whl)", refusal)
    failed_fetch = match if re.search(r"Failed to (fetch|download|unzip)", refusal) else None
    return (canonicalize_name(failed_fetch[2]), strip_credentials(failed_fetch[1])) if failed_fetch else None


def invalid_wheels(refusal: str) -> list[str]:
    """The packages whose fetched file is not a wheel, from uv's error."""
    names = re.findall(r"([A-Za-z0-9._-]+)==\S+ has an invalid package format", refusal)
    names += re.findall(r"Failed to unzip wheel: ([A-Za-z0-9._]+)-", refusal)
    return [canonicalize_name(name) for name in names]


def refused_index(refusal: str) -> tuple[str, str] | None:
    """(URL without credentials, status) of the index that refused the login, from uv's error; None without one."""
    match = re.search(r"An index (?:URL )?\((\S+?)\) (?:could not be queried|returned)[^\n]*?(40[13] \w+)", refusal)
    return (strip_credentials(match[1]), match[2]) if match else None


def _filename(entry: Mapping[str, Any]) -> str:
    name = entry.get("name") or urlsplit(entry.get("url", "")).path or entry.get("path", "")
    return unquote(str(name).rpartition("/")[2])
