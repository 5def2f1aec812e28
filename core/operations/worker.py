"""The worker process of an operation: runs the function of its kind, and reports to the supervisor over a pipe.

What it says, one JSON object a line: `{"stage": …}`, `{"log": [stage, text]}`, and last `{"end": {"state", "result",
"failure"}}`. What it is told on the control pipe: first its task, then `cancel`; the end of that pipe means that the
supervisor is gone.
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
from collections.abc import Mapping
from types import FrameType

from pydantic import BaseModel, JsonValue

from core.errors import Cancelled, XaivaError
from core.files import disk_error
from core.operations import processes
from core.operations.kinds import load_function
from core.operations.model import TRACEBACK, OperationFailure, OperationState
from core.progress import Stage
from core.site import Site

STAGE_FLUSH_SECONDS = 0.1  # how often the numbers of a running stage are passed on; a new state is passed on at once
SIGTERM_SECONDS = 0.25  # from the flag to SIGTERM, which breaks off what does not look at the flag
SIGKILL_SECONDS = 0.7  # from the flag to SIGKILL: within a second it is over


class WorkerTask(BaseModel):
    """What a worker is to do."""

    site: str
    target: str
    subject: str
    options: dict[str, JsonValue]
    token: str


class WorkerOutcome(BaseModel):
    """How the work ended."""

    state: OperationState
    result: dict[str, JsonValue] | None = None
    failure: OperationFailure | None = None


class PipeProgress:
    """A `Progress` that writes to the supervisor's pipe: stages coalesced, lines at once (they may be the last)."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._lock = threading.RLock()  # a signal handler may come in the middle of a report
        self._pending: dict[str, Stage] = {}
        self._states: dict[str, str] = {}
        self._cancel = threading.Event()
        self.cancel_noticed = False  # whether the work has seen that it shall end

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
        """Raise the flag."""
        self._cancel.set()

    def flush(self) -> None:
        """Pass on the stages that wait."""
        with self._lock:
            stages, self._pending = list(self._pending.values()), {}
            self._send([{"stage": stage.model_dump(mode="json")} for stage in stages])

    def report_outcome(self, end: WorkerOutcome) -> None:
        """Say how it ended, on a line of its own even when a signal broke off the message before."""
        self.flush()
        self._write(b"\n" + json.dumps({"end": end.model_dump(mode="json")}).encode() + b"\n")

    def _send(self, messages: list[dict[str, object]]) -> None:
        self._write("".join(json.dumps(message) + "\n" for message in messages).encode())

    def _write(self, message: bytes) -> None:
        data = memoryview(message)
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._pipe, data) :]
            except OSError:
                self.cancel()  # the supervisor is gone: nobody listens any more


def main() -> None:
    """Entry point: `worker REPORT_FD CONTROL_FD`."""
    faulthandler.enable()
    report, control = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(report, False)  # our children must not hold the pipes open
    os.set_inheritable(control, False)
    control_stream = os.fdopen(control, encoding="utf-8")
    task = WorkerTask.model_validate_json(control_stream.readline())
    progress = PipeProgress(report)

    def terminated(_number: int, _frame: FrameType | None) -> None:
        progress.cancel()
        if not progress.cancel_noticed:  # else the work is ending by itself; do not disturb it
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
    end = _run_task(task, progress)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is over: the outcome must not be broken off
    progress.report_outcome(end)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads of the work do not keep the process


def _run_task(task: WorkerTask, progress: PipeProgress) -> WorkerOutcome:
    try:
        result: Mapping[str, JsonValue] = load_function(task.target)(
            Site.open(task.site), task.subject, task.options, progress
        )
        return WorkerOutcome(state=OperationState.DONE, result=dict(result))
    except Cancelled as error:
        return WorkerOutcome(state=OperationState.CANCELLED, failure=_failure(error))
    except XaivaError as error:
        return WorkerOutcome(state=OperationState.FAILED, failure=_failure(error))
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
    if progress.cancelled():  # it broke on being broken off
        return WorkerOutcome(state=OperationState.CANCELLED, failure=_failure(Cancelled()))
    why = f"{type(error).__name__}: {error}"
    return WorkerOutcome(
        state=OperationState.FAILED,
        failure=OperationFailure(
            what="An unexpected error", why=why, remedy="the log has the traceback; please report it"
        ),
    )


def _failure(error: XaivaError) -> OperationFailure:
    return OperationFailure(what=error.what, why=error.why, remedy=error.remedy, exit_code=error.exit_code)


def _end_orphaned_work(progress: PipeProgress, token: str) -> None:
    """Nobody supervises us any more: end as a cancel would, with everything we started."""
    progress.cancel()
    time.sleep(SIGTERM_SECONDS)
    processes.send_signal(processes.token_holders(token) | {os.getpid()}, signal.SIGTERM)
    time.sleep(SIGKILL_SECONDS - SIGTERM_SECONDS)
    processes.send_signal(processes.token_holders(token), signal.SIGKILL)
    os._exit(1)
