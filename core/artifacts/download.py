"""Downloads many files in parallel: ranges, resume, back-off, a limit per host, SHA-256 at the end."""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

import urllib3

from core.artifacts.answers import LONGEST_WAIT, NETWORK_REMEDY, remedy_for, retry_after, total_size, why_silent
from core.artifacts.network import Network
from core.artifacts.partial import Partial, Piece, whole
from core.content import HEAD, WrongContent, recognise
from core.errors import Cancelled, XaivaError
from core.progress import Progress
from core.redaction import redact_address
from core.site import SyncSettings

READ = 256 << 10
FIRST_WAIT = 0.5  # seconds before the second attempt; doubled each time
ENOUGH_BYTES = 1 << 20  # an attempt that brought so much was no failure: the count of attempts starts again
TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
LEAVE_SECONDS = 0.5  # how long threads may take to notice that they should stop


@dataclass(order=True)
class _Task:
    """One piece to fetch, not before `when` (monotonic seconds)."""

    when: float
    order: int
    partial: Partial = field(compare=False)
    piece: Piece = field(compare=False)
    generation: int = field(compare=False)
    attempt: int = field(default=0, compare=False)
    host: str = field(default="", compare=False)  # whose queue it waits in: the file may have another address by then


class _Refused(Exception):
    """This URL will not give the file, however often it is asked."""

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.remedy = remedy


class _Passing(Exception):
    """It failed this time; `wait` is what the server asks for, in seconds."""

    def __init__(self, why: str, remedy: str = NETWORK_REMEDY, wait: float = 0) -> None:
        super().__init__(why)
        self.remedy = remedy
        self.wait = wait


class _Superseded(Exception):
    """The piece is no longer wanted; the file is queued anew."""


