"""One attempt at an operation, in its supervisor: starts the worker, keeps what it reports, and says how it ended.

This process does no work of its own. So whatever happens to the worker (out of memory, a crash in native code, a child
that ignores SIGTERM, a loop without end), the ledger gets the true outcome.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time

from core.operations import processes
from core.operations.lease import LEASE_SECONDS, Lease
from core.operations.log import LogWriter
from core.operations.model import LAST_OUTPUT, OperationFailure, OperationState
from core.operations.place import Place
from core.operations.retries import AttemptEnd
from core.operations.spawn import interpreter_command
from core.operations.worker import SIGKILL_SECONDS, SIGTERM_SECONDS, WorkerOutcome, WorkerTask
from core.progress import Stage, StageState
from core.redaction import redact_text

CANCEL_POLL_SECONDS = 0.25  # how often the cancel flag is read, in case the signal that wakes us gets lost
STAGE_WRITE_SECONDS = 0.1
LEASE_RENEW_SECONDS = LEASE_SECONDS / 5
CRASH_OUTPUT_LINES = 12
MAX_SILENT_STEP = 1.0  # seconds between two looks at the worker that count as its silence at most
READ_SIZE = 1 << 16


class Attempt:
    """One attempt at one operation, from the start of its worker until nothing of it is left."""

    def __init__(self, place: Place, lease: Lease, log: LogWriter) -> None:
        self._place = place
        self._lease = lease
        self._log = log
        self._rule = place.rule(lease.kind)
        self._selector = selectors.DefaultSelector()
        self._buffers: dict[str, bytes] = {"report": b"", "output": b""}
        self._stages: dict[str, Stage] = {}
        self._unsaved_stages: set[str] = set()
        self._last_output: list[str] = []
        self._worker_outcome: WorkerOutcome | None = None
        self._exit_status: int | None = None  # the worker's wait status
        self._cancelled_at: float | None = None
        self._fenced = False
        self._sigterm_sent = False
        self._silent_for = 0.0  # seconds since the worker's last report or output
        self._looked = time.monotonic()
        self._killed_for_silence = False

    def run(self) -> AttemptEnd:
        """Supervise until the worker and all its descendants are gone; returns how it ended."""
        self._start_worker()
        self._wake_on_signals()
        renew = flush = flag = 0.0
        while self._exit_status is None:
            for key, _ in self._selector.select(self._poll_timeout()):
                self._read(key.data, key.fd)
            now = time.monotonic()
            self._reap()
            if now >= renew:
                renew = now + LEASE_RENEW_SECONDS
                self._fenced = self._fenced or not self._lease.renew()
            if now >= flag:
                flag = now + CANCEL_POLL_SECONDS
                if self._fenced or self._lease.requests().any:
                    self._cancel()
            if self._unsaved_stages and now >= flush:
                flush = now + STAGE_WRITE_SECONDS
                self._write_stages()
            self._escalate()
            self._watch_silence(now)
        self._end_remaining_processes()
        self._read_the_rest()
        outcome = self._outcome()
        self._close_stages(outcome.state)
        self._close()
        return AttemptEnd(
            outcome=outcome, lost=self._worker_outcome is None, interrupted=self._cancelled_at is not None
        )

    # -- the worker -------------------------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        report, report_end = os.pipe()
        control_end, self._control = os.pipe()
        output, output_end = os.pipe()
        self._open_ends = [self._control]
        title = f"{self._lease.id} ({self._lease.title})"
        # Kept as an attribute: a Popen that is garbage-collected would take the exit status.
        self._worker = subprocess.Popen(
            interpreter_command("core.operations.worker", str(report_end), str(control_end)),
            stdin=subprocess.DEVNULL,
            stdout=output_end,
            stderr=output_end,
            pass_fds=(report_end, control_end),
            env={
                **os.environ,
                "TMPDIR": self._lease.temporary,
                processes.OPERATION_REQUEST_VARIABLE: self._lease.request,
                processes.OPERATION_TITLE_VARIABLE: title,
            },
            start_new_session=True,
        )
        for end in (report_end, control_end, output_end):
            os.close(end)
        task = WorkerTask(
            opener=self._place.opener,
            root=os.fspath(self._place.root),
            target=self._lease.target,
            subject=self._lease.subject,
            options=self._lease.options,
            token=self._lease.token,
            niceness=self._rule.niceness,
        )
        with contextlib.suppress(BrokenPipeError):
            os.write(self._control, task.model_dump_json().encode() + b"\n")
        for name, end in (("report", report), ("output", output)):
            os.set_blocking(end, False)
            self._selector.register(end, selectors.EVENT_READ, name)
            self._open_ends.append(end)

    def _wake_on_signals(self) -> None:
        """Make SIGCHLD and SIGTERM (sent by a cancel, or when the machine shuts down) end the wait at once."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        self._open_ends += [reader, writer]
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._cancel())
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, "signal")

    def _reap(self) -> None:
        """Collect the exit status of the worker and of orphans that were re-parented to this process."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._worker.pid:
                    self._exit_status = ended[1]

    # -- what the worker reports ------------------------------------------------------------------------------------

    def _read(self, name: str, handle: int) -> bool:
        """Read at most one buffer from a pipe; False when it is empty or closed."""
        try:
            data = os.read(handle, READ_SIZE)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(handle)
            return False
        if name == "signal":
            return True
        self._silent_for = 0.0
        *lines, self._buffers[name] = (self._buffers[name] + data).split(b"\n")
        if name == "report":
            self._handle_reports(lines)
        elif len(self._buffers[name]) > READ_SIZE:  # split a line that does not end, so that the buffer stays small
            lines.append(self._buffers[name])
            self._buffers[name] = b""
        if name == "output":
            self._handle_output(lines)
        return True

    def _handle_reports(self, lines: list[bytes]) -> None:
        rows: list[tuple[str, str]] = []
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:  # a signal interrupted the worker while it wrote this message
                continue
            if "log" in message:
                stage, text = message["log"]
                rows.append((stage, redact_text(text)))
            elif "stage" in message:
                stage = Stage.model_validate(message["stage"])
                self._stages[stage.id] = stage.model_copy(update={"detail": redact_text(stage.detail)})
                self._unsaved_stages.add(stage.id)
            else:
                self._worker_outcome = WorkerOutcome.model_validate(message["end"])
        if rows:
            self._log.write(rows)

    def _handle_output(self, lines: list[bytes]) -> None:
        texts = [redact_text(line.decode(errors="replace")) for line in lines]
        if texts:
            self._last_output = (self._last_output + texts)[-CRASH_OUTPUT_LINES:]
            self._log.write([("", text) for text in texts])

    def _write_stages(self) -> None:
        if self._lease.write_stages([stage for stage in self._stages.values() if stage.id in self._unsaved_stages]):
            self._unsaved_stages.clear()

    # -- the end of the worker --------------------------------------------------------------------------------------

    def _cancel(self) -> None:
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            with contextlib.suppress(OSError):
                os.write(self._control, b"cancel\n")

    def _escalate(self) -> None:
        """After the cancel flag: send SIGTERM to all descendants, then SIGKILL until none is left."""
        if self._cancelled_at is None:
            return
        waited = time.monotonic() - self._cancelled_at
        if waited >= SIGKILL_SECONDS:
            processes.send_signal(self._remaining_processes(), signal.SIGKILL)
        elif waited >= SIGTERM_SECONDS and not self._sigterm_sent and self._worker_outcome is None:
            self._sigterm_sent = True
            processes.send_signal(self._remaining_processes(), signal.SIGTERM)

    def _remaining_processes(self) -> set[int]:
        return processes.descendants(os.getpid()) | processes.token_holders(self._lease.token)

    def _poll_timeout(self) -> float:
        """How many seconds the loop may sleep."""
        if self._cancelled_at is not None and time.monotonic() - self._cancelled_at < 2 * SIGKILL_SECONDS:
            return 0.05
        return STAGE_WRITE_SECONDS if self._unsaved_stages else CANCEL_POLL_SECONDS

    def _watch_silence(self, now: float) -> None:
        """Kill work that has not reported anything for too long. It is not asked: it may not be able to answer.

        Time in which this process stood still as well, such as in a paused container, does not count.
        """
        self._silent_for += min(now - self._looked, MAX_SILENT_STEP)
        self._looked = now
        if self._rule.silence and self._silent_for >= self._rule.silence:
            self._killed_for_silence = True
            processes.send_signal(self._remaining_processes(), signal.SIGKILL)

    def _end_remaining_processes(self) -> None:
        """Kill what the worker left running. A process that hangs in the kernel keeps the key taken until it ends."""
        pause = 0.01
        while remaining := self._remaining_processes():
            processes.send_signal(remaining, signal.SIGKILL)
            self._reap()
            self._lease.renew()
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _read_the_rest(self) -> None:
        for key in list(self._selector.get_map().values()):
            while key.data != "signal" and self._read(key.data, key.fd):
                pass
        if self._buffers["output"]:
            self._handle_output([self._buffers["output"]])

    def _close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._selector.close()
        for end in self._open_ends:
            os.close(end)

    def _outcome(self) -> WorkerOutcome:
        # Do not trust the report of work whose child processes we have terminated: it may not have noticed.
        if self._worker_outcome is not None and (
            self._worker_outcome.state is OperationState.CANCELLED or not self._sigterm_sent
        ):
            failure = self._worker_outcome.failure
            if failure is None:
                return self._worker_outcome
            if self._worker_outcome.state is OperationState.CANCELLED:
                failure = failure.model_copy(update={"what": f"{self._lease.title} was cancelled"})
            redacted = {name: redact_text(getattr(failure, name)) for name in ("what", "why", "remedy")}
            return self._worker_outcome.model_copy(update={"failure": failure.model_copy(update=redacted)})
        title = self._lease.title
        if self._cancelled_at is not None:
            failure = OperationFailure(
                what=f"{title} was cancelled", why="it did not stop by itself and was killed", exit_code=130
            )
            return WorkerOutcome(state=OperationState.CANCELLED, failure=failure)
        if self._killed_for_silence:
            failure = OperationFailure(
                what=f"{title} was killed",
                why=f"no sign of progress for {self._rule.silence:g} s",
                remedy=f"look at the end of its log, then start it again: {self._place.command} retry {self._lease.id}",
            )
            return WorkerOutcome(state=OperationState.FAILED, failure=failure, transient=True)
        last_output = "\n".join(self._last_output)
        failure = OperationFailure(
            what=f"{title} crashed",
            why=_describe_exit(self._exit_status or 0) + (LAST_OUTPUT + last_output if last_output else ""),
            remedy=f"start it again; it continues from what is complete: {self._place.command} retry {self._lease.id}",
        )
        self._log.write([("", failure.what), *(("", line) for line in failure.why.split("\n")[:1])])
        return WorkerOutcome(state=OperationState.CRASHED, failure=failure)

    def _close_stages(self, state: OperationState) -> None:
        """Mark stages that were still running when the work ended as failed or cancelled."""
        if state is not OperationState.DONE:
            ended = StageState.CANCELLED if state is OperationState.CANCELLED else StageState.FAILED
            for stage in self._stages.values():
                if stage.state is StageState.RUNNING:
                    closed = stage.model_copy(update={"state": ended, "ended": stage.ended or time.time()})
                    self._stages[stage.id] = closed
                    self._unsaved_stages.add(stage.id)
        self._write_stages()


def _describe_exit(status: int) -> str:
    if not os.WIFSIGNALED(status):
        return f"its process ended with exit code {os.waitstatus_to_exitcode(status)} without reporting an outcome"
    number = os.WTERMSIG(status)
    name = signal.Signals(number).name
    if number == signal.SIGKILL:
        return f"its process was killed ({name}), usually by the kernel because memory ran out (see: dmesg)"
    return f"its process died of {name}"
