"""The artifacts folder of a preset: its path, and how to read and write its lock."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from core.artifacts.lockfile import Lock
from core.errors import InputError, XaivaError, os_reason
from core.files import sha256_bytes, write_atomic
from core.presets.model import Preset
from core.presets.store import load_named
from core.site import Site
from core.validation_errors import first_problem

LOCK_NAME = "lock.json"
PARTIAL_FOLDER = ".partial"  # unfinished downloads, resumed by the next sync
INCOMING_FOLDER = ".incoming"  # of all presets: files that an unpack has copied and not moved to their places yet
INCOMING_JOURNAL = "journal.json"  # in it, once the move has begun
LOCAL_WHEELS = "local-wheels"  # wheels of packages that no index has a wheel of; the next lock uses them


def artifacts_folder(site: Site, preset: str) -> Path:
    """The artifacts folder of a preset, which may not exist."""
    return site.artifacts / preset


@dataclass(frozen=True)
class LockedPreset:
    """A preset of a site, with its lock."""

    site: Site
    name: str
    preset: Preset
    lock: Lock

    @property
    def folder(self) -> Path:
        """The artifacts folder of the preset."""
        return artifacts_folder(self.site, self.name)


def read_locked_preset(site: Site, name: str) -> LockedPreset:
    """A preset and its lock. Raises XaivaError when one of them is missing or cannot be read."""
    return LockedPreset(site, name, load_named(site, name), read_lock(site, name))


def read_lock(site: Site, preset: str) -> Lock:
    """The preset's lock. Raises XaivaError without one, InputError when it cannot be read."""
    path = artifacts_folder(site, preset) / LOCK_NAME
    remedy = f"lock it, online: xaiva lock {preset}"
    try:
        return Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        if path.is_symlink():
            raise InputError(f"{path}", "it is a dangling link", f"restore the file, or {remedy}") from error
        raise XaivaError(f"Preset {preset} has no lock", f"{path} does not exist", remedy) from error
    except ValidationError as error:
        field, why = first_problem(error)
        raise InputError(f"{path}: {field or 'content'}", why, f"restore the file, or {remedy}") from error
    except OSError as error:
        raise InputError(f"{path}", os_reason(error), "check the file and its permissions") from error


def find_lock(site: Site, preset: str) -> Lock | None:
    """The preset's lock; None without one. Raises XaivaError when it cannot be read."""
    return read_lock(site, preset) if os.path.lexists(artifacts_folder(site, preset) / LOCK_NAME) else None


def lock_text(lock: Lock) -> str:
    """The text of `lock.json`: defaults omitted, keys in the model's order."""
    data = lock.model_dump(mode="json", exclude_defaults=True)
    return json.dumps({"version": lock.version, **data}, indent=1, ensure_ascii=False) + "\n"


def lock_sha256(lock: Lock) -> str:
    """The identity of a lock: SHA-256 of its canonical text."""
    return sha256_bytes(lock_text(lock).encode())


def write_lock(site: Site, preset: str, lock: Lock) -> bool:
    """Write `lock.json` unless it is unchanged; returns whether it was written."""
    path = artifacts_folder(site, preset) / LOCK_NAME
    text = lock_text(lock)
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    write_atomic(path, text)
    return True


def locked_presets(site: Site) -> Iterator[tuple[str, Lock]]:
    """(name, lock) of every preset of the site with a readable lock."""
    if not site.artifacts.is_dir():
        return
    for path in sorted(site.artifacts.glob(f"*/{LOCK_NAME}")):
        try:
            lock = read_lock(site, path.parent.name)
        except XaivaError:
            continue  # the lists and operations of that preset report it
        yield path.parent.name, lock
