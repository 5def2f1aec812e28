"""What a shipment is made of, for people who have no xaiva: a bill of materials (CycloneDX) and a list of licences.

Equal components are listed once, whatever presets need them. There is no time and no host name in the texts, so that
the same contents give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from core.artifacts.lock_store import artifacts_folder, read_lock
from core.artifacts.lockfile import Lock
from core.carry.console_files import ConsoleFile
from core.carry.console_parts import ConsolePart, console_part
from core.carry.licence import Licence, State
from core.carry.licence_cache import read_cache, write_cache
from core.carry.licence_list import LicenceRow, licence_list
from core.carry.lock_licences import lock_licences
from core.files import sha256_bytes
from core.images.sbom import Component, lock_components, sbom_text
from core.site import Site

SBOM, LICENCES = "sbom.json", "licences.txt"
CONSOLE_SECTION = "The console (xaiva) and its Python packages"
_PRESET, _CONSOLE = "xaiva:preset", "xaiva:console"  # properties of a component: what it is carried for
_OPAQUE = ("container", "platform", "file")  # types of components whose own parts are not listed


def documents(site: Site, presets: Sequence[str], console: Sequence[ConsoleFile]) -> dict[str, bytes]:
    """The documents of a shipment with these presets and this console: name → text.

    Raises XaivaError for a preset whose lock cannot be read. A component that cannot be read is listed as such.
    """
    locks = {name: read_lock(site, name) for name in sorted(set(presets))}
    parts = [console_part(file) for file in console]
    return {SBOM: shipment_sbom(locks, parts), LICENCES: licence_list(_rows(site, locks, parts))}


def shipment_sbom(locks: Mapping[str, Lock], console: Sequence[ConsolePart]) -> bytes:
    """One bill of materials of the locks of presets and of the files of a console."""
    properties: dict[str, set[tuple[str, str]]] = {}
    components: dict[str, Component] = {}
    for component, purpose in _components(locks, console):
        text = json.dumps(component, sort_keys=True)
        components[text] = component
        properties.setdefault(text, set()).add(purpose)
    texts = sorted(components, key=lambda text: (components[text]["name"].lower(), text))
    contents = [
        {
            **components[text],
            "bom-ref": _reference(text),
            "properties": [{"name": name, "value": value} for name, value in sorted(properties[text])],
        }
        for text in texts
    ]
    opaque = [part["bom-ref"] for part in contents if part["type"] in _OPAQUE]
    identity = sha256_bytes(json.dumps(contents).encode())
    subject = {"type": "application", "name": "xaiva shipment", "version": identity[:12]}
    compositions = [{"aggregate": "unknown", "assemblies": opaque}] if opaque else []
    return sbom_text(identity, subject, contents, compositions=compositions).encode()


def _components(
    locks: Mapping[str, Lock], console: Sequence[ConsolePart]
) -> Iterator[tuple[Component, tuple[str, str]]]:
    """Components without `bom-ref`, each with what it is carried for."""
    for preset, lock in locks.items():
        for component in lock_components(lock):
            yield {key: value for key, value in component.items() if key != "bom-ref"}, (_PRESET, preset)
    for part in console:
        yield part.component(), (_CONSOLE, "true")


def _reference(text: str) -> str:
    """Names a component in the document by its content."""
    return f"component-{sha256_bytes(text.encode())[:32]}"


def _rows(site: Site, locks: Mapping[str, Lock], console: Sequence[ConsolePart]) -> list[LicenceRow]:
    cached = read_cache(site)
    packages = dict(cached)
    rows = [LicenceRow(CONSOLE_SECTION, part.name, part.version, part.sha256, part.licence) for part in console]
    for name, lock in locks.items():
        rows += lock_licences(lock, artifacts_folder(site, name), packages)
    readable = {
        sha256: result
        for sha256, result in packages.items()
        if not (isinstance(result, Licence) and result.state is State.UNREADABLE)
    }
    if readable != cached:
        write_cache(site, readable)
    return rows
