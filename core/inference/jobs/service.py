"""The jobs of a running service: requested, shown, cancelled, tried again, and put back when the service stops."""

from __future__ import annotations

import importlib.util
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

from core.api_schema import Job, JobEvent, JobFilter, JobKind, JobLog, JobPage, JobQuery, JobRequest
from core.errors import InputError, XaivaError
from core.inference.jobs.context import JobContext
from core.inference.jobs.conversion import PRIORITIES, as_job, event_of, job_of
from core.inference.jobs.job_log import JobLogReader
from core.inference.jobs.kinds import Kind, check_request
from core.inference.jobs.place import CPU, GPU, job_kinds, job_place
from core.inference.jobs.watch import JobWatch
from core.inference.models.execution_providers import select_provider
from core.inference.settings import ServiceSettings
from core.operations.ledger import Ledger
from core.operations.log import tail
from core.operations.model import Operation, OperationBusy, OperationState, StoredEvent
from core.operations.place import Place

logger = logging.getLogger(__name__)

MAX_LOG_LINES = 5000
HISTORY_ENTRIES = 500  # that are shown of one job
_PAGE = 200
_CURSOR = re.compile(r"[0-9]{1,18}")


class UnknownJob(InputError):
    """There is no job with that number."""


class JobBusy(XaivaError):
    """Another live job holds the key. `holder` is its number."""

    def __init__(self, busy: OperationBusy) -> None:
        super().__init__(busy.what, as_job(busy.why), busy.remedy)
        self.holder = busy.holder.id


class JobNotRetryable(XaivaError):
    """The job is live, or it succeeded."""


