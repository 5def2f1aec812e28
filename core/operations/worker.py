"""The worker process of an operation: runs the function of its kind and reports to the supervisor over a pipe.

It writes one JSON object per line: `{"stage": …}`, `{"log": [stage, text]}`, and finally `{"end": {"state", "result",
"failure"}}`. On the control pipe it reads first its task, then `cancel`; the end of that pipe means that the supervisor
is gone.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from types import FrameType

from pydantic import BaseModel, JsonValue

from core.errors import Cancelled, TransientError, XaivaError
from core.files import disk_error
from core.operations import processes
from core.operations.model import TRACEBACK, OperationFailure, OperationState
from core.operations.place import OperationFunction, load_function, open_place
from core.progress import Stage

STAGE_FLUSH_SECONDS = 0.1  # between reports of a running stage's numbers; a new state is reported at once
SIGTERM_SECONDS = 0.25  # from the cancel flag to SIGTERM, for code that does not check the flag
SIGKILL_SECONDS = 0.7  # from the cancel flag to SIGKILL: a cancel takes a second at most


class WorkerTask(BaseModel):
    """The function a worker has to call, and its arguments."""

    opener: str
    """Builds the place, in the same way as in the supervisor."""
    root: str
    target: str
    subject: str
    options: dict[str, JsonValue]
    token: str
    niceness: int = 0


class WorkerOutcome(BaseModel):
    """How the work ended, with its result or its failure."""

    state: OperationState
    result: dict[str, JsonValue] | None = None
    failure: OperationFailure | None = None
    transient: bool = False
    """Whether the failure may pass by itself."""


class PipeProgress:
    """A `Progress` that writes to the supervisor's pipe. It coalesces stages, and writes log lines at once."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._lock = threading.RLock()  # a signal handler may run in the middle of a report
        self._pending: dict[str, Stage] = {}
        self._states: dict[str, str] = {}
        self._cancel = threading.Event()
        self.cancel_noticed = False  # whether the work has read the cancel flag

    def stage(self, stage: Stage) -> None:
        with self._lock:
            self._pending[stage.id] = stage
            fresh = self._states.get(stage.id) != stage.state.value
            self._states[stage.id] = stage.state.value
        if fresh:
            self.flush()

    def log(self, line: str, stage: str = "") -> None:
        self._send([{"log": [stage, part]} for part in line.split("\n")])

    def cancelled(self) -> bool:
        if self._cancel.is_set():
            self.cancel_noticed = True
        return self.cancel_noticed

    def cancel(self) -> None:
        """Set the cancel flag."""
        self._cancel.set()

    def flush(self) -> None:
        """Write the stages that were held back."""
        with self._lock:
            stages, self._pending = list(self._pending.values()), {}
            self._send([{"stage": stage.model_dump(mode="json")} for stage in stages])

    def report_outcome(self, end: WorkerOutcome) -> None:
        """Write the outcome, on a line of its own even when a signal interrupted the message before it."""
        self.flush()
        self._write(b"\n" + _encode({"end": end.model_dump(mode="json")}))

    def _send(self, messages: list[dict[str, object]]) -> None:
        self._write(b"".join(map(_encode, messages)))

    def _write(self, message: bytes) -> None:
        data = memoryview(message)
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._pipe, data) :]
            except OSError:
                self.cancel()  # the supervisor is gone


def _encode(message: dict[str, object]) -> bytes:
    """A message as one line. `?` replaces what is not valid Unicode, such as in a file name: the ledger refuses it."""
    return json.dumps(message, ensure_ascii=False).encode(errors="replace") + b"\n"


def main() -> None:
    """Entry point: `worker REPORT_FD CONTROL_FD`."""
    faulthandler.enable()
    report, control = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(report, False)  # child processes must not keep the pipes open
    os.set_inheritable(control, False)
    control_stream = os.fdopen(control, encoding="utf-8")
    task = WorkerTask.model_validate_json(control_stream.readline())
    progress = PipeProgress(report)

    def terminated(_number: int, _frame: FrameType | None) -> None:
        progress.cancel()
        if not progress.cancel_noticed:  # otherwise the work is ending by itself: do not interrupt that
            progress.cancel_noticed = True
            raise Cancelled()

    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def listen_for_cancel() -> None:
        while control_stream.readline():
            progress.cancel()
        _end_orphaned_work(progress, task.token)

    def flush_periodically() -> None:
        while True:
            time.sleep(STAGE_FLUSH_SECONDS)
            progress.flush()

    threading.Thread(target=listen_for_cancel, daemon=True).start()
    threading.Thread(target=flush_periodically, daemon=True).start()
    processes.lower_priority(task.niceness)  # of this thread and what it starts: the two above still answer at once
    end = _run_task(task, progress)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nothing may interrupt the report of the outcome
    progress.report_outcome(end)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # do not wait for threads of the work


def _run_task(task: WorkerTask, progress: PipeProgress) -> WorkerOutcome:
    try:
        run: OperationFunction = load_function(task.target)
        context = open_place(task.opener, task.root).context
        result = run(context, task.subject, task.options, progress)
        return WorkerOutcome(state=OperationState.DONE, result=dict(result))
    except Cancelled as error:
        return WorkerOutcome(state=OperationState.CANCELLED, failure=_failure(error))
    except XaivaError as error:
        return WorkerOutcome(
            state=OperationState.FAILED, failure=_failure(error), transient=isinstance(error, TransientError)
        )
    except OSError as error:
        disk_failure = disk_error(error)
        return (
            WorkerOutcome(state=OperationState.FAILED, failure=_failure(disk_failure))
            if disk_failure
            else _unexpected(error, progress)
        )
    except BaseException as error:
        return _unexpected(error, progress)


def _unexpected(error: BaseException, progress: PipeProgress) -> WorkerOutcome:
    progress.log(traceback.format_exc().rstrip(), TRACEBACK)
    if progress.cancelled():  # the cancel caused the error
        return WorkerOutcome(state=OperationState.CANCELLED, failure=_failure(Cancelled()))
    why = f"{type(error).__name__}: {error}"
    return WorkerOutcome(
        state=OperationState.FAILED,
        failure=OperationFailure(
            what="An unexpected error", why=why, remedy="the traceback is in the log; please report it"
        ),
    )


def _failure(error: XaivaError) -> OperationFailure:
    return OperationFailure(what=error.what, why=error.why, remedy=error.remedy, exit_code=error.exit_code)


def _end_orphaned_work(progress: PipeProgress, token: str) -> None:
    """The supervisor is gone: cancel, then kill this process and everything it started."""
    progress.cancel()
    time.sleep(SIGTERM_SECONDS)
    processes.send_signal(processes.token_holders(token) | {os.getpid()}, signal.SIGTERM)
    time.sleep(SIGKILL_SECONDS - SIGTERM_SECONDS)
    processes.send_signal(processes.token_holders(token), signal.SIGKILL)
    os._exit(1)
