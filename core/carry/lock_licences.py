"""What the files of a lock state about their licences, read from the artifacts folder."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage
from core.carry.deb_licence import DOCUMENTS, SharedDocuments, read_deb
from core.carry.licence import DAMAGE, Licence, inside, not_stated, open_regular, stated, unreadable
from core.carry.licence_list import LicenceRow
from core.carry.wheel_licence import read_wheel
from core.terminal_text import escape_invisible

BASE_IMAGES, WHEELS, DEBS = "Base images", "Python packages", "Debian packages"
_SECTIONS = {FileKind.SOURCE: "Sources", FileKind.MODEL: "Models"}
_LABEL = "org.opencontainers.image.licenses"
_MAX_CONFIG_BYTES = 4 << 20
_THREADS = min(4, os.cpu_count() or 1)  # each unpacks one package, which takes up to 64 MB

Packages = dict[str, Licence | SharedDocuments]  # SHA-256 of a Debian package → what it states


def lock_licences(lock: Lock, folder: Path, packages: Packages) -> list[LicenceRow]:
    """A row for each component of the lock; adds to `packages` what was read."""
    images = [image for image in (lock.base_image, lock.runtime_base_image) if image is not None]
    rows = [_image_row(image, folder) for image in images]
    rows += [_row(WHEELS, file, _of_wheel(file.under(folder))) for file in lock.of_kind(FileKind.WHEEL)]
    debs = lock.of_kind(FileKind.DEB)
    _read_packages(debs, folder, packages)
    by_name = {file.name: packages[file.sha256] for file in debs}
    rows += [_row(DEBS, file, _resolve(file.name, by_name)) for file in debs]
    for kind, section in _SECTIONS.items():
        rows += [_row(section, file, not_stated(_origin(file.url))) for file in lock.of_kind(kind)]
    return rows


def _row(section: str, file: LockedFile, licence: Licence) -> LicenceRow:
    name = file.name or file.path.rpartition("/")[2]
    return LicenceRow(section, name, file.version, file.sha256, licence)


def _image_row(image: LockedImage, folder: Path) -> LicenceRow:
    digest = image.config_digest  # its beginning stands for the version, because a tag may move
    return LicenceRow(BASE_IMAGES, image.reference, digest[: len("sha256:") + 12], digest, _of_image(image, folder))


def _of_wheel(path: Path) -> Licence:
    try:
        with open_regular(path) as wheel:
            return read_wheel(wheel)
    except OSError as error:
        return unreadable(error, "METADATA")


def _read_packages(debs: list[LockedFile], folder: Path, packages: Packages) -> None:
    new = {deb.sha256: deb for deb in debs if deb.sha256 not in packages}
    with ThreadPoolExecutor(_THREADS) as pool:
        results = pool.map(lambda deb: read_deb(deb.under(folder), deb.name), new.values())
        packages.update(zip(new, results, strict=True))


def _resolve(package: str, by_name: Mapping[str, Licence | SharedDocuments]) -> Licence:
    """The licence of a package, also where it links to the documents of another one, perhaps over several links."""
    followed = {package}
    result = by_name[package]
    while isinstance(result, SharedDocuments):
        other = result.package
        if other in followed or other not in by_name:
            where = f"{DOCUMENTS}/{package}, a link"
            return inside(f"{DOCUMENTS}/{other}/copyright in the package {other}", where)
        followed.add(other)
        result = by_name[other]
    return result


def _of_image(image: LockedImage, folder: Path) -> Licence:
    digest = image.config_digest.removeprefix("sha256:")
    try:
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError("its configuration has no digest")
        with open_regular(folder / image.folder / "blobs/sha256" / digest) as file:
            config = json.loads(file.read(_MAX_CONFIG_BYTES))
        text = ((config.get("config") or {}).get("Labels") or {}).get(_LABEL)
    except (*DAMAGE, AttributeError, RecursionError) as error:
        return unreadable(error, f"label {_LABEL}")
    return stated(str(text), f"label {_LABEL}") if text else inside(f"/{DOCUMENTS} inside", f"it has no label {_LABEL}")


def _origin(url: str) -> str:
    """Why nothing is stated, and the host where somebody can ask. Never a path, a user or a token."""
    try:
        host = urlsplit(url.removeprefix("git+")).hostname
    except ValueError:
        host = None
    source = f"it comes from {escape_invisible(host)}" if host else "it is a local file"
    return f"a lock has no licences; {source}"
