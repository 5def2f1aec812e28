"""The files through which a job asks the service for memory: a request with its lock, and the service's answer.

A job writes `<name>.request` and holds a lock on it while it needs the memory: the kernel releases the lock when the
process ends in whatever way, so that nothing depends on process ids. The service writes `<name>.answer` beside it, and
holds a lock on `service.lock` while it runs.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from core.errors import os_reason
from core.files import TEMPORARY_PREFIX, read_regular, write_atomic
from core.inference.settings import ServiceSettings

REQUEST, ANSWER = ".request", ".answer"
_NEW = ".new"
_SERVICE_LOCK = "service.lock"
_LARGEST = 64 << 10  # bytes of a file
_LEFTOVER_SECONDS = 60.0  # after which an unfinished file is removed
_ANSWER_SECONDS = 2.0  # an answer is written in much less, by one service

Model = TypeVar("Model", bound=BaseModel)


class ReservationRequest(BaseModel):
    """Memory that a job asks for."""

    model_config = ConfigDict(frozen=True)

    owner: Annotated[str, Field(max_length=300)]
    """`job 12 (index normal)`."""
    model: Annotated[str, Field(max_length=300)]
    """What it loads: the model's key in the pool, where it has one."""
    declared: Annotated[int, Field(ge=0)]
    """Bytes."""
    pid: int
    namespace: str
    """The pid namespace in which `pid` is valid."""


class ReservationAnswer(BaseModel):
    """What the service answers: granted, waiting for a reason, or refused for good."""

    model_config = ConfigDict(frozen=True)

    granted: bool = False
    cost: int = 0
    """The bytes that are charged."""
    waits: str = ""
    what: str = ""
    """The three sentences of the error when it is refused."""
    why: str = ""
    remedy: str = ""


def reservations_folder(settings: ServiceSettings) -> Path:
    """The folder of requests and answers."""
    return settings.jobs_folder / "reservations"


def read_json(path: Path, model: type[Model]) -> Model | None:
    """The content of a file; None when it does not exist. Raises OSError, and ValueError for anything else."""
    try:
        content = read_regular(path)
    except FileNotFoundError:
        return None
    if len(content) > _LARGEST:
        raise ValueError(f"it has {len(content)} bytes")
    return model.model_validate_json(content)


@contextlib.contextmanager
def posted(folder: Path, request: ReservationRequest) -> Iterator[Path]:
    """The request lies in the folder, locked, until the block ends. Gives its path. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{request.pid}-{uuid.uuid4().hex[:12]}{_NEW}"
    path = new.with_suffix(REQUEST)
    try:
        with open(new, "xb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # before the service sees the file; the lock stays with it
            file.write(request.model_dump_json().encode())
            file.flush()
            os.replace(new, path)
            yield path
    finally:
        for left in (new, path, path.with_suffix(ANSWER)):
            with contextlib.suppress(OSError):  # the service removes it then
                left.unlink(missing_ok=True)


def write_answer(request: Path, answer: ReservationAnswer) -> None:
    """Write the answer beside the request. Raises OSError."""
    write_atomic(request.with_suffix(ANSWER), answer.model_dump_json())


def is_held(path: Path) -> bool:
    """Whether a process holds the file's lock. Raises OSError, also for anything but a regular file."""
    with open(path, "rb", opener=_open_regular) as file:
        return not _try_lock(file.fileno(), fcntl.LOCK_SH)


def service_runs(folder: Path) -> bool:
    """Whether a service answers requests in the folder."""
    try:
        return is_held(folder / _SERVICE_LOCK)
    except OSError:
        return False


class ServiceLock:
    """Says that the service runs, while it is held."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _SERVICE_LOCK
        self._handle: int | None = None

    def try_acquire(self) -> bool:
        """Whether it is held now; False while another service, or a job that just looks, holds it. Raises OSError."""
        if self._handle is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not _try_lock(handle, fcntl.LOCK_EX):
                os.close(handle)
                return False
            self._handle = handle
        return True

    def release(self) -> None:
        """Release it, if it is held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def remove_pair(request: Path) -> None:
    """Remove a request and its answer. Raises OSError."""
    request.with_suffix(ANSWER).unlink(missing_ok=True)
    request.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether the file is an answer without a request, or was never finished: its writer was killed."""
    if path.suffix == ANSWER:
        return not path.with_suffix(REQUEST).exists()
    unfinished_answer = path.name.startswith(TEMPORARY_PREFIX)
    if path.suffix != _NEW and not unfinished_answer:
        return False
    seconds = _ANSWER_SECONDS if unfinished_answer else _LEFTOVER_SECONDS
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime > seconds and not is_held(path)
    return False


def describe(error: OSError | ValueError) -> str:
    """Why a file cannot be read, in one line."""
    return os_reason(error) if isinstance(error, OSError) else str(error).splitlines()[0]


def _try_lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _open_regular(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # never waits for a named pipe
