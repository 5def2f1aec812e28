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
from core.operations.kinds import resolve
from core.operations.model import TRACEBACK, Failure, State
from core.progress import Stage
from core.site import Site

STAGE_SECONDS = 0.1  # how often the numbers of a running stage are passed on; a new state is passed on at once
GRACE_SECONDS = 0.25  # from the flag to SIGTERM, which breaks off what does not look at the flag
KILL_SECONDS = 0.7  # from the flag to SIGKILL: within a second it is over


class Task(BaseModel):
    """What a worker is to do."""

    site: str
    target: str
    subject: str
    options: dict[str, JsonValue]
    token: str


class End(BaseModel):
    """How the work ended."""

    state: State
    result: dict[str, JsonValue] | None = None
    failure: Failure | None = None


class PipeProgress:
    """A `Progress` that writes to the supervisor's pipe: stages coalesced, lines at once (they may be the last)."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._lock = threading.RLock()  # a signal handler may come in the middle of a report
        self._pending: dict[str, Stage] = {}
        self._states: dict[str, str] = {}
        self._cancel = threading.Event()
        self.noticed = False  # whether the work has seen that it shall end

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
            self.noticed = True
        return self.noticed

    def cancel(self) -> None:
        """Raise the flag."""
        self._cancel.set()

    def flush(self) -> None:
        """Pass on the stages that wait."""
        with self._lock:
            stages, self._pending = list(self._pending.values()), {}
            self._send([{"stage": stage.model_dump(mode="json")} for stage in stages])

    def end(self, end: End) -> None:
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
    told = os.fdopen(control, encoding="utf-8")
    task = Task.model_validate_json(told.readline())
    progress = PipeProgress(report)

    def terminated(_number: int, _frame: FrameType | None) -> None:
        progress.cancel()
        if not progress.noticed:  # else the work is ending by itself; do not disturb it
            progress.noticed = True
            raise Cancelled()

    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def listen() -> None:
        while told.readline():
            progress.cancel()
        _supervisor_gone(progress, task.token)

    def pass_on() -> None:
        while True:
            time.sleep(STAGE_SECONDS)
            progress.flush()

    threading.Thread(target=listen, daemon=True).start()
    threading.Thread(target=pass_on, daemon=True).start()
    end = _work(task, progress)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is over: the outcome must not be broken off
    progress.end(end)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads of the work do not keep the process


def _work(task: Task, progress: PipeProgress) -> End:
    try:
        result: Mapping[str, JsonValue] = resolve(task.target)(
            Site.open(task.site), task.subject, task.options, progress
        )
        return End(state=State.DONE, result=dict(result))
    except Cancelled as error:
        return End(state=State.CANCELLED, failure=_failure(error))
    except XaivaError as error:
        return End(state=State.FAILED, failure=_failure(error))
    except OSError as error:
        known = disk_error(error)
        return End(state=State.FAILED, failure=_failure(known)) if known else _unexpected(error, progress)
    except BaseException as error:
        return _unexpected(error, progress)


def _unexpected(error: BaseException, progress: PipeProgress) -> End:
    progress.log(traceback.format_exc().rstrip(), TRACEBACK)
    if progress.cancelled():  # it broke on being broken off
        return End(state=State.CANCELLED, failure=_failure(Cancelled()))
    why = f"{type(error).__name__}: {error}"
    return End(
        state=State.FAILED,
        failure=Failure(what="An unexpected error", why=why, remedy="the log has the traceback; please report it"),
    )


def _failure(error: XaivaError) -> Failure:
    return Failure(what=error.what, why=error.why, remedy=error.remedy, exit_code=error.exit_code)


def _supervisor_gone(progress: PipeProgress, token: str) -> None:
    """Nobody supervises us any more: end as a cancel would, with everything we started."""
    progress.cancel()
    time.sleep(GRACE_SECONDS)
    processes.send(processes.holders(token) | {os.getpid()}, signal.SIGTERM)
    time.sleep(KILL_SECONDS - GRACE_SECONDS)
    processes.send(processes.holders(token), signal.SIGKILL)
    os._exit(1)
