"""Downloads many files in parallel: ranges, resume, back-off, a limit per host, a final SHA-256."""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

import urllib3

from core.artifacts.http_responses import (
    MAX_WAIT_SECONDS,
    NETWORK_REMEDY,
    explain_connection_error,
    remedy_for_status,
    retry_after,
    total_size,
)
from core.artifacts.network import Network
from core.artifacts.partial_download import PartialDownload, Piece, single_piece
from core.content import HEAD_BYTES, WrongContent, recognise
from core.errors import Cancelled, XaivaError
from core.progress import Progress
from core.redaction import redact_address
from core.site import SyncSettings

READ_BYTES = 256 << 10
FIRST_RETRY_SECONDS = 0.5  # before the second attempt; doubled each time
PROGRESS_BYTES = 1 << 20  # an attempt that received so much resets the count of attempts
RETRY_STATUSES = (408, 425, 429, 500, 502, 503, 504)
THREAD_STOP_SECONDS = 0.5  # threads get so long to notice that they should stop


@dataclass(order=True)
class _Task:
    """A piece to fetch, not before `when` (monotonic seconds)."""

    when: float
    order: int
    partial: PartialDownload = field(compare=False)
    piece: Piece = field(compare=False)
    generation: int = field(compare=False)
    attempt: int = field(default=0, compare=False)
    host: str = field(default="", compare=False)  # of its queue; the file may have switched to another URL since


class _Failure(Exception):
    """`wait` is the server's `Retry-After` in seconds."""

    def __init__(self, why: str, remedy: str = NETWORK_REMEDY, wait: float = 0) -> None:
        super().__init__(why)
        self.remedy = remedy
        self.wait = wait


class _PermanentFailure(_Failure):
    """This URL cannot provide the file; a retry is pointless."""


class _TransientFailure(_Failure):
    """A retry may succeed."""


class _Superseded(Exception):
    """The file was restarted, and its pieces are queued again."""


