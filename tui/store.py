"""The store: the newest answer of each source. Each source has a thread of its own, so that no screen ever waits.

A source that fails or does not answer keeps its last good value, which is then stale: screens show names from it, but
no states. Sources that no visible screen shows are not asked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from core.errors import XaivaError
from tui.formatters.numbers import coarse_duration

T = TypeVar("T")
# A source whose answer is this many seconds overdue counts as stale: three missed periods of a source that is asked
# every second. One call to a slow engine or service may take that long, and must not make its panel flicker.
LATE = 3.0
FIRST_FRAME_SECONDS = 3.0  # seconds after which a source asks even if no frame was drawn
TURN_SECONDS = 0.5  # seconds a source waits for its turn to ask for the first time
FIRST_ANSWER_SECONDS = 3.0  # seconds the first answer may take before the panel says that it waits
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading(Generic[T]):
    """The newest value of a source, and how reliable it is."""

    value: T | None = None
    age: float | None = None
    """Seconds since the value was read, None when there never was one."""
    overdue: bool = False
    """Whether the value is too old."""
    error: XaivaError | None = None
    """Why the newest try failed, None when it succeeded."""
    waiting: float = 0
    """Seconds that the try in progress has taken."""
    title: str = ""
    """What the source asks, in words."""
    just_asked: bool = False
    """Whether the source was not asked for a while before, so that the value's age says nothing about it."""

    @property
    def is_stale(self) -> bool:
        """Whether the value is outdated: the source fails, or has not answered for too long."""
        return self.age is not None and (self.overdue or self.error is not None)

    @property
    def unknown_text(self) -> str:
        """What is shown in place of every state of a stale value."""
        return f"unknown, last answer {coarse_duration(self.age or 0)} ago"

    @property
    def problem(self) -> XaivaError:
        """Why there is no new value: the error of the newest try, else that there is no answer. It names the source."""
        if self.error is None:
            reason = "asking again now" if self.just_asked else f"no answer for {coarse_duration(self.waiting)}"
            return XaivaError(self.title, reason)
        source_and_what = self.error.what
        if self.title.lower() not in source_and_what.lower():
            source_and_what = f"{self.title}: {source_and_what}"
        return XaivaError(source_and_what, self.error.why, self.error.remedy)

    @property
    def state(self) -> tuple[str, str]:
        """The text in the panel's frame and its role: "", `stale 7 s`, `no data`, or how long no answer has come."""
        if self.is_stale and self.age is not None:
            return f"stale {int(self.age)} s", "stale"
        if self.error is not None and self.value is None:
            return "no data", "error"
        if self.value is None and self.waiting > FIRST_ANSWER_SECONDS:
            return f"no answer for {int(self.waiting)} s", "stale"
        return "", ""


class StartupQueue:
    """Lets sources ask for the first time one after another, in the order of `names`.

    The first time imports modules, which all wait for one interpreter lock: in parallel no source would answer before
    all had imported theirs. A source that hangs delays the others for TURN seconds and no longer.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._waiting: list[str] = []
        self._busy = ""
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Wait for the turn of a source and hold it."""
        with self._changed:
            self._waiting.append(name)
            self._changed.wait_for(
                lambda: not self._busy and name == min(self._waiting, key=self._names.index), TURN_SECONDS
            )
            self._waiting.remove(name)
            self._busy = name
        try:
            yield
        finally:
            with self._changed:
                if self._busy == name:
                    self._busy = ""
                self._changed.notify_all()


