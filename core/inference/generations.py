"""Generations: folders that are written whole, published by moving a pointer, and kept so that there is a way back.

    <folder>/000012/…      one generation: its files, and `manifest.json`
    <folder>/current       the pointer: a symbolic link to the generation that answers

A reader resolves the pointer once and opens everything below that folder. The two newest good generations stay.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from core.errors import XaivaError, os_reason
from core.files import TEMPORARY_PREFIX, fsync_folder, sha256_file, write_remedy

POINTER = "current"
MANIFEST = "manifest.json"
KEPT = 2  # generations: the one that answers, and the way back
FORMAT = 1  # of the manifest


class BrokenGeneration(XaivaError):
    """A generation is incomplete or damaged."""


class NoGeneration(XaivaError):
    """Nothing has been published yet."""


class Manifest(BaseModel):
    """What a generation holds. It is written last, so a folder with a manifest is complete."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT
    number: int
    made: float
    """Unix time."""
    files: dict[str, tuple[int, str]]
    """File name → size in bytes and SHA-256."""
    facts: dict[str, JsonValue]
    """What its kind says about it: counts, the model, thresholds."""


@dataclass(frozen=True)
class GenerationFolder:
    """One published generation."""

    path: Path
    manifest: Manifest

    def check(self) -> None:
        """Compare every file with the manifest. Raises BrokenGeneration."""
        for name, (size, digest) in self.manifest.files.items():
            path = self.path / name
            try:
                if path.stat().st_size != size or sha256_file(path) != digest:
                    raise _broken(self.path, f"{name} is not what was written")
            except OSError as error:
                raise _broken(self.path, f"{name}: {os_reason(error)}") from error


class Generations:
    """The generations of one index or memory bank. Any number of processes may read; writers take turns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def token(self) -> str:
        """What the pointer names now; "" for nothing. Cheap: a reader compares it before each query."""
        try:
            return os.readlink(self.folder / POINTER)
        except OSError:
            return ""

    def open(self, name: str = "") -> GenerationFolder:
        """The current generation, or the one named. Raises NoGeneration, or BrokenGeneration for a bad manifest."""
        name = name or self.token()
        if not name:
            raise NoGeneration(f"{self.folder.name}", "it has not been built yet")
        path = self.folder / name
        try:
            manifest = Manifest.model_validate_json((path / MANIFEST).read_bytes())
        except OSError as error:
            raise _broken(path, f"its manifest cannot be read: {os_reason(error)}") from error
        except ValidationError as error:
            raise _broken(path, "its manifest is damaged") from error
        if manifest.format != FORMAT:
            raise _broken(path, f"it is of format {manifest.format}; this version reads {FORMAT}")
        return GenerationFolder(path, manifest)

    def names(self) -> list[str]:
        """All generations on disk, newest first."""
        with contextlib.suppress(FileNotFoundError):
            return sorted((path.name for path in self.folder.iterdir() if path.name.isdigit()), reverse=True)
        return []

    def previous(self) -> str:
        """The generation that a rollback would publish; "" for none."""
        current = self.token()
        return next((name for name in self.names() if current and name < current), "")

    @contextlib.contextmanager
    def write(self) -> Iterator[Path]:
        """A folder to write the files of a new generation into; `publish` it inside the block, else it is removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, written: Path, facts: dict[str, JsonValue]) -> GenerationFolder:
        """Make the files in `written` the current generation, and remove those that are no longer needed.

        Raises XaivaError when the disk does not take it; the generation before then still answers.
        """
        try:
            with self._locked():
                number = max([int(name) for name in self.names()], default=0) + 1
                files = {path.name: (path.stat().st_size, sha256_file(path)) for path in sorted(written.iterdir())}
                manifest = Manifest(number=number, made=time.time(), files=files, facts=facts)
                (written / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n")
                for path in written.iterdir():
                    with open(path, "rb") as file:
                        os.fsync(file.fileno())
                os.chmod(written, 0o755)
                fsync_folder(written)
                target = self.folder / f"{number:06}"
                os.rename(written, target)
                self._point(target.name)
                self._remove_old()
        except OSError as error:
            raise XaivaError(f"{self.folder}", os_reason(error), write_remedy(error)) from error
        return GenerationFolder(target, manifest)

    def roll_back(self) -> GenerationFolder:
        """Make the generation before the current one the current one. Raises NoGeneration, BrokenGeneration."""
        with self._locked():
            name = self.previous()
            if not name:
                raise NoGeneration(f"{self.folder.name}", "there is no earlier generation to go back to")
            generation = self.open(name)
            generation.check()
            self._point(name)
        return generation

    def _point(self, name: str) -> None:
        link = self.folder / f"{TEMPORARY_PREFIX}{POINTER}"
        link.unlink(missing_ok=True)
        os.symlink(name, link)
        os.replace(link, self.folder / POINTER)
        fsync_folder(self.folder)

    def _remove_old(self) -> None:
        """Keep the current generation and the newest other one; remove what killed writers left."""
        current = self.token()
        others = [name for name in self.names() if name != current]
        for name in others[KEPT - 1 :]:
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _broken(path: Path, why: str) -> BrokenGeneration:
    return BrokenGeneration(f"{path}", why, "the earlier generation answers; rebuild it")
