"""Requirements that come from an address instead of an index: why a lock cannot take them, and the way that works."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from core.presets.layer_file import AddressedRequirement, common_place
from core.presets.requirement_text import VARIABLE, Addressed
from core.redaction import redact_text

_OF_THE_WEB = re.compile(r"(?:git\+)?https?", re.I)  # what a container of the base image can fetch
_NAMED_FIRST = 3  # of requirements that have one remedy


@dataclass(frozen=True)
class NotLocked:
    """Requirements that no lock can take, and the one way that works for all of them."""

    what: str
    why: str
    remedy: str


def not_locked(entries: Iterable[AddressedRequirement], preset: str, python: str) -> list[NotLocked]:
    """What to say of these requirements of a layer: those with the same reason and remedy are one."""
    alike: dict[tuple[str, str], list[AddressedRequirement]] = {}
    for entry in entries:
        alike.setdefault((why_not_locked(entry), way_to_wheel(entry, preset, python)), []).append(entry)
    return [_together(same, why, remedy) for (why, remedy), same in alike.items()]


def _together(entries: list[AddressedRequirement], why: str, remedy: str) -> NotLocked:
    """Requirements with one remedy: the first ones by name, and the lines of all."""
    if len(entries) == 1:
        return NotLocked(f"{shown(entries[0])} comes from no index", why, remedy)
    first, more = entries[:_NAMED_FIRST], len(entries) - _NAMED_FIRST
    place = common_place(entry.place for entry in first)
    named = ", ".join(redact_text(entry.addressed.requirement) for entry in first)
    if more > 0:
        place, named = f"{place} and {more} more", f"{named}, …"
        why = f"{why}; all of them: {common_place(entry.place for entry in entries)}"
    return NotLocked(f"{place}: {len(entries)} requirements come from no index: {named}", why, remedy)


def shown(entry: AddressedRequirement) -> str:
    """The requirement with its place, without a login."""
    return f"{entry.place}: {redact_text(entry.addressed.requirement)}"


def why_not_locked(entry: AddressedRequirement) -> str:
    """Why no lock can name its file."""
    wanted = entry.addressed
    if wanted.address.startswith("-"):
        return "a file that may change on the web is not read"
    if _is_variable(wanted):
        return "the text of a requirement must be the same on every machine"
    if wanted.file.endswith(".whl") and not wanted.name:
        return "the name of that file tells no version"
    if wanted.file.endswith(".whl"):
        return "a wheel is taken from an index, from an http(s) address without a login, or from local-wheels"
    if _scheme(wanted) in ("", "file"):
        return "that path is of the machine on which the file was written"
    return "an image is built from wheels, and this is source code"


def way_to_wheel(entry: AddressedRequirement, preset: str, python: str) -> str:
    """What to do so that a lock takes it."""
    wanted = entry.addressed
    folder = f"artifacts/{preset}/local-wheels"
    if wanted.address.startswith("-"):
        option, _, url = wanted.address.partition(" ")
        name = wanted.file or "requirements.txt"
        return f"fetch it beside the file that names it (curl -fL -o {name} {url}), and write {option} {name}"
    if _is_variable(wanted):
        return f"write the value in place of {VARIABLE.findall(wanted.address)[0]}"
    if wanted.file.endswith(".whl") and not wanted.name:
        proper = "NAME-VERSION-py3-none-any.whl, with what its METADATA says"
        return f"put it into {folder} as {proper}, and write NAME in its place; then lock again: xaiva lock {preset}"
    if wanted.file.endswith(".whl"):
        fitting = f"one for Python {python} on x86_64 Linux"
        return f"copy that wheel into {folder} ({fitting}); then lock again: xaiva lock {preset}"
    if wanted.name and _scheme(wanted) == "file":
        return (
            "write NAME==VERSION in its place, with the version that `pip list` shows there (`pip list "
            f"--format=freeze` prints every line so); a project of your own: build its wheel with Python {python} on "
            f"x86_64 Linux (pip wheel --no-deps --wheel-dir {folder} FOLDER)"
        )
    if is_built_in_image(wanted):
        text = wanted.name or shlex.quote(wanted.address)
        return f"build its wheel: xaiva wheel {preset} {text}; then lock again: xaiva lock {preset}"
    rest = "lock again" if wanted.name else "write the name of that wheel in place of this line, and lock again"
    return f"{_by_hand(wanted, folder, python)}; then {rest}: xaiva lock {preset}"


def is_built_in_image(wanted: Addressed) -> bool:
    """Whether `xaiva wheel` can build it: from the web and without a login."""
    return _OF_THE_WEB.fullmatch(_scheme(wanted)) is not None and not _has_login(wanted)


def likely_name(wanted: Addressed) -> str:
    """Its name; where it has none, that of its repository, which is often that of the package."""
    last = wanted.file.partition("@")[0].removesuffix(".git")
    archive = re.search(r"/([\w.-]+)/archive/", wanted.address)
    return wanted.name or canonicalize_name(archive[1] if archive else last)


def _by_hand(wanted: Addressed, folder: str, python: str) -> str:
    address = wanted.address  # without its name: pip knows some addresses alone only
    login = urlsplit(wanted.address).netloc.rpartition("@")[0]
    if _has_login(wanted) and not VARIABLE.fullmatch(login.rpartition(":")[2]):
        address = redact_text(address)
    if not _scheme(wanted) and not address.startswith(("/", "~")):
        command = f"pip wheel --no-deps --wheel-dir {folder} FOLDER (where {address} lies)"
        return f"build its wheel with Python {python}: {command}"
    return (
        f"build its wheel where it can be reached, with Python {python} on x86_64 Linux: "
        f'pip wheel --no-deps --wheel-dir {folder} "{address}"'
    )


def _is_variable(wanted: Addressed) -> bool:
    return bool(VARIABLE.search(wanted.address)) and not _has_login(wanted)


def _scheme(wanted: Addressed) -> str:
    scheme = urlsplit(wanted.address).scheme.lower()
    return scheme if len(scheme) > 1 else ""  # `C:` is a drive


def _has_login(wanted: Addressed) -> bool:
    return _OF_THE_WEB.fullmatch(_scheme(wanted)) is not None and "@" in urlsplit(wanted.address).netloc
