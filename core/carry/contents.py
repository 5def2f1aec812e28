"""What goes into a shipment: the files of presets, with where each comes from and where the site puts it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.artifacts.generated_files import generated_files
from core.artifacts.lock_store import LOCK_NAME, LockedPreset, read_locked_preset
from core.carry.shipment import CarriedFile, Content, Kind
from core.errors import XaivaError, os_reason
from core.files import sha256_bytes, sha256_file
from core.images.build_checks import check_artifacts
from core.presets.layer_file import referenced_files
from core.presets.store import preset_path
from core.site import Site


@dataclass(frozen=True)
class Source:
    """Bytes on this machine with the SHA-256 that they must have: a file, or a text made for the shipment."""

    content: Content
    name: str
    """The file as a person finds it."""
    open: Callable[[], io.BufferedIOBase]

    def open_at(self, offset: int) -> io.BufferedIOBase:
        """The bytes from `offset` on. Raises OSError."""
        stream = self.open()
        stream.seek(offset)
        return stream


@dataclass
class Contents:
    """What a shipment carries, before its images: the files of the site, and every content once."""

    files: list[CarriedFile] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    """SHA-256 → where it comes from."""

    def add(self, path: str, kind: Kind, source: Source, preset: str = "") -> None:
        """Carry `source` to `path` of the site."""
        sha256 = source.content.sha256
        self.files.append(CarriedFile(path=path, kind=kind, sha256=sha256, preset=preset))
        self.sources.setdefault(sha256, source)


def gather(site: Site, presets: Iterable[str]) -> Contents:
    """The files of these presets and of the site itself. Reads the small ones; the locks have the hashes of the others.

    Raises XaivaError for a preset without lock or with missing artifacts.
    """
    contents = Contents()
    for name in dict.fromkeys(presets):
        _add_preset(contents, site, read_locked_preset(site, name))
    _add_site_files(contents, site)
    return contents


def _add_preset(contents: Contents, site: Site, locked: LockedPreset) -> None:
    check_artifacts(locked)
    for path in _preset_files(site, locked):
        name = path.relative_to(site.root).as_posix()
        if not any(file.path == name for file in contents.files):  # presets may share requirement files
            contents.add(name, Kind.PRESET, file_source(path), locked.name)
    folder = f"artifacts/{locked.name}"
    for file in locked.lock.files:
        content = Content(sha256=file.sha256, size=file.size)
        contents.add(f"{folder}/{file.path}", Kind.ARTIFACT, _on_disk(file.under(locked.folder), content), locked.name)
    for name, data in generated_files(locked.lock).items():
        contents.add(f"{folder}/{name}", Kind.ARTIFACT, data_source(name, data), locked.name)
    # The lock goes last: a site that was interrupted never has the lock without its files.
    contents.add(f"{folder}/{LOCK_NAME}", Kind.ARTIFACT, file_source(locked.folder / LOCK_NAME), locked.name)


def _preset_files(site: Site, locked: LockedPreset) -> Iterator[Path]:
    yield preset_path(site, locked.name)
    layers = [layer.file for layer in locked.preset.layers if layer.file]
    for name in dict.fromkeys(name for layer in layers for name in referenced_files(site.presets, layer)):
        yield site.presets / name


def _add_site_files(contents: Contents, site: Site) -> None:
    """The site's own template and compatibility rows."""
    if site.docker.is_dir():
        for path in sorted(path for path in site.docker.iterdir() if path.is_file() and path.name[0] != "."):
            contents.add(f"docker/{path.name}", Kind.SITE, file_source(path))


def file_source(path: Path) -> Source:
    """A file that no lock names; it is read now. Raises XaivaError."""
    try:
        return _on_disk(path, Content(sha256=sha256_file(path), size=path.stat().st_size))
    except OSError as error:
        raise XaivaError(f"{path}", os_reason(error), "check the file and its permissions") from error


def data_source(name: str, data: bytes) -> Source:
    """Bytes that are no file."""
    return Source(Content(sha256=sha256_bytes(data), size=len(data)), name, lambda: io.BytesIO(data))


def _on_disk(path: Path, content: Content) -> Source:
    return Source(content, f"{path}", lambda: open(path, "rb"))
