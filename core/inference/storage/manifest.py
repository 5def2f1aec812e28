"""Which objects lie in the folder of a mirror. Any number of processes may add to it; each line is one object.

A line is appended when its file is complete. A torn last line, after a kill, costs one object to be fetched again. A
file that was not yet written to the disk when the machine lost its power is recognised by the boot of its line.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from core.files import TEMPORARY_PREFIX, sync_file_system, write_atomic

FILE = "manifest.jsonl"
LOCK = "lock"
DROP_LOCK = "drop.lock"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Entry(NamedTuple):
    """One fetched object. `boot`: the boot in which it was written; empty once it is surely on the disk."""

    name: str
    storage: str
    key: str
    boot: str


class Manifest:
    """The manifest of one pass over a mirror, which holds a shared lock while it is open."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._boot = _boot_id()
        self._entries: dict[str, Entry] = {}

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Read the manifest, and keep what other passes may be reading until the block ends. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with open(self._folder / LOCK, "ab") as self._lock:
            fcntl.flock(self._lock, fcntl.LOCK_SH)
            self._read()
            with open(self._folder / FILE, "ab", buffering=0) as self._file:
                self._file.write(b"\n")  # ends a torn line
                yield

    def holds(self, name: str, size: int) -> bool:
        """Whether the object with this local name lies here complete."""
        entry = self._entries.get(name)
        if entry is None or entry.boot not in ("", self._boot):
            return False
        try:
            return (self._folder / name).stat().st_size == size
        except OSError:
            return False

    def add(self, name: str, storage: str, key: str) -> None:
        """Note an object whose file is complete. Raises OSError."""
        entry = Entry(name, storage, key, self._boot)
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._entries[name] = entry

    def drop_missing(self, prefix: str, present: Iterable[str]) -> bool:
        """Remove objects below the prefix whose names are not `present`, and what belongs to nothing.

        False: another pass is under way and may read them, so that the next pass removes them. Raises OSError.
        """
        with open(self._folder / DROP_LOCK, "ab") as drop:
            try:
                fcntl.flock(drop, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._drop_missing(prefix, present)
            except BlockingIOError:
                return False
            finally:
                # Also a refused upgrade gives up the shared lock. Nobody uses the gap: who would has no DROP_LOCK.
                fcntl.flock(self._lock, fcntl.LOCK_SH)
        return True

    def _drop_missing(self, prefix: str, present: Iterable[str]) -> None:
        self._read()  # with what passes that have ended meanwhile added
        names = set(present)
        kept = [entry for entry in self._entries.values() if entry.name in names or not entry.key.startswith(prefix)]
        sync_file_system(self._folder)
        lines = [json.dumps(entry if self._is_lost(entry) else entry._replace(boot="")) for entry in kept]
        write_atomic(self._folder / FILE, "".join(f"{line}\n" for line in lines))
        self._remove_all_but({entry.name for entry in kept})

    def _is_lost(self, entry: Entry) -> bool:
        return entry.boot not in ("", self._boot)

    def _read(self) -> None:
        with contextlib.suppress(FileNotFoundError), open(self._folder / FILE, "rb") as file:
            for line in file:
                with contextlib.suppress(ValueError, TypeError):
                    entry = Entry(*map(str, json.loads(line)))
                    self._entries[entry.name] = entry

    def _remove_all_but(self, names: set[str]) -> None:
        for folder in self._folder.iterdir():
            if folder.is_dir() and not folder.is_symlink():
                for path in folder.iterdir():
                    if f"{folder.name}/{path.name}" not in names:
                        path.unlink(missing_ok=True)
            elif folder.name.startswith(TEMPORARY_PREFIX):
                folder.unlink(missing_ok=True)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"