class Downloader:
    """Fetches files with `connections` threads. For a single call of `fetch`."""

    def __init__(self, network: Network, settings: SyncSettings, progress: Progress) -> None:
        self._network = network
        self._settings = settings
        self._progress = progress
        self._ready = threading.Condition()
        self._counting = threading.Lock()
        self._queues: dict[str, list[_Task]] = {}
        self._busy: dict[str, int] = {}
        self._order = 0
        self._pending: set[PartialDownload] = set()
        self._finishing: set[PartialDownload] = set()  # complete; one thread checks them and puts them in place
        self._active: dict[PartialDownload, int] = {}
        self._stopping = False
        self._fatal: BaseException | None = None
        self.failures: list[XaivaError] = []
        self.resumed = self.received = 0  # bytes
        self.arrived: list[PartialDownload] = []

    def fetch(self, partials: list[PartialDownload], tick: Callable[[], None]) -> None:
        """Fetch all files, calling `tick` in this thread five times a second; `failures` has those that failed.

        Raises Cancelled, and OSError when the disk is full; the parts on disk are kept for the next sync.
        """
        self.resumed = sum(partial.done for partial in partials)
        self._pending = set(partials)
        for partial in sorted(partials, key=lambda partial: -partial.file.size):
            self._enqueue(partial)
        hosts = {partial.host for partial in partials}
        count = min(self._settings.connections, self._settings.per_host * len(hosts))
        threads = [threading.Thread(target=self._work, daemon=True, name=f"fetch-{n}") for n in range(count)]
        for thread in threads:
            thread.start()
        try:
            while self._wait_for_change():
                if self._progress.cancelled():
                    raise Cancelled()
                tick()
        finally:
            self._stop(threads)
            for partial in partials:
                partial.close()
        if self._fatal is not None:
            raise self._fatal

    def in_flight(self) -> list[PartialDownload]:
        with self._ready:
            return list(self._active)

    def _wait_for_change(self) -> bool:
        with self._ready:
            if self._pending and not self._stopping:
                self._ready.wait(0.2)
            return bool(self._pending) and not self._stopping

    def _stop(self, threads: list[threading.Thread]) -> None:
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
        self._network.close()
        deadline = time.monotonic() + THREAD_STOP_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _enqueue(self, partial: PartialDownload) -> None:
        """Queue the missing pieces: a single one until the server has shown that it supports ranges."""
        with self._ready:
            missing = [piece for piece in partial.pieces if not piece.complete] or partial.pieces[:1]
            for piece in missing if partial.ranged else missing[:1]:
                self._push(_Task(0.0, 0, partial, piece, partial.generation))

    def _push(self, task: _Task) -> None:
        self._order += 1
        task.order = self._order
        task.host = task.partial.host
        heapq.heappush(self._queues.setdefault(task.host, []), task)
        self._ready.notify_all()

    def _next_task(self) -> _Task | None:
        """The next piece that is due and whose host has a free connection; None to stop."""
        with self._ready:
            while not self._stopping and self._pending:
                now, soonest = time.monotonic(), 1.0
                for host, queue in self._queues.items():
                    if not queue or self._busy.get(host, 0) >= self._settings.per_host:
                        continue
                    if queue[0].when > now:
                        soonest = min(soonest, queue[0].when - now)
                        continue
                    self._busy[host] = self._busy.get(host, 0) + 1
                    task = heapq.heappop(queue)
                    self._active[task.partial] = self._active.get(task.partial, 0) + 1
                    task.partial.started = task.partial.started or time.time()
                    return task
                self._ready.wait(soonest)
        return None

    def _work(self) -> None:
        while (task := self._next_task()) is not None:
            try:
                self._fetch_piece(task)
            except BaseException as error:  # `fetch` raises it
                self._abort(error)
            finally:
                with self._ready:
                    self._busy[task.host] -= 1
                    self._active[task.partial] -= 1
                    if not self._active[task.partial]:
                        del self._active[task.partial]
                    self._ready.notify_all()

    def _fetch_piece(self, task: _Task) -> None:
        piece, done_before = task.piece, task.piece.done
        try:
            if not task.piece.complete and task.generation == task.partial.generation:
                self._transfer(task)
        except _Superseded:
            return
        except _PermanentFailure as refused:
            self._try_next_url(task.partial, task.generation, str(refused), refused.remedy)
        except (_TransientFailure, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
            failure = (
                error if isinstance(error, _TransientFailure) else _TransientFailure(*explain_connection_error(error))
            )
            self._retry_later(task, failure, task.piece.done - (done_before if task.piece is piece else 0))
        except OSError as error:
            self._abort(error.with_traceback(None))  # the traceback would keep the file open
        else:
            self._piece_done(task)

    def _abort(self, error: BaseException) -> None:
        with self._ready:
            if not self._stopping:
                self._fatal = error
                self._stopping = True
            self._ready.notify_all()

    def _transfer(self, task: _Task) -> None:
        partial, piece = task.partial, task.piece
        start = piece.start + piece.done
        url = partial.urls[0]
        headers = self._credentials(partial, url)
        if start or piece.end < partial.file.size:
            headers["Range"] = f"bytes={start}-{piece.end - 1}"
            if partial.etag:
                headers["If-Range"] = partial.etag
        response = self._network.request("GET", url, headers)
        finished = False
        try:
            self._check_response(task, response, "Range" in headers)
            finished = self._receive(task, response)
        finally:
            self._network.release(response, finished)

    def _credentials(self, partial: PartialDownload, url: str) -> dict[str, str]:
        try:
            return self._network.credentials(partial.file, url)
        except XaivaError as error:
            raise _PermanentFailure(error.why, error.remedy) from error

    def _check_response(self, task: _Task, response: urllib3.BaseHTTPResponse, asked_range: bool) -> None:
        """Check status and headers. If the response is the whole file, the task continues with the whole file.

        Raises _PermanentFailure, _TransientFailure, _Superseded.
        """
        partial, piece, status, url = task.partial, task.piece, response.status, task.partial.urls[0]
        if task.generation != partial.generation:
            raise _Superseded()
        if status in RETRY_STATUSES:
            raise _TransientFailure(f"the server answers {status}", remedy_for_status(status), retry_after(response))
        if status == 416:
            self._start_over(task, single_piece(partial.file.size))
        if status not in (200, 206):
            raise _PermanentFailure(f"the server answers {status}", remedy_for_status(status))
        etag = response.headers.get("etag", "")
        etag = "" if etag.startswith("W/") else etag  # a weak ETag does not promise the same bytes
        total = total_size(response)
        if total is not None and total != partial.file.size:
            placeholder = recognise(response.read(HEAD_BYTES, decode_content=False), total, partial.file.path)
            if placeholder is not None and piece.start + piece.done == 0:
                raise _PermanentFailure(
                    f"{placeholder.description}: {total} bytes instead of {partial.file.size}", placeholder.remedy(url)
                )
            raise _PermanentFailure(
                f"the server now has {total} bytes instead of {partial.file.size}",
                "the file was replaced at its origin; lock again, or set a mirror that has the old one",
            )
        if status == 200:
            if asked_range:  # the server has no ranges, or the file has changed
                self._restart(task, single_piece(partial.file.size), "the server cannot resume the download")
            partial.etag = etag
            return
        if not asked_range or not (response.headers.get("content-range") or "").startswith(
            f"bytes {piece.start + piece.done}-"
        ):
            raise _TransientFailure("the server sent a different range than requested")
        if partial.etag and etag and etag != partial.etag:
            self._start_over(task, None)
        partial.etag = partial.etag or etag
        if not partial.ranged and len(partial.pieces) > 1:
            partial.ranged = True
            self._queue_others(partial, piece, task.generation)

    def _restart(self, task: _Task, pieces: list[Piece] | None, why: str) -> None:
        """Start over with the first piece. Raises _Superseded when another task has done so already."""
        if not task.partial.restart(task.generation, pieces):
            raise _Superseded()
        self._progress.log(f"{task.partial.file.path}: starting over: {why}")
        task.generation += 1
        task.piece = task.partial.pieces[0]

    def _start_over(self, task: _Task, pieces: list[Piece] | None) -> NoReturn:
        """Start over because the server's copy has changed, and queue all pieces again."""
        self._restart(task, pieces, "the server's copy has changed")
        self._enqueue(task.partial)
        raise _Superseded()

    def _queue_others(self, partial: PartialDownload, first: Piece, generation: int) -> None:
        with self._ready:
            for piece in partial.pieces:
                if piece is not first and not piece.complete:
                    self._push(_Task(0.0, 0, partial, piece, generation))

    def _receive(self, task: _Task, response: urllib3.BaseHTTPResponse) -> bool:
        """Write the data as it arrives, without waiting for full blocks; whether the piece is complete."""
        piece = task.piece
        while data := response.read1(READ_BYTES, decode_content=False):
            if self._stopping:
                return False
            if len(data) > piece.end - piece.start - piece.done:
                raise _TransientFailure("the server sent more than requested")
            if not task.partial.write(task.generation, piece, data):
                return False
            with self._counting:
                self.received += len(data)
        if not piece.complete:
            if response.status == 200 and (placeholder := task.partial.placeholder(piece.done)):
                raise _PermanentFailure(placeholder.description, placeholder.remedy(task.partial.urls[0]))
            raise _TransientFailure("the connection ended early")
        return True

    def _piece_done(self, task: _Task) -> None:
        partial = task.partial
        if self._stopping or task.generation != partial.generation:
            return
        partial.hash_contiguous()
        with self._ready:
            current = partial in self._pending and partial.generation == task.generation
            if not current or not partial.complete or partial in self._finishing:
                return
            self._finishing.add(partial)
        try:
            good = partial.finish()
        except OSError as error:
            self._abort(error.with_traceback(None))
            return
        except WrongContent as error:  # the locked content itself is wrong, whatever the URL
            partial.discard()
            self._give_up(partial, error)
            return
        with self._ready:
            self._finishing.discard(partial)
            if good:
                self._pending.discard(partial)
                self.arrived.append(partial)
                self._ready.notify_all()
                return
        self._handle_hash_mismatch(task)

    def _handle_hash_mismatch(self, task: _Task) -> None:
        """The SHA-256 differs from the lock: start over once, then use the next URL, then give up."""
        partial = task.partial
        placeholder = partial.placeholder(partial.file.size)
        if not partial.restart(task.generation):
            return
        if placeholder is not None:
            why = f"{placeholder.description}; its SHA-256 differs from the locked one"
            self._try_next_url(partial, task.generation + 1, why, placeholder.remedy(partial.urls[0]))
            return
        partial.restarts += 1
        why = f"its content at {partial.host} is not the locked one (SHA-256 differs)"
        self._progress.log(f"{partial.file.path}: {why}")
        if partial.restarts % 2:
            self._enqueue(partial)
        else:
            remedy = "the origin or a proxy on the way changed the file; lock again"
            self._try_next_url(partial, task.generation + 1, why, remedy)

    def _try_next_url(self, partial: PartialDownload, generation: int, why: str, remedy: str) -> None:
        """Switch to the next URL, or give up; no effect when the file was restarted since `generation`."""
        with self._ready:
            if partial not in self._pending or generation != partial.generation:
                return
            tried = partial.urls[0]
            if len(partial.urls) > 1:
                if not partial.restart(generation):
                    return
                partial.urls.pop(0)
                self._progress.log(
                    f"{partial.file.path}: {why} at {redact_address(tried)}; trying {redact_address(partial.urls[0])}"
                )
                self._enqueue(partial)
                return
            self._give_up(partial, XaivaError(f"{partial.file.path} from {redact_address(tried)}", why, remedy))

    def _give_up(self, partial: PartialDownload, failure: XaivaError) -> None:
        with self._ready:
            self._pending.discard(partial)
            self.failures.append(failure)
            self._ready.notify_all()

    def _retry_later(self, task: _Task, failure: _TransientFailure, gained: int) -> None:
        if self._stopping or task.generation != task.partial.generation:
            return
        attempt = 0 if gained >= PROGRESS_BYTES else task.attempt + 1
        if attempt > self._settings.retries:
            remedy = f"{failure.remedy}; the downloaded part is kept, and the next sync continues from there"
            self._try_next_url(task.partial, task.generation, f"{failure}, {attempt} times", remedy)
            return
        pause = max(
            failure.wait,
            min(MAX_WAIT_SECONDS, FIRST_RETRY_SECONDS * 2 ** max(0, attempt - 1)) * random.uniform(0.5, 1.0),
        )
        self._progress.log(f"{task.partial.file.path}: {failure}; retrying in {pause:.1f} s")
        with self._ready:
            when = time.monotonic() + pause
            self._push(_Task(when, 0, task.partial, task.piece, task.generation, attempt))
