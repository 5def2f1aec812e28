"""Downloads many objects at once, on an event loop in a thread of its own, which stops at once when asked to."""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from typing_extensions import Self

from core.files import TEMPORARY_PREFIX
from core.inference.storage.model import NameFinding, NoObject, ObjectInfo, ObjectStorage
from core.inference.storage.names import shown_key
from core.inference.storage.written import disk_errors

POLL_SECONDS = 0.1  # between two looks at whether the work was cancelled
AHEAD = 2  # objects per connection that may be complete or under way before they are taken
_STOP_SECONDS = 5.0

Result = ObjectInfo | NameFinding


class Downloads:
    """A context in which `wanted` comes in, in the order of completion; leaving it stops what is under way.

    `name` gives the path below the folder for an object. `count` gets the bytes of every piece,
    and `keep` each object when its file is complete, both in the thread of the downloads.
    """

    def __init__(
        self,
        storage: ObjectStorage,
        folder: Path,
        wanted: list[ObjectInfo],
        name: Callable[[ObjectInfo], str],
        count: Callable[[int], None],
        keep: Callable[[ObjectInfo], None],
        connections: int,
    ) -> None:
        self._storage = storage
        self._folder = folder
        self._wanted = wanted
        self._name = name
        self._count = count
        self._keep = keep
        self._connections = connections
        self._token = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._untold = 0  # objects that were taken, and that the loop does not know of
        self._results: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="downloads", daemon=True)

    def __enter__(self) -> Self:
        self._room = asyncio.Semaphore(self._connections * AHEAD)
        self._all = self._loop.create_task(self._fetch_all())
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._all.cancel)
        self._thread.join(_STOP_SECONDS)

    def next(self, poll: Callable[[], None]) -> Result:
        """The next object, or why it cannot be had; calls `poll` while it waits. Raises the error that ended all."""
        while True:
            try:
                result = self._results.get(timeout=POLL_SECONDS)
            except queue.Empty:
                poll()
                continue
            if isinstance(result, BaseException):
                raise result
            return result

    def taken(self) -> None:
        """Say that the last object was used, so that another one may be fetched."""
        self._untold += 1
        if self._untold == max(1, self._connections // 2):  # waking the loop costs more than an object in its queue
            self._loop.call_soon_threadsafe(self._release, self._untold)
            self._untold = 0

    def _release(self, count: int) -> None:
        for _ in range(count):
            self._room.release()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._all)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._results.put(error)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    async def _fetch_all(self) -> None:
        left = iter(self._wanted)
        workers = [asyncio.create_task(self._work(left)) for _ in range(self._connections)]
        try:
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                worker.result()
        finally:
            await _end(workers)

    async def _work(self, left: Iterator[ObjectInfo]) -> None:
        while True:
            await self._room.acquire()
            info = next(left, None)
            if info is None:
                self._room.release()
                return
            try:
                self._results.put(await self._fetch(info))
            except NoObject:
                self._results.put(NameFinding(shown_key(info.key), "it was removed while the others were fetched"))

    async def _fetch(self, info: ObjectInfo) -> ObjectInfo:
        temporary = self._folder / f"{TEMPORARY_PREFIX}{self._token}-{next(self._numbers)}"
        with disk_errors(temporary):
            try:
                with open(temporary, "xb", buffering=0) as part:
                    fetched = await self._storage.fetch_object(info, part, self._count)
                target = self._folder / self._name(fetched)
                _move(temporary, target)
                self._keep(fetched)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return fetched


async def _end(workers: list[asyncio.Task[None]]) -> None:
    """Cancel the workers until all have ended: `wait_for` of Python before 3.12 may lose a cancel."""
    while running := [worker for worker in workers if not worker.done()]:
        for worker in running:
            worker.cancel()
        await asyncio.wait(running, timeout=POLL_SECONDS)
    for worker in workers:
        if not worker.cancelled():
            worker.exception()  # the first one was raised; this says that the others were seen


def _move(temporary: Path, target: Path) -> None:
    try:
        os.replace(temporary, target)
    except FileNotFoundError:
        target.parent.mkdir(exist_ok=True)
        os.replace(temporary, target)
