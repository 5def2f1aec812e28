"""The console that is installed at a site: it updates itself from a verified shipment, and goes back.

xaiva                   runs the release that releases/current names
releases/<release>/     the code, its wheels and its environment
.xaiva/backups/         the databases at each change of release
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, JsonValue

from core import audit
from core.carry.console_backup import (
    Backup,
    Loss,
    back_up,
    list_backups,
    losses,
    prepared_restore,
    remove_backups,
)
from core.carry.console_files import CODE, ConsoleFile, console_list_text, release_name
from core.errors import InputError, XaivaError, os_reason
from core.files import CHUNK_BYTES, fsync_folder, write_atomic, write_remedy
from core.operations.ledger import Ledger
from core.progress import NullProgress, Progress
from core.site import Site
from core.subprocesses import run_child

RELEASES, CURRENT = "releases", "current"
_NEW = ".new-"
_SET_UP = ".venv/.xaiva-installed"
_MANY = 10_000


class Release(BaseModel):
    """An installed release of the console."""

    model_config = ConfigDict(frozen=True)

    name: str
    installed: datetime
    current: bool
    way_back: bool
    """Whether `xaiva console back` leads to it."""


class ConsoleUpdate(BaseModel):
    """What an update did."""

    model_config = ConfigDict(frozen=True)

    release: str
    """The release in use now."""
    previous: str
    """The release before; the same when it was in use already."""
    backup: str = ""
    """The folder of the backup, relative to the site."""


class WayBack(BaseModel):
    """Where `xaiva console back` leads, and what is lost on the way."""

    model_config = ConfigDict(frozen=True)

    current: str
    release: str
    backup: Backup
    losses: list[Loss]


def current_release(site: Site) -> str:
    """The release in use; empty when the console was not installed from a medium. Raises XaivaError."""
    path = site.root / RELEASES / CURRENT
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise XaivaError(f"{path}", str(error), "write the name of a folder beside it into it") from error


def list_releases(site: Site) -> list[Release]:
    """The installed releases, the one in use first. Raises InputError when there are none."""
    current = _current(site)
    back = _newest_backup(site, current)
    names = [path.name for path in (site.root / RELEASES).iterdir() if (path / _SET_UP).is_file()]
    releases = [
        Release(
            name=name,
            installed=datetime.fromtimestamp((site.root / RELEASES / name / _SET_UP).stat().st_mtime, timezone.utc),
            current=name == current,
            way_back=back is not None and back.earlier == name,
        )
        for name in names
    ]
    return sorted(releases, key=lambda release: (not release.current, release.name))


def update_console(
    site: Site,
    ledger: Ledger,
    version: str,
    files: Sequence[ConsoleFile],
    *,
    calling_kind: str = "",
    progress: Progress | None = None,
) -> ConsoleUpdate:
    """Install the console of a verified shipment beside the one in use, back the databases up, and switch to it.

    `version` is the manifest's. `calling_kind` is the kind of the operation that does this and so is live itself; no
    other may be. Raises XaivaError; then the release in use stays.
    """
    current, name = _current(site), release_name(version, console_list_text(list(files)))
    if name == current:
        return ConsoleUpdate(release=name, previous=name)
    with _alone(site):
        _refuse_while_busy(ledger, calling_kind)
        _install(site, name, files, progress or NullProgress())
        _refuse_while_busy(ledger, calling_kind)
        backup = back_up(site, current, name)
        _switch(site, name)
        _remove_old(site, {current, name})
    audit.record(site, "console update", name, {"previous": current})
    return ConsoleUpdate(release=name, previous=current, backup=f".xaiva/backups/{backup.number:04}-{current}")


def plan_way_back(site: Site) -> WayBack:
    """The way back to the release before. Raises InputError when there is none."""
    current = _current(site)
    backup = _newest_backup(site, current)
    if backup is None:
        why = "it was never updated here, or the release before it was removed"
        raise InputError(f"The console {current}", why, "see: xaiva console list")
    return WayBack(current=current, release=backup.earlier, backup=backup, losses=losses(site, backup))


def go_back(site: Site, ledger: Ledger, plan: WayBack) -> Backup:
    """Restore the backups and switch to the earlier release. Returns the backup of what was there until now.

    Raises XaivaError when an operation is live or a database is in use; then nothing changes.
    """
    with _alone(site):
        if _current(site) != plan.current:
            raise XaivaError(
                "The console stays as it is", "another xaiva has just changed it", "see: xaiva console list"
            )
        _refuse_while_busy(ledger, "")
        with prepared_restore(site, plan.backup) as restore:
            replaced = back_up(site, plan.current, plan.release)
            _switch(site, plan.release)  # first: if it is killed here, the same command leads back to what is there
            try:
                restore()
            except BaseException:
                _switch(site, plan.current)
                raise
    lost: dict[str, JsonValue] = {loss.path: loss.rows for loss in plan.losses}
    audit.record(site, "console back", plan.release, {"previous": plan.current, "lost": lost})
    return replaced


@contextlib.contextmanager
def _alone(site: Site) -> Iterator[None]:
    """Keeps every other process from changing the console meanwhile."""
    handle = os.open(site.root / RELEASES, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            why = "another xaiva is changing it at this moment"
            raise XaivaError("The console stays as it is", why, "wait for it, then see: xaiva console list") from error
        yield
    finally:
        os.close(handle)


def _current(site: Site) -> str:
    if current := current_release(site):
        return current
    why = f"{site.root} has no {RELEASES}/{CURRENT}: this console was not installed from a medium"
    raise InputError(
        "The installed console", why, "a checkout is updated with git; elsewhere start the medium's launcher"
    )


def _newest_backup(site: Site, current: str) -> Backup | None:
    """The newest backup from which the console came to `current`, if the earlier release is still installed."""
    backups = [backup for backup in list_backups(site) if backup.later == current]
    if backups and (site.root / RELEASES / backups[-1].earlier / _SET_UP).is_file():
        return backups[-1]
    return None


def _refuse_while_busy(ledger: Ledger, calling_kind: str) -> None:
    for operation in ledger.list(_MANY, live_only=True):
        if operation.kind != calling_kind:
            remedy = f"wait for it, or cancel it: xaiva ops cancel {operation.id}"
            raise XaivaError(
                "The console stays as it is", f"operation {operation.id} is running: {operation.title()}", remedy
            )


def _install(site: Site, name: str, files: Sequence[ConsoleFile], progress: Progress) -> None:
    """Unpack and set up a release, whole or not at all."""
    folder = site.root / RELEASES / name
    if (folder / _SET_UP).is_file():
        return
    temporary = folder.with_name(f"{_NEW}{os.getpid()}")
    for left in (folder, temporary):
        shutil.rmtree(left, ignore_errors=True)  # of a run that was killed
    try:
        for file in files:
            target = temporary / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy_checked(file, target)
        _unpack(temporary / CODE, temporary)
        os.sync()
        os.replace(temporary, folder)
        fsync_folder(folder.parent)
    except OSError as error:
        raise XaivaError(f"Release {folder}", os_reason(error), write_remedy(error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    try:
        _set_up(folder, progress)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _copy_checked(file: ConsoleFile, target: Path) -> None:
    digest, left = hashlib.sha256(), file.size
    with file.open() as source, open(target, "wb") as copy:
        while data := source.read(min(CHUNK_BYTES, left)):
            left -= len(data)
            digest.update(data)
            copy.write(data)
    if digest.hexdigest() != file.sha256:
        raise XaivaError(f"{file.path} of the medium's console", "its bytes have changed", "pack the medium again")


def _unpack(archive_path: Path, folder: Path) -> None:
    """Regular files below `folder`, with their times and the right to run. The signer vouches for them."""
    with tarfile.open(archive_path) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            source = archive.extractfile(member) if member.isreg() else None
            if source is None or path.is_absolute() or ".." in path.parts:
                why = f"it holds {member.name}, which is no plain file below it"
                raise XaivaError(f"{CODE} of the medium's console", why, "pack the medium again")
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, open(target, "wb") as file:
                shutil.copyfileobj(source, file)
            target.chmod(0o755 if member.mode & 0o100 else 0o644)
            os.utime(target, (member.mtime, member.mtime))
    archive_path.unlink()


def _set_up(folder: Path, progress: Progress) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XAIVA_VENV"))}
    done = run_child(["sh", os.fspath(folder / "xaiva"), "--setup"], progress, env, on_line=progress.log)
    if done.code:
        why = "\n".join(done.err.strip().splitlines()[-5:])
        raise XaivaError(
            f"Release {folder.name} was not installed", why, "see the lines above; the console stays as it is"
        )


def _switch(site: Site, name: str) -> None:
    release = site.root / RELEASES / name
    write_atomic(site.root / "xaiva", (release / "core/carry/stick/site_xaiva.sh").read_bytes(), 0o755)
    write_atomic(site.root / RELEASES / CURRENT, f"{name}\n")


def _remove_old(site: Site, releases: set[str]) -> None:
    """Keep these two; what a killed run left goes, too."""
    for path in (site.root / RELEASES).iterdir():
        if path.is_dir() and path.name not in releases:
            with contextlib.suppress(OSError):
                shutil.rmtree(path)
    remove_backups(site, releases)
