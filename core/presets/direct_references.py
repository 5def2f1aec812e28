"""Requirements that name an address or a path (direct references): why a lock cannot use them, and what to do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from core.presets.layer_file import LayerReference, format_places
from core.presets.requirement_text import ENV_REFERENCE, DirectReference
from core.redaction import redact_text

_HTTP_SCHEME = re.compile(r"(?:git\+)?https?", re.I)  # a container of the base image can fetch these
_MAX_NAMED = 3  # requirements named in one message


@dataclass(frozen=True)
class UnlockableRequirements:
    """Requirements that a lock cannot use, and the remedy that works for all of them."""

    what: str
    why: str
    remedy: str


def explain_unlockable(entries: Iterable[LayerReference], preset: str, python: str) -> list[UnlockableRequirements]:
    """One explanation for each reason and remedy among the direct references of a layer."""
    groups: dict[tuple[str, str], list[LayerReference]] = {}
    for entry in entries:
        groups.setdefault((why_not_locked(entry), remedy_for(entry, preset, python)), []).append(entry)
    return [_explain_group(group, why, remedy) for (why, remedy), group in groups.items()]


def _explain_group(entries: list[LayerReference], why: str, remedy: str) -> UnlockableRequirements:
    """Name the first requirements of the group, and the lines of all."""
    if len(entries) == 1:
        return UnlockableRequirements(f"{describe_reference(entries[0])} does not come from an index", why, remedy)
    first, more = entries[:_MAX_NAMED], len(entries) - _MAX_NAMED
    place = format_places(entry.place for entry in first)
    names = ", ".join(redact_text(entry.reference.requirement) for entry in first)
    if more > 0:
        place, names = f"{place} and {more} more", f"{names}, …"
        why = f"{why}; all of them: {format_places(entry.place for entry in entries)}"
    return UnlockableRequirements(
        f"{place}: {len(entries)} requirements do not come from an index: {names}", why, remedy
    )


def describe_reference(entry: LayerReference) -> str:
    """The requirement with its place; a login in its address is hidden."""
    return f"{entry.place}: {redact_text(entry.reference.requirement)}"


def why_not_locked(entry: LayerReference) -> str:
    """Why a lock cannot name a file for it."""
    reference = entry.reference
    if reference.address.startswith("-"):
        return "requirement files on the web are not read, because they may change"
    if _is_variable(reference):
        return "a requirement must be the same on every machine"
    if reference.file.endswith(".whl") and not reference.name:
        return "its file name does not contain the version"
    if reference.file.endswith(".whl"):
        return "a wheel can only come from an index, from an http(s) address without a login, or from local-wheels"
    if _scheme(reference) in ("", "file"):
        return "that path belongs to the machine on which the file was written"
    return "an image is built from wheels, and this is source code"


def remedy_for(entry: LayerReference, preset: str, python: str) -> str:
    """What to do so that a lock can use it."""
    reference = entry.reference
    folder = f"artifacts/{preset}/local-wheels"
    if reference.address.startswith("-"):
        option, _, url = reference.address.partition(" ")
        name = reference.file or "requirements.txt"
        return f"download it next to the file that names it (curl -fL -o {name} {url}), and write {option} {name}"
    if _is_variable(reference):
        return f"write the value in place of {ENV_REFERENCE.findall(reference.address)[0]}"
    if reference.file.endswith(".whl") and not reference.name:
        proper = "NAME-VERSION-py3-none-any.whl (name and version as in its METADATA)"
        return f"put it into {folder} as {proper}, and write NAME in its place; then lock again: xaiva lock {preset}"
    if reference.file.endswith(".whl"):
        fitting = f"one for Python {python} on x86_64 Linux"
        return f"copy that wheel into {folder} ({fitting}); then lock again: xaiva lock {preset}"
    if reference.name and _scheme(reference) == "file":
        return (
            "write NAME==VERSION in its place, with the version that `pip list` shows there (`pip list "
            f"--format=freeze` prints all lines in this form); for a project of your own, build its wheel with Python "
            f"{python} on x86_64 Linux (pip wheel --no-deps --wheel-dir {folder} FOLDER)"
        )
    if is_built_in_image(reference):
        text = reference.name or shlex.quote(reference.address)
        return f"build its wheel: xaiva wheel {preset} {text}; then lock again: xaiva lock {preset}"
    last_step = "lock again" if reference.name else "write the name of that wheel in place of this line, and lock again"
    return f"{_manual_build(reference, folder, python)}; then {last_step}: xaiva lock {preset}"


def is_built_in_image(reference: DirectReference) -> bool:
    """Whether `xaiva wheel` can build it: its address is on the web and needs no login."""
    return _HTTP_SCHEME.fullmatch(_scheme(reference)) is not None and not _has_login(reference)


def guess_name(reference: DirectReference) -> str:
    """The package's name; without one, the name of the repository, which is often the same."""
    last = reference.file.partition("@")[0].removesuffix(".git")
    archive = re.search(r"/([\w.-]+)/archive/", reference.address)
    return reference.name or canonicalize_name(archive[1] if archive else last)


def _manual_build(reference: DirectReference, folder: str, python: str) -> str:
    address = reference.address  # without its name: pip knows some addresses alone only
    login = urlsplit(reference.address).netloc.rpartition("@")[0]
    if _has_login(reference) and not ENV_REFERENCE.fullmatch(login.rpartition(":")[2]):
        address = redact_text(address)
    if not _scheme(reference) and not address.startswith(("/", "~")):
        command = f"pip wheel --no-deps --wheel-dir {folder} FOLDER (where {address} is)"
        return f"build its wheel with Python {python}: {command}"
    return (
        f"build its wheel on a machine that can reach it, with Python {python} on x86_64 Linux: "
        f'pip wheel --no-deps --wheel-dir {folder} "{address}"'
    )


def _is_variable(reference: DirectReference) -> bool:
    return bool(ENV_REFERENCE.search(reference.address)) and not _has_login(reference)


def _scheme(reference: DirectReference) -> str:
    scheme = urlsplit(reference.address).scheme.lower()
    return scheme if len(scheme) > 1 else ""  # `C:` is a drive


def _has_login(reference: DirectReference) -> bool:
    return _HTTP_SCHEME.fullmatch(_scheme(reference)) is not None and "@" in urlsplit(reference.address).netloc