class Downloader:
    """Fetches files with `connections` threads. One use: `fetch`, then throw it away."""

    def __init__(self, network: Network, settings: SyncSettings, progress: Progress) -> None:
        self._network = network
        self._settings = settings
        self._progress = progress
        self._ready = threading.Condition()
        self._counting = threading.Lock()
        self._queues: dict[str, list[_Task]] = {}
        self._busy: dict[str, int] = {}
        self._order = 0
        self._left: set[Partial] = set()
        self._finishing: set[Partial] = set()  # all of them is there; one thread checks it and puts it in its place
        self._active: dict[Partial, int] = {}
        self._stopping = False
        self._fatal: BaseException | None = None
        self.failures: list[XaivaError] = []
        self.resumed = 0
        self.received = 0
        self.arrived: list[Partial] = []

    def fetch(self, partials: list[Partial], tick: Callable[[], None]) -> None:
        """Fetch all; calls `tick` in this thread five times a second. Files that failed are in `failures`.

        Raises Cancelled, and OSError when the disk is full; what was fetched is kept for the next time.
        """
        self.resumed = sum(partial.done for partial in partials)
        self._left = set(partials)
        for partial in sorted(partials, key=lambda one: -one.file.size):
            self._enqueue(partial)
        hosts = {partial.host for partial in partials}
        count = min(self._settings.connections, self._settings.per_host * len(hosts))
        threads = [threading.Thread(target=self._work, daemon=True, name=f"fetch-{n}") for n in range(count)]
        for thread in threads:
            thread.start()
        try:
            while self._wait_a_little():
                if self._progress.cancelled():
                    raise Cancelled()
                tick()
        finally:
            self._stop(threads)
            for partial in partials:
                partial.close()
        if self._fatal is not None:
            raise self._fatal

    def in_flight(self) -> list[Partial]:
        """The files bytes are coming in for, now."""
        with self._ready:
            return list(self._active)

    def _wait_a_little(self) -> bool:
        with self._ready:
            if self._left and not self._stopping:
                self._ready.wait(0.2)
            return bool(self._left) and not self._stopping

    def _stop(self, threads: list[threading.Thread]) -> None:
        with self._ready:
            self._stopping = True
            self._ready.notify_all()
        self._network.close()
        deadline = time.monotonic() + LEAVE_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _enqueue(self, partial: Partial) -> None:
        """Queue what is missing: one piece until the server has shown that it can do ranges, then all."""
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

    def _take(self) -> _Task | None:
        """The next piece whose time has come and whose host has a free connection. None: stop."""
        with self._ready:
            while not self._stopping and self._left:
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
        while (task := self._take()) is not None:
            try:
                self._one(task)
            except BaseException as error:  # whatever it is, the waiting thread must hear of it
                self._abort(error)
            finally:
                with self._ready:
                    self._busy[task.host] -= 1
                    self._active[task.partial] -= 1
                    if not self._active[task.partial]:
                        del self._active[task.partial]
                    self._ready.notify_all()

    def _one(self, task: _Task) -> None:
        piece, before = task.piece, task.piece.done
        try:
            if not task.piece.complete and task.generation == task.partial.generation:
                self._transfer(task)
        except _Superseded:
            return
        except _Refused as refused:
            self._next_address(task.partial, task.generation, str(refused), refused.remedy)
        except (_Passing, urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
            passing = error if isinstance(error, _Passing) else _Passing(*why_silent(error))
            self._again(task, passing, task.piece.done - (before if task.piece is piece else 0))
        except OSError as error:
            self._abort(error.with_traceback(None))  # which would hold the file open
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
            self._judge(task, response, "Range" in headers)
            finished = self._receive(task, response)
        finally:
            self._network.done(response, finished)

    def _credentials(self, partial: Partial, url: str) -> dict[str, str]:
        try:
            return self._network.credentials(partial.file, url)
        except XaivaError as error:
            raise _Refused(error.why, error.remedy) from error

    def _judge(self, task: _Task, response: urllib3.BaseHTTPResponse, asked_range: bool) -> None:
        """Look at the answer's head. If it brings more than was asked for, the task is about all of that."""
        partial, piece, status, url = task.partial, task.piece, response.status, task.partial.urls[0]
        if task.generation != partial.generation:
            raise _Superseded()
        if status in TRY_AGAIN:
            raise _Passing(f"the server answers {status}", remedy_for(status), retry_after(response))
        if status == 416:
            self._start_over(task, whole(partial.file.size))
        if status not in (200, 206):
            raise _Refused(f"the server answers {status}", remedy_for(status))
        etag = response.headers.get("etag", "")
        etag = "" if etag.startswith("W/") else etag  # a weak one does not promise the same bytes
        total = total_size(response)
        if total is not None and total != partial.file.size:
            found = recognise(response.read(HEAD, decode_content=False), total, partial.file.path)
            if found is not None and piece.start + piece.done == 0:
                raise _Refused(f"{found.words}: {total} bytes instead of {partial.file.size}", found.remedy(url))
            raise _Refused(
                f"it now has {total} bytes there instead of {partial.file.size}",
                "the file was replaced at its origin; lock again, or set a mirror that has the old one",
            )
        if status == 200:
            if asked_range:  # no ranges there, or not the same file any more: all of it from the beginning
                self._restart(task, whole(partial.file.size), "the server does not continue")
            partial.etag = etag
            return
        if not asked_range or not (response.headers.get("content-range") or "").startswith(
            f"bytes {piece.start + piece.done}-"
        ):
            raise _Passing("the server sends another range than was asked for")
        if partial.etag and etag and etag != partial.etag:
            self._start_over(task, None)
        partial.etag = partial.etag or etag
        if not partial.ranged and len(partial.pieces) > 1:
            partial.ranged = True
            self._queue_others(partial, piece, task.generation)

    def _restart(self, task: _Task, pieces: list[Piece] | None, why: str) -> None:
        """From nothing; the task goes on with the first piece. Raises _Superseded when another task did so already."""
        if not task.partial.restart(task.generation, pieces):
            raise _Superseded()
        self._progress.log(f"{task.partial.file.path}: from the beginning; {why}")
        task.generation += 1
        task.piece = task.partial.pieces[0]

    def _start_over(self, task: _Task, pieces: list[Piece] | None) -> NoReturn:
        """The server's copy is not the one that was begun: all that is missing is queued anew."""
        self._restart(task, pieces, "the server's copy changed meanwhile")
        self._enqueue(task.partial)
        raise _Superseded()

    def _queue_others(self, partial: Partial, first: Piece, generation: int) -> None:
        with self._ready:
            for piece in partial.pieces:
                if piece is not first and not piece.complete:
                    self._push(_Task(0.0, 0, partial, piece, generation))

    def _receive(self, task: _Task, response: urllib3.BaseHTTPResponse) -> bool:
        """Take in what comes, not a full READ at a time: nothing waits unsaved."""
        piece = task.piece
        while data := response.read1(READ, decode_content=False):
            if self._stopping:
                return False
            if len(data) > piece.end - piece.start - piece.done:
                raise _Passing("the server sends more than was asked for")
            if not task.partial.write(task.generation, piece, data):
                return False
            with self._counting:
                self.received += len(data)
        if not piece.complete:
            if response.status == 200 and (found := task.partial.stand_in(piece.done)):
                raise _Refused(found.words, found.remedy(task.partial.urls[0]))
            raise _Passing("the connection ended early")
        return True

    def _piece_done(self, task: _Task) -> None:
        partial = task.partial
        if self._stopping or task.generation != partial.generation:
            return
        partial.catch_up()
        with self._ready:
            if not partial.complete or partial not in self._left or partial.generation != task.generation:
                return
            if partial in self._finishing:
                return
            self._finishing.add(partial)
        try:
            good = partial.finish()
        except OSError as error:
            self._abort(error.with_traceback(None))
            return
        except WrongContent as error:  # as it is locked: no other address has anything else
            partial.discard()
            self._give_up(partial, error)
            return
        with self._ready:
            self._finishing.discard(partial)
            if good:
                self._left.discard(partial)
                self.arrived.append(partial)
                self._ready.notify_all()
        if not good:
            self._wrong_bytes(task)

    def _wrong_bytes(self, task: _Task) -> None:
        """The whole is not what the lock says: once more from nothing, then the next address, then give up."""
        partial = task.partial
        found = partial.stand_in(partial.file.size)
        if not partial.restart(task.generation):
            return
        if found is not None:
            why = f"{found.words}; its SHA-256 is not the locked one"
            self._next_address(partial, task.generation + 1, why, found.remedy(partial.urls[0]))
            return
        partial.restarts += 1
        why = f"its bytes are not the locked ones (SHA-256 differs) at {partial.host}"
        self._progress.log(f"{partial.file.path}: {why}")
        if partial.restarts % 2:
            self._enqueue(partial)
        else:
            remedy = "something on the way changes files, or the origin did; lock again"
            self._next_address(partial, task.generation + 1, why, remedy)

    def _next_address(self, partial: Partial, generation: int, why: str, remedy: str) -> None:
        """What was asked for with `generation` does not come from here: ask the next one, or give up."""
        with self._ready:
            if partial not in self._left or generation != partial.generation:
                return
            tried = partial.urls[0]
            if len(partial.urls) > 1:
                if not partial.restart(generation):
                    return
                partial.urls.pop(0)
                self._progress.log(
                    f"{partial.file.path}: {why} at {redact_address(tried)}; asking {redact_address(partial.urls[0])}"
                )
                self._enqueue(partial)
                return
            self._give_up(partial, XaivaError(f"{partial.file.path} from {redact_address(tried)}", why, remedy))

    def _give_up(self, partial: Partial, failure: XaivaError) -> None:
        with self._ready:
            self._left.discard(partial)
            self.failures.append(failure)
            self._ready.notify_all()

    def _again(self, task: _Task, failed: _Passing, gained: int) -> None:
        if self._stopping or task.generation != task.partial.generation:
            return
        attempt = 0 if gained >= ENOUGH_BYTES else task.attempt + 1
        if attempt > self._settings.retries:
            remedy = f"{failed.remedy}; what came is kept, the next sync goes on from there"
            self._next_address(task.partial, task.generation, f"{failed}, {attempt} times", remedy)
            return
        pause = max(failed.wait, min(LONGEST_WAIT, FIRST_WAIT * 2 ** max(0, attempt - 1)) * random.uniform(0.5, 1.0))
        self._progress.log(f"{task.partial.file.path}: {failed}; again in {pause:.1f} s")
        with self._ready:
            when = time.monotonic() + pause
            self._push(_Task(when, 0, task.partial, task.piece, task.generation, attempt))
