"""Finds the preset that the first steps follow, and how far it has come."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core import labels
from core.artifacts.lock_check import check_preset
from core.artifacts.lock_store import LOCK_NAME, artifacts_folder, lock_sha256, read_lock
from core.artifacts.lockfile import Lock
from core.engine import EngineError, connect_engine
from core.engine_image import image_labels, inspect_image
from core.errors import XaivaError, os_reason
from core.files import list_files
from core.findings import Level
from core.first_steps.choice import FOLLOWED_KINDS, Suggested, chosen_or_used, suggest_preset
from core.first_steps.facts import Answer, ImageFacts, LockFacts, PresetFacts, ask
from core.first_steps.state import read_state
from core.operations.model import Operation
from core.presets.compat import TargetMachine, check, host_target, site_facts
from core.presets.store import PresetEntry, list_presets, preset_sha256
from core.progress import Stage, StageState
from core.site import Site
from core.site_operations import site_ledger

if TYPE_CHECKING:
    import docker

ENGINE_SECONDS = 3.0  # timeout of one call
MAX_OPERATIONS = 300  # the newest ones, in which those on the preset are looked for
Signature = tuple[object, ...]


class PresetSurvey:
    """Looks at the presets of one site. Used by one thread; checks are repeated only when their files changed."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._machine: tuple[TargetMachine | None] | None = None  # asked once: a driver may take seconds
        self._entries: tuple[Signature, list[PresetEntry]] | None = None
        self._suggested: tuple[object, Suggested] | None = None
        self._problem: tuple[object, XaivaError | None] | None = None
        self._lock: tuple[Signature, Lock, str] | None = None  # with the lock's SHA-256
        self._engine: docker.DockerClient | None = None
        self._generation = 0  # of the settings that were used to connect to the engine

    def look(self) -> PresetFacts:
        """The facts now. Raises InputError when the folder of presets or the choice in the site cannot be read."""
        entries = self._usable_presets()
        operations = ask(lambda: site_ledger(self._site).list(MAX_OPERATIONS))
        names = [entry.name for entry in entries]
        name, reason = chosen_or_used(names, read_state(self._site), operations.value or ())
        if not name:
            suggested = self._suggestion(entries)
            name, reason = suggested.name, suggested.reason
        gpu = ", ".join(model.name for model in machine.gpus) if (machine := self._this_machine()) else ""
        if not name:
            return PresetFacts(reason=reason, gpu=gpu, operations=operations)
        entry = next(entry for entry in entries if entry.name == name)
        own = [one for one in operations.value or () if one.subject == name and one.kind in FOLLOWED_KINDS]
        return PresetFacts(
            name,
            reason,
            gpu,
            has_service=entry.preset is None or entry.preset.inference_service,
            problem=self._problem_of(entry),
            lock=ask(lambda: self._lock_facts(entry)),
            image=ask(lambda: self._image(name)),
            operations=operations if operations.value is None else Answer(own),
            progress=self._progress(own),
        )

    def _usable_presets(self) -> list[PresetEntry]:
        """The presets without an error in their file; the files are parsed again only when one of them changed."""
        paths = list_files(self._site.presets, ".json")
        signature = tuple((path.name, _file_signature(path)) for path in paths)
        if self._entries is None or self._entries[0] != signature:
            usable = [entry for entry in list_presets(self._site) if entry.preset is not None]
            self._entries = (signature, usable)
        return self._entries[1]

    def _this_machine(self) -> TargetMachine | None:
        if self._machine is None:
            self._machine = (host_target(site_facts(self._site)),)
        return self._machine[0]

    def _suggestion(self, entries: Sequence[PresetEntry]) -> Suggested:
        """The best preset for this machine."""
        key = [(entry.preset, self._lock_signature(entry.name)) for entry in entries]
        if self._suggested is None or self._suggested[0] != key:
            self._suggested = (key, suggest_preset(self._site, entries, self._this_machine()))
        return self._suggested[1]

    def _problem_of(self, entry: PresetEntry) -> XaivaError | None:
        """The worst error of a preset, on the machine that it is for."""
        key = (entry.preset, self._lock_signature(entry.name))
        if self._problem is None or self._problem[0] != key:
            assert entry.preset is not None
            try:
                findings = check_preset(self._site, entry.name, entry.preset)
            except XaivaError:  # the lock cannot be read, which its own step reports
                findings = check(entry.preset, site=self._site, name=entry.name)
            worst = next((one for one in findings if one.level is Level.ERROR), None)
            self._problem = (key, XaivaError(worst.what, worst.why, worst.remedy) if worst else None)
        return self._problem[1]

    def _lock_signature(self, name: str) -> Signature:
        """Changes when the lock of a preset is written; empty without one."""
        return _file_signature(artifacts_folder(self._site, name) / LOCK_NAME)

    def _lock_facts(self, entry: PresetEntry) -> LockFacts:
        """The lock, and its files on disk by their size alone: a build checks every byte before it uses them."""
        assert entry.preset is not None
        folder = artifacts_folder(self._site, entry.name)
        if not os.path.lexists(folder / LOCK_NAME):
            return LockFacts()
        signature = self._lock_signature(entry.name)
        if self._lock is None or self._lock[0] != signature:
            lock = read_lock(self._site, entry.name)
            self._lock = (signature, lock, lock_sha256(lock))
        _, lock, sha256 = self._lock
        missing = [file.size for file in lock.files if _size(file.under(folder)) != file.size]
        stale = lock.preset_sha256 != preset_sha256(entry.preset, self._site.presets)
        return LockFacts(sha256, stale, len(lock.files), len(missing), sum(missing))

    def _image(self, name: str) -> ImageFacts:
        """The engine's image of a preset. Raises EngineError."""
        if self._engine is None or self._generation != self._site.generation:
            self._generation = self._site.generation
            self._engine = connect_engine(self._site, ENGINE_SECONDS)
        try:
            return _find_image(self._engine, name)
        except EngineError:
            self._engine = None  # the next engine at that address may be another one
            raise

    def _progress(self, operations: Sequence[Operation]) -> str:
        running = next((one for one in operations if one.state.live), None)
        if running is None:
            return ""
        try:
            return stage_text(site_ledger(self._site).stages(running.id))
        except XaivaError as error:
            return f"unknown: {error.summary}"


