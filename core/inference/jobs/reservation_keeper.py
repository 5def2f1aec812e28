"""The service's side of the jobs' memory: charges their requests in the model pool, and releases what they left."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from core.errors import XaivaError
from core.inference.jobs.reservation_files import (
    ANSWER,
    REQUEST,
    ReservationAnswer,
    ReservationRequest,
    ServiceLock,
    describe,
    is_held,
    is_leftover,
    read_json,
    remove_pair,
    reservations_folder,
    write_answer,
)
from core.inference.model_pool.load_errors import LoadFailed
from core.inference.model_pool.memory_budget import Reservation
from core.inference.model_pool.pool import ModelPool
from core.inference.settings import ServiceSettings
from core.operations.processes import pid_namespace

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1
_RETRY_SECONDS = 0.5  # between attempts to grant what waits, unless memory was released
_STOP_SECONDS = 1.0


class JobReservations:
    """Answers the requests in the jobs' folder, in a thread of its own.

    A file that cannot be read is logged once and ignored. A full disk delays answers: memory whose grant cannot be
    written is not charged.
    """

    def __init__(self, settings: ServiceSettings, pool: ModelPool) -> None:
        self._folder = reservations_folder(settings)
        self._pool = pool
        self._lock = ServiceLock(self._folder)
        self._granted: set[Path] = set()
        self._answers: dict[Path, ReservationAnswer] = {}  # those that are not granted, as written
        self._logged: set[tuple[Path, str]] = set()
        self._retry_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job-reservations", daemon=True)

    def restore(self) -> None:
        """Charge the jobs that survived the last run of the service; to be called before any model loads."""
        for path in self._requests():
            try:
                if not is_held(path):
                    remove_pair(path)
                    continue
                request = read_json(path, ReservationRequest)
                answer = read_json(path.with_suffix(ANSWER), ReservationAnswer)
            except (OSError, ValueError) as error:
                self._log_once(path, error)
                continue
            if request and answer and answer.granted:
                self._pool.restore_reservation(_reservation(path, request), answer.cost)
                self._granted.add(path)

    def start(self) -> None:
        """Start to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering. What was granted stays granted: a job may outlive the service."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)
        self._lock.release()

    def release_ended(self) -> None:
        """Release what processes held that are gone, without waiting for the next look. Thread-safe."""
        for path in list(self._granted):
            if not self._is_held(path):
                self._release(path)

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                if self._lock.try_acquire():
                    self._poll()
            except OSError as error:
                self._log_once(self._folder, error)
            except Exception:
                logger.exception("the requests of jobs for memory could not be answered")

    def _poll(self) -> None:
        requests = self._requests()
        held = [path for path in requests if self._is_held(path)]
        for path in self._granted.difference(held):
            self._release(path)
        for path in self._answers.keys() - set(held):
            del self._answers[path]
        waiting = [path for path in held if path not in self._granted]
        retry = time.monotonic() >= self._retry_at
        for path in waiting:
            if retry or path not in self._answers:
                self._try_answer(path)
        if retry:
            self._retry_at = time.monotonic() + _RETRY_SECONDS

    def _release(self, path: Path) -> None:
        self._granted.discard(path)
        self._pool.release_reservation(path.name)
        self._retry_at = 0.0

    def _is_held(self, path: Path) -> bool:
        """Whether a process still needs this memory; removes the files of one that is gone."""
        try:
            if is_held(path):
                return True
            remove_pair(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._log_once(path, error)
            return path in self._granted
        return False

    def _try_answer(self, path: Path) -> None:
        try:
            request = read_json(path, ReservationRequest)
            if request is not None:
                self._answer(path, request)
        except (OSError, ValueError) as error:
            self._log_once(path, error)

    def _answer(self, path: Path, request: ReservationRequest) -> None:
        """Grant the request, or say what it waits for. Raises OSError when the answer cannot be written."""
        try:
            waits = self._pool.reserve(_reservation(path, request))
        except LoadFailed:  # the service is stopping: the next one answers
            return
        except XaivaError as error:
            answer = ReservationAnswer(what=error.what, why=error.why, remedy=error.remedy)
        else:
            answer = ReservationAnswer(granted=not waits, waits=waits, cost=self._pool.cost(path.name))
        if answer == self._answers.get(path):
            return
        try:
            write_answer(path, answer)
        except OSError:
            self._pool.release_reservation(path.name)
            raise
        if answer.granted:
            self._granted.add(path)
            self._answers.pop(path, None)
        else:
            self._answers[path] = answer

    def _requests(self) -> list[Path]:
        """The requests in the folder, the oldest first; removes what killed processes left."""
        found: list[tuple[float, Path]] = []
        try:
            paths = list(self._folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            self._log_once(self._folder, error)
            return sorted(self._granted)  # nothing is known: what is granted stays
        for path in paths:
            try:
                if path.suffix == REQUEST:
                    found.append((path.lstat().st_mtime, path))
                elif is_leftover(path):
                    path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                self._log_once(path, error)
        return [path for _, path in sorted(found)]

    def _log_once(self, path: Path, error: OSError | ValueError) -> None:
        reason = describe(error)
        if (path, reason) not in self._logged:
            self._logged.add((path, reason))
            logger.warning("%s is ignored: %s", path, reason)


def _reservation(path: Path, request: ReservationRequest) -> Reservation:
    visible = request.namespace == pid_namespace()
    return Reservation(path.name, request.owner, request.model, request.declared, request.pid if visible else 0)