class JobService:
    """The jobs of one service. Thread-safe. Nothing is written before the first job.

    `release_ended` is called before a job is shown that has ended: its memory is free then.
    """

    def __init__(self, settings: ServiceSettings, release_ended: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._release_ended = release_ended
        self._opening = threading.Lock()
        self._opened: tuple[Place, Ledger] | None = None
        self.kinds: dict[str, Kind] = dict(job_kinds())
        self.watch = JobWatch(lambda: self.ledger, release_ended)

    @property
    def ledger(self) -> Ledger:
        """The ledger of the jobs."""
        return self._open()[1]

    @property
    def place(self) -> Place:
        """The place of the jobs."""
        return self._open()[0]

    def start(self) -> None:
        """End what has died, start what has room. An unusable ledger is logged: the cameras work without jobs."""
        try:
            self.ledger.dispatch()
        except (XaivaError, OSError) as error:
            logger.error("jobs cannot run: %s", error)
        finally:
            self.watch.start()

    def stop(self) -> None:
        """Put running jobs back into the queue, within two seconds; they continue at the next start."""
        self.watch.stop()
        try:
            self.ledger.requeue_live()
        except XaivaError as error:
            logger.error("jobs may not have stopped: %s", error)

    # -- requests -----------------------------------------------------------------------------------------------------

    def request(self, request: JobRequest, by: str = "", request_key: str = "") -> Job:
        """Start a job, or queue it. A known `request_key` starts and checks nothing: its job is returned.

        Raises InputError for what the job cannot work with, also when the key was used for another request; JobBusy
        when a live job does the same.
        """
        operation = self.ledger.with_request_key(request_key) or self._start(request, by, request_key)
        asked = (request.kind, request.subject, request.options, PRIORITIES[request.priority])
        if request_key and asked != (operation.kind, operation.subject, operation.options, operation.priority):
            why = f"job {operation.id} was started with it, by another request"
            raise InputError("Idempotency-Key", why, "use a new key for each new request")
        return self._detailed(operation)

    def _start(self, request: JobRequest, by: str, request_key: str) -> Operation:
        check_request(self.kinds, request.kind, JobContext(self._settings), request.subject, request.options)
        try:
            operation = self.ledger.start(
                request.kind,
                request.subject,
                request.options,
                key=f"{request.kind}:{request.subject}",
                priority=PRIORITIES[request.priority],
                by=by,
                request_key=request_key,
            )
        except OperationBusy as busy:
            raise JobBusy(busy) from None
        self.watch.wake()
        return operation

    def cancel(self, identifier: int, by: str = "") -> Job:
        """Cancel a job, which takes a second at most. One that has ended stays as it is. Raises UnknownJob."""
        self._find(identifier)
        operation = self.ledger.cancel(identifier, by=by)
        self.watch.wake()
        return self._detailed(operation)

    def retry(self, identifier: int, by: str = "") -> Job:
        """Start a job again that did not succeed, with its options. Raises UnknownJob, JobBusy, JobNotRetryable."""
        state = self._find(identifier).state
        try:
            if not state.live and state is not OperationState.DONE:
                operation = self.ledger.retry(identifier, by=by)
                self.watch.wake()
                return self._detailed(operation)
        except OperationBusy as busy:
            raise JobBusy(busy) from None
        except InputError as error:  # somebody else was faster
            raise JobNotRetryable(f"Job {identifier}", error.why, error.remedy) from None
        remedy = "only a job that failed, crashed or was cancelled can be started again"
        raise JobNotRetryable(f"Job {identifier}", f"it is {state.value}", remedy)

    # -- views --------------------------------------------------------------------------------------------------------

    def kind_list(self) -> list[JobKind]:
        """The kinds of jobs, by name."""
        rules = self.place.rules
        return [
            JobKind(
                kind=name,
                about=kind.about,
                subjects=kind.subjects,
                resources=list(rules[name].resources),
                options={option: value.about for option, value in kind.options.items()},
            )
            for name, kind in sorted(self.kinds.items())
        ]

    def get(self, identifier: int) -> Job:
        """A job with its stages and its history. Raises UnknownJob."""
        return self._detailed(self._find(identifier))

    def page(self, query: JobQuery) -> JobPage:
        """A page of jobs, newest first. Raises InputError for a cursor that this service did not make."""
        if query.cursor and not _CURSOR.fullmatch(query.cursor):
            raise InputError("query.cursor", "it is not one of this service", "use the `next` of the previous page")
        operations = self._select(query, int(query.cursor or 0), query.limit + 1)
        jobs = [_without_findings(job_of(operation)) for operation in operations[: query.limit]]
        return JobPage(jobs=jobs, next=str(jobs[-1].id) if len(operations) > query.limit else "")

    def all(self, query: JobFilter) -> Iterator[list[Job]]:
        """All matching jobs with their stages and history, newest first, in lists that fit into memory."""
        before = 0
        while operations := self._select(query, before, _PAGE):
            yield [self._detailed(operation) for operation in operations]
            before = operations[-1].id

    def log(self, identifier: int, offset: int, limit: int) -> JobLog:
        """Lines of a job's log from a logical offset on, at most `limit`. Raises UnknownJob."""
        live = self._find(identifier).state.live  # before reading: once it has ended, the log is complete
        with closing(self.log_reader(identifier, offset)) as reader:
            lines, following = reader.read(limit)
        return JobLog(lines=lines, next=following, end=not lines and not live)

    def log_reader(self, identifier: int, offset: int) -> JobLogReader:
        """Reads a job's log from a logical offset on."""
        return JobLogReader(self.ledger.log_path(identifier), offset)

    def last_log_lines(self, identifier: int, count: int) -> list[str]:
        """The last lines of a job's log, without times and tracebacks."""
        return tail(self.ledger.log_path(identifier), count)

    def events(self, after: int, until: int, limit: int, job: int = 0) -> list[JobEvent]:
        """Stored events with `after` < seq ≤ `until`, oldest first, of all jobs or of one."""
        events = [event for event in self.ledger.stored_events(after, limit, job) if event.seq <= until]
        identifiers = {event.operation for event in events}
        operations = {one: (self.ledger.find(one), self.ledger.final_event(one)) for one in identifiers}
        found = ((event, *operations[event.operation]) for event in events)
        return [event_of(event, operation, final) for event, operation, final in found if operation]

    def events_of(self, job: int) -> list[JobEvent]:
        """The history of one job as events, oldest first. Raises UnknownJob."""
        operation = self._find(job)
        final = self.ledger.final_event(job)
        return [event_of(event, operation, final) for event in self._history(job)]

    def _open(self) -> tuple[Place, Ledger]:
        """Opened late: to find out whether there is a GPU takes time."""
        with self._opening:
            if self._opened is None:
                place = job_place(self._settings, _device(self._settings))
                self._opened = (place, Ledger(place))
            return self._opened

    def _select(self, query: JobFilter, before: int, limit: int) -> list[Operation]:
        operations = self.ledger.page(
            kind=query.kind or "",
            state=query.state.value if query.state else None,
            subject=query.subject,
            since=query.since.timestamp() - 1e-6 if query.since else 0,  # times are shown rounded to a microsecond
            until=query.until.timestamp() if query.until else 0,
            before=before,
            limit=limit,
        )
        self._release_ended()
        return operations

    def _detailed(self, operation: Operation) -> Job:
        return job_of(operation, self.ledger.stages(operation.id), self._history(operation.id)[-HISTORY_ENTRIES:])

    def _history(self, job: int) -> list[StoredEvent]:
        events: list[StoredEvent] = []
        while more := self.ledger.stored_events(events[-1].seq if events else 0, _PAGE, job):
            events += more
        return events

    def _find(self, identifier: int) -> Operation:
        operation = self._get(identifier)
        if operation is None:
            raise UnknownJob(f"Job {identifier}", "there is no job with that number", "list them with: xaiva job list")
        return operation

    def _get(self, identifier: int) -> Operation | None:
        try:
            operation = self.ledger.get(identifier)
        except InputError:
            return None
        self._release_ended()
        return operation


def _without_findings(job: Job) -> Job:
    """The job as lists show it. They are polled, and the findings, up to hundreds, would be most of their data."""
    if not job.result:
        return job
    result = {name: value for name, value in job.result.items() if name != "findings"}
    return job.model_copy(update={"result": result})


def _device(settings: ServiceSettings) -> str:
    """What a job that computes takes for itself."""
    if importlib.util.find_spec("onnxruntime") is None:
        return CPU
    try:
        return GPU if select_provider(settings.onnx_provider).on_gpu else CPU
    except XaivaError:
        return CPU  # the provider that is set cannot run here; a job that loads a model says why