class PolledSource(Generic[T]):
    """A source that is asked every `interval` seconds while it is watched."""

    def __init__(
        self,
        name: str,
        fetch: Callable[[], T],
        interval: float,
        changed: Callable[[str], None],
        startup_queue: StartupQueue,
        start: threading.Event | None = None,
        title: str = "",
    ) -> None:
        """`startup_queue` orders the first calls, which wait for `start`, at most FIRST_FRAME_SECONDS."""
        self.name = name
        self._title = title or name
        self.base_interval = interval
        self.interval = interval
        self.watched = False
        self._fetch = fetch
        self._changed = changed
        self._start = start
        self._turn: AbstractContextManager[None] = startup_queue.turn(name)  # used once
        self._value: T | None = None
        self._value_at = 0.0
        self._watched_at = 0.0  # when it was last started to be watched
        self._error: XaivaError | None = None
        self._try_started_at = 0.0  # when the try in progress began; 0 when none is
        self._generation = 0
        self._lock = threading.Lock()
        self._tries = 0
        self._try_ended = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def reading(self) -> Reading[T]:
        """The newest reading; never waits for the source."""
        now = time.monotonic()
        with self._lock:
            age = now - self._value_at if self._value_at else None
            waiting = now - self._try_started_at if self._try_started_at else 0.0
            just_asked = not self._too_long_since(now, self._watched_at)
            return Reading(self._value, age, self._is_overdue(now), self._error, waiting, self._title, just_asked)

    def _is_overdue(self, now: float) -> bool:
        return self.watched and self._value_at > 0 and self._too_long_since(now, self._value_at)

    def _too_long_since(self, now: float, since: float) -> bool:
        return now - since > self.interval + LATE

    def watch(self, watched: bool) -> None:
        """Start or stop asking the source."""
        starts = watched and not self.watched
        if starts:
            self._watched_at = time.monotonic()
        self.watched = watched
        if self._thread is None and watched:
            self._thread = threading.Thread(target=self._run, name=f"source-{self.name}", daemon=True)
            self._thread.start()
        elif starts:
            self._wake.set()

    def ask_now(self) -> None:
        """Ask again without waiting for the interval."""
        self._wake.set()

    def wait_for_try(self, seconds: float) -> None:
        """Ask now, and wait until an answer or an error has come, at most so many seconds. The source is watched."""
        with self._lock:
            before = self._tries
            self._wake.set()
            self._try_ended.wait_for(lambda: self._tries > before, seconds)

    def retarget(self, fetch: Callable[[], T]) -> None:
        """Ask something else from now on. The old value and a late answer to the old question are dropped."""
        with self._lock:
            self._fetch = fetch
            self._generation += 1
            self._value, self._value_at, self._error = None, 0.0, None
            if self._try_started_at:  # the old thread may hang forever: abandon it
                self._try_started_at, self._thread = 0.0, None
        if self._thread is None and self.watched:
            self._thread = threading.Thread(target=self._run, name=f"source-{self.name}", daemon=True)
            self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """End the thread as soon as its call returns."""
        self._closed = True
        self._wake.set()

    def _run(self) -> None:
        me = threading.current_thread()
        if self._start is not None:
            self._start.wait(FIRST_FRAME_SECONDS)
        while not self._closed and self._thread is me:
            self._wake.clear()
            if self.watched:
                turn, self._turn = self._turn, nullcontext()
                with turn:
                    self._ask(me)
                self._wake.wait(self.interval)
            else:
                self._wake.wait()

    def _ask(self, me: threading.Thread) -> None:
        with self._lock:
            fetch, generation = self._fetch, self._generation
            self._try_started_at = time.monotonic()
            first = not self._value_at
        value: T | None = None
        error: XaivaError | None = None
        try:
            value = fetch()
        except XaivaError as problem:
            error = problem
        except Exception as problem:
            log.exception("source %s", self.name)
            error = XaivaError(
                f"{self.name} could not be read",
                f"an unexpected error occurred ({type(problem).__name__}: {problem})",
                "see .xaiva/console.log for details; the console keeps trying",
            )
        with self._lock:
            if self._thread is not me or self._generation != generation:
                return
            self._try_started_at = 0.0
            self._tries += 1
            self._try_ended.notify_all()
            news = first or (self._error is None) != (error is None) or self._is_overdue(time.monotonic())
            self._error = error
            if error is None:
                self._value, self._value_at = value, time.monotonic()
        if news:
            self._changed(self.name)


class Store:
    """All sources by name.

    `changed(name)` is called from a source's thread when its first answer or an error comes; the screen's tick shows
    ordinary new values.
    """

    def __init__(
        self,
        fetchers: Mapping[str, tuple[Callable[[], Any], float]],
        changed: Callable[[str], None],
        immediate: Container[str] | None = None,
        titles: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`immediate` sources are asked at once, all others after the first frame, which they would delay.

        `titles` say in words what each source asks.
        """
        self._first_frame = threading.Event()
        self._slowness = 1.0
        startup_queue = StartupQueue(tuple(fetchers))
        self._sources = {
            name: PolledSource(name, fetch, every, changed, startup_queue, start, titles.get(name, ""))
            for name, (fetch, every) in fetchers.items()
            for start in (None if immediate is None or name in immediate else self._first_frame,)
        }

    def first_frame_drawn(self) -> None:
        """The first frame was drawn: the other sources may ask."""
        self._first_frame.set()

    def reading(self, name: str) -> Reading[Any]:
        return self._sources[name].reading()

    def watch(self, names: Iterable[str]) -> None:
        """Ask these sources and stop asking all others."""
        watched = set(names)
        for name, source in self._sources.items():
            source.watch(name in watched)

    def slow_down(self, factor: float) -> None:
        """Ask every source `factor` times less often than usual."""
        self._slowness = factor
        for source in self._sources.values():
            source.interval = source.base_interval * factor

    def set_interval(self, name: str, seconds: float) -> None:
        """Ask a source every so many seconds from now on; less often while all sources are slowed down."""
        source = self._sources[name]
        source.base_interval, source.interval = seconds, seconds * self._slowness

    def retarget(self, name: str, fetch: Callable[[], Any]) -> None:
        """Let a source ask something else."""
        self._sources[name].retarget(fetch)

    def ask_now(self, *names: str) -> None:
        for name in names:
            self._sources[name].ask_now()

    def answer(self, name: str, seconds: float) -> Reading[Any]:
        """The next reading of a watched source. It waits, so it is not for the event loop."""
        self._sources[name].wait_for_try(seconds)
        return self.reading(name)

    def close(self) -> None:
        """Stop asking; each thread ends when its call returns."""
        self._first_frame.set()
        for source in self._sources.values():
            source.close()
