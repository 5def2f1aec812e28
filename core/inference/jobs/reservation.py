"""How a job gets memory for a model: it asks the service, waits with the reason shown, and releases it at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.errors import Cancelled, XaivaError, os_reason
from core.files import disk_error
from core.inference.jobs.context import JobContext
from core.inference.jobs.reservation_files import (
    ANSWER,
    ReservationAnswer,
    ReservationRequest,
    posted,
    read_json,
    reservations_folder,
    service_runs,
)
from core.inference.model_pool.load_errors import NoRoom
from core.operations.processes import OPERATION_TITLE_VARIABLE, pid_namespace
from core.progress import Progress, Stage, StageState, stop_if_cancelled

STAGE = "memory"
NO_SERVICE = "the service does not run"
_POLL_SECONDS = 0.1
_REPORT_SECONDS = 5.0  # between reports of an unchanged reason, which show that the job is alive


@contextmanager
def reserve(context: JobContext, progress: Progress, what: str, declared: int) -> Iterator[None]:
    """Reserve memory for the block, in which the job loads and uses a model of its own.

    `what` is the model's key in the pool, where it has one: then its measured cost counts, otherwise `declared` bytes.
    Waits until the service has granted it; the stage `memory` says for what. Outside an operation, as in a benchmark,
    no memory is reserved. Raises Cancelled, NoRoom when it can never be granted, and XaivaError for a full disk.
    """
    title = os.environ.get(OPERATION_TITLE_VARIABLE, "")
    if not title:
        yield
        return
    request = ReservationRequest(
        owner=f"job {title}"[:300],
        model=what[:300],
        declared=declared,
        pid=os.getpid(),
        namespace=pid_namespace(),
    )
    with ExitStack() as stack:
        folder = reservations_folder(context.settings)
        try:
            path = stack.enter_context(posted(folder, request))
        except OSError as error:
            why = f"it cannot be requested from the service: {os_reason(error)}"
            raise disk_error(error, folder) or XaivaError("The memory of the job", why) from error
        _wait(path, progress)
        yield


def _wait(request: Path, progress: Progress) -> None:
    """Wait for the answer, and report what it is waiting for."""
    waiting = Stage(id=STAGE, title="Reserve memory", state=StageState.RUNNING, started=time.time())
    state, reported = StageState.FAILED, 0.0
    try:
        while not (answer := _read_answer(request)).granted:
            stop_if_cancelled(progress)
            if answer.why:
                raise NoRoom(answer.what, answer.why, answer.remedy)
            if answer.waits != waiting.detail or time.monotonic() - reported >= _REPORT_SECONDS:
                waiting = waiting.model_copy(update={"detail": answer.waits})
                reported = time.monotonic()
                progress.stage(waiting)
            time.sleep(_POLL_SECONDS)
        state = StageState.DONE
    except Cancelled:
        state = StageState.CANCELLED
        raise
    finally:
        progress.stage(waiting.model_copy(update={"state": state, "detail": "", "ended": time.time()}))


def _read_answer(request: Path) -> ReservationAnswer:
    try:
        answer = read_json(request.with_suffix(ANSWER), ReservationAnswer) or ReservationAnswer()
    except (OSError, ValueError):
        answer = ReservationAnswer()  # the service writes it again
    if answer.granted or answer.why or service_runs(request.parent):
        return answer
    return ReservationAnswer(waits=NO_SERVICE)