def stage_text(stages: Sequence[Stage]) -> str:
    """The stage that runs now, with its share in percent when that is known: `Fetch 67 %`, or `sync: Fetch 67 %`."""
    parts: list[str] = []
    running = _running_below("", stages)
    while running is not None:
        parts.append(f"{running.title} {100 * running.done / running.total:.0f} %" if running.total else running.title)
        running = None if running.total else _running_below(running.id, stages)
    return ": ".join(parts)


def _running_below(parent: str, stages: Sequence[Stage]) -> Stage | None:
    return next((one for one in stages if one.state is StageState.RUNNING and one.parent == parent), None)


def _find_image(client: docker.DockerClient, preset: str) -> ImageFacts:
    """The engine's image of a preset. Raises EngineError."""
    description = inspect_image(client, labels.image_tag(preset))
    if description is None:
        return ImageFacts()
    return ImageFacts(True, image_labels(description).get(labels.LOCK_SHA256, ""))


def _file_signature(path: Path) -> Signature:
    """Path, inode, time and size of a file, which change when it is written; empty when it cannot be seen."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return str(path), status.st_ino, status.st_mtime_ns, status.st_size


def _size(path: os.PathLike[str]) -> int:
    """The size of a file in bytes, -1 when it is not there. Raises XaivaError when that cannot be seen."""
    try:
        return os.lstat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1
    except OSError as error:
        raise XaivaError(f"{path}", os_reason(error), "check the folder, its permissions and its medium") from error
