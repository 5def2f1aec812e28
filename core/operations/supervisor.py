"""The supervisor process of one attempt at an operation: ends with its outcome, or puts it back into the queue.

It does no work of its own. When the attempt has ended, it starts the operations that waited for its resources; one that
is to be tried again has none in the meantime.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time

from core.errors import XaivaError
from core.files import TEMPORARY_PREFIX
from core.operations import dispatcher, processes
from core.operations.attempt import CANCEL_POLL_SECONDS, Attempt
from core.operations.endings import STOPPED_EVENT
from core.operations.lease import Lease, acquire_lease
from core.operations.log import LogWriter
from core.operations.model import OperationFailure, OperationState
from core.operations.place import Place, open_place
from core.operations.retries import AttemptEnd, NextStep, next_step, pause_before


def main() -> None:
    """Entry point: `supervisor OPENER ROOT ID TOKEN`."""
    opener, root, number, token = sys.argv[1:5]
    identifier = int(number)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A cancel may arrive before there is a worker: its flag is read later. This is a handler and not SIG_IGN because
    # the worker would inherit an ignored signal.
    signal.signal(signal.SIGTERM, lambda *_: None)
    place = open_place(opener, root)
    temporary = _temporary_folder(identifier)
    lease, error_text = None, ""
    try:
        lease = acquire_lease(place, identifier, token, temporary)
    except XaivaError as error:
        error_text = str(error)
    if lease is None:  # it was cancelled in the meantime, or the ledger cannot be written: then stderr says why
        os.rmdir(temporary)
        sys.exit(error_text or None)
    processes.become_subreaper()
    Supervisor(place, lease).run()


class Supervisor:
    """One attempt, from its start until its outcome is written or the operation is in the queue again."""

    def __init__(self, place: Place, lease: Lease) -> None:
        self._place = place
        self._lease = lease
        self._log = LogWriter(place.operation_file(lease.id, ".log"), place.log_limit)

    def run(self) -> None:
        """Try once, write what follows, and start what waited for the resources."""
        place, lease = self._place, self._lease
        if lease.attempt > 1:
            self._log.write([("", f"-- attempt {lease.attempt} --")])
        end = Attempt(place, lease, self._log).run()
        signal.signal(signal.SIGTERM, lambda *_: None)  # nothing may interrupt the report of the outcome
        step = next_step(place.rule(lease.kind), end, lease.requests(), lease.failures, lease.crashes)
        # A fenced attempt no longer holds the key: another operation may be working there.
        place.clean_up(lease.key if lease.renew() else "", lease.temporary)
        if step is NextStep.TRY_AGAIN:
            self._try_again(end)
            return
        self._log.close()
        if step is NextStep.END:
            lease.finish(end.outcome.state, end.outcome.result, end.outcome.failure)
        elif not lease.back_to_queue(STOPPED_EVENT):
            self._finish_cancelled(end)
        if step is NextStep.END:  # otherwise the service or the machine is going down
            self._dispatch()
        if end.lost:  # last, because the engine may be slow to answer
            place.remove_helpers()

    def _try_again(self, end: AttemptEnd) -> None:
        """Put the operation back into the queue, and start it after a pause, unless another process does so."""
        if end.lost:
            self._place.remove_helpers()
        seconds = pause_before(self._place.rule(self._lease.kind), self._lease.failures + 1)
        what = f"attempt {self._lease.attempt} failed: {_reason(end)}; tried again in {seconds:.2g} s"
        self._log.write([("", what)])
        self._log.close()
        crashed = end.outcome.state is OperationState.CRASHED
        if not self._lease.back_to_queue(what, seconds, failed=True, crashed=crashed):
            self._finish_cancelled(end)
            seconds = 0.0
        self._dispatch()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing depends on this process any more
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self._lease.waits():
            time.sleep(min(left, CANCEL_POLL_SECONDS))
        if seconds:
            self._dispatch()

    def _finish_cancelled(self, end: AttemptEnd) -> None:
        """End an operation whose cancel came after its attempt had ended. Of a fenced attempt nothing changes."""
        why = f"attempt {self._lease.attempt} had ended: {_reason(end)}"
        failure = OperationFailure(what=f"{self._lease.title} was cancelled", why=why, exit_code=130)
        self._lease.finish(OperationState.CANCELLED, None, failure)

    def _dispatch(self) -> None:
        with contextlib.suppress(XaivaError):  # the next reader of the ledger starts what has room
            dispatcher.dispatch(self._place)


def _reason(end: AttemptEnd) -> str:
    return end.outcome.failure.headline if end.outcome.failure else end.outcome.state.value


def _temporary_folder(identifier: int) -> str:
    return tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}operation-{identifier}-")
