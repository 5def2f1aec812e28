"""The supervisor process of one operation: attempt after attempt, until one of them is final or the queue has it back.

It does no work of its own. When it ends, it starts the operations that waited for its resources.
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
from core.operations.attempt import CANCEL_POLL_SECONDS, LEASE_RENEW_SECONDS, Attempt
from core.operations.endings import STOPPED_EVENT
from core.operations.lease import Lease, acquire_lease
from core.operations.log import LogWriter
from core.operations.model import OperationFailure, OperationState
from core.operations.place import Place, open_place
from core.operations.queue import QueueRule
from core.operations.retries import AttemptEnd, NextStep, next_step, pause_before
from core.operations.worker import WorkerOutcome


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
    """One operation, from its first attempt until its outcome is written or it is in the queue again."""

    def __init__(self, place: Place, lease: Lease) -> None:
        self._place = place
        self._lease = lease
        self._log = LogWriter(place.operation_file(lease.id, ".log"), place.log_limit)
        self._terminated = False  # SIGTERM while no attempt ran
        self._stopped = False  # it went back into the queue

    def run(self) -> None:
        """Try until an attempt is final, write the outcome, and start what waited for the resources."""
        while True:
            if self._lease.attempt > 1:
                self._log.write([("", f"-- attempt {self._lease.attempt} --")])
            end = Attempt(self._place, self._lease, self._log).run()
            signal.signal(signal.SIGTERM, self._remember_sigterm)
            if not self._tries_again(end):
                break
        if not self._stopped:  # otherwise the service or the machine is going down
            with contextlib.suppress(XaivaError):  # the next reader of the ledger starts it
                dispatcher.dispatch(self._place)
        if end.lost:  # last, because the engine may be slow to answer
            self._place.remove_helpers()

    def _remember_sigterm(self, *_: object) -> None:
        self._terminated = True

    def _tries_again(self, end: AttemptEnd) -> bool:
        """Do what follows an attempt; True when the next one has begun."""
        lease, rule = self._lease, self._place.rule(self._lease.kind)
        step = next_step(rule, end, lease.requests(), lease.failures, lease.crashes)
        # A fenced attempt no longer holds the key: another operation may be working there.
        self._place.clean_up(lease.key if lease.renew() else "", lease.temporary)
        if step is NextStep.TRY_AGAIN:
            if self._pause(end, rule) and lease.begin_next_attempt(_temporary_folder(lease.id)):
                return True
            end = self._interrupted_pause(end)
            step = NextStep.END if lease.requests().cancel else NextStep.QUEUE
        self._log.close()
        self._stopped = step is NextStep.QUEUE
        if self._stopped:
            lease.back_to_queue(STOPPED_EVENT)
        else:
            lease.finish(end.outcome.state, end.outcome.result, end.outcome.failure)
        return False

    def _pause(self, end: AttemptEnd, rule: QueueRule) -> bool:
        """Wait before the next attempt; False when somebody asks in the meantime to end."""
        seconds = pause_before(rule, self._lease.failures + 1)
        what = f"attempt {self._lease.attempt} failed: {_reason(end)}; tried again in {seconds:.2g} s"
        self._log.write([("", what)])
        if not self._lease.begin_pause(what, crashed=end.outcome.state is OperationState.CRASHED):
            return False
        if end.lost:
            self._place.remove_helpers()
        return self._wait(seconds)

    def _wait(self, seconds: float) -> bool:
        until, renew = time.monotonic() + seconds, 0.0
        while (now := time.monotonic()) < until:
            if now >= renew:
                renew = now + LEASE_RENEW_SECONDS
                if not self._lease.renew():
                    return False
            if self._terminated or self._lease.requests().any:
                return False
            time.sleep(min(CANCEL_POLL_SECONDS / 2, until - now))
        return True

    def _interrupted_pause(self, end: AttemptEnd) -> AttemptEnd:
        failure = OperationFailure(
            what=f"{self._lease.title} was cancelled",
            why=f"it waited to be tried again; attempt {self._lease.attempt} had failed: {_reason(end)}",
            exit_code=130,
        )
        return AttemptEnd(WorkerOutcome(state=OperationState.CANCELLED, failure=failure))


def _reason(end: AttemptEnd) -> str:
    return end.outcome.failure.headline if end.outcome.failure else end.outcome.state.value


def _temporary_folder(identifier: int) -> str:
    return tempfile.mkdtemp(prefix=f"{TEMPORARY_PREFIX}operation-{identifier}-")
