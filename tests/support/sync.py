"""A sync of files on a loopback index, for the tests of sync and of its downloads."""

from __future__ import annotations

from pathlib import Path

from core.artifacts import sync, verify
from core.artifacts.lock_store import artifacts_folder
from core.artifacts.partial_download import PIECE_BYTES
from core.site import Site
from tests.support.artifacts import QUICK, RecordingProgress, locked, random_file, with_settings, write_lock_of
from tests.support.index import Index

NAME = "p"
SMALL = 300_000
LARGE = 3 * PIECE_BYTES + 12345


def lock_files(site: Site, index: Index, sizes: dict[str, int]) -> list[Path]:
    """Serve files of these sizes and lock them; returns their paths in the artifacts."""
    paths = [random_file(index.folder / name, size, at) for at, (name, size) in enumerate(sizes.items())]
    files = [locked(path, index.file_url(path.name)) for path in paths]
    write_lock_of(site, NAME, files)
    return [file.under(artifacts_folder(site, NAME)) for file in files]


def run(site: Site, progress: RecordingProgress | None = None) -> dict[str, object]:
    return dict(sync.run(site, NAME, {}, progress or RecordingProgress()))


def run_and_verify(site: Site, progress: RecordingProgress | None = None) -> dict[str, object]:
    """Sync; afterwards every file is as locked, and no temporary file is left."""
    outcome = run(site, progress)
    assert verify.verify(site, NAME) == []
    names = [path.name for path in artifacts_folder(site, NAME).rglob("*")]
    assert not [name for name in names if name.startswith(".xaiva-tmp-") or name == ".partial"]
    return outcome


def mirrored(site: Site, index: Index, mirror: Index, **env: str) -> Site:
    """The site with a mirror of the index."""
    return with_settings(site, QUICK.model_copy(update={"mirrors": {index.url: mirror.url}}), **env)
