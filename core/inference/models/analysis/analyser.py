"""The analyser of all cameras: a bounded queue, one question in flight, and a circuit breaker. Callers never block."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as ResultTimeout
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.api_schema import AnalyserStatus, Event, Priority
from core.errors import XaivaError
from core.inference.models.analysis.answer import BadAnswer, Misconfigured, Verdict, parse_choice, parse_verdict
from core.inference.models.analysis.circuit_breaker import CircuitBreaker
from core.inference.models.analysis.language_model import LanguageModel, Prompt
from core.inference.models.analysis.prompts import Question, analysis_prompt, choice_prompt

logger = logging.getLogger(__name__)

MAX_QUEUE = 32  # questions with their pictures in memory; the others wait on disk
STOP_SECONDS = 2.0
_STOPPING_TEXT = "the service is stopping"

AnswerT = TypeVar("AnswerT")


class AnalyserDown(XaivaError):
    """The analyser does not answer now; the question can be asked again later."""


class AnalyserBusy(AnalyserDown):
    """The analyser's queue is full."""


@dataclass(order=True)
class _Job:
    order: tuple[int, int]
    prompt: Callable[[LanguageModel], Prompt] = field(compare=False)
    parse: Callable[[str], Any] = field(compare=False)
    future: Future[Any] = field(compare=False)


class Analyser:
    """Owns the model and the thread that asks it.

    `open_model` opens the model at the first question, and again after a failure; None: the analyser is switched off.
    `seconds` is the deadline of one answer. Futures end with a Verdict, with BadAnswer (the model answered nonsense)
    or with AnalyserDown (ask again later).
    """

    def __init__(
        self,
        open_model: Callable[[], AbstractContextManager[LanguageModel]] | None,
        *,
        backend: str = "off",
        seconds: float = 30,
        max_queue: int = MAX_QUEUE,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._open_model = open_model
        self._backend = backend
        self._seconds = seconds
        self._max_queue = max_queue
        self._breaker = breaker or CircuitBreaker()
        self._opened = ExitStack()
        self._model: LanguageModel | None = None
        self._jobs: queue.PriorityQueue[_Job] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._asking = False
        self._answered = 0
        self._failed = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="analyser", daemon=True)

    @property
    def off(self) -> bool:
        """Whether the analyser is switched off."""
        return self._open_model is None

    @property
    def backend(self) -> str:
        """The name of the model, as shown with each answer."""
        model = self._model
        return model.name if model else self._backend

    def start(self) -> None:
        if not self.off:
            self._thread.start()

    def stop(self) -> None:
        """Stop, and fail all waiting questions. Waits up to STOP_SECONDS for an answer under way."""
        self._stopping.set()
        self._reject_waiting(_STOPPING_TEXT)
        self._jobs.put(_Job((-1, -1), _no_prompt, str, Future()))  # wakes the thread
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        if not self._thread.is_alive():
            self._release()

    def room(self) -> int:
        """How many questions can be asked now; 0 while the queue is full or the circuit is open."""
        if self.off or self._stopping.is_set():
            return 0
        retry_in = self._breaker.retry_in()
        if retry_in is None:
            return max(0, self._max_queue - self._jobs.qsize())
        return 1 if retry_in == 0 and self._jobs.empty() and not self._asking else 0

    def ask(self, question: Question) -> Future[Verdict]:
        """Ask about an event; higher priorities are answered first. Raises AnalyserDown, AnalyserBusy."""
        return self._submit(lambda model: analysis_prompt(question, model.sees), parse_verdict, question.event.priority)

    def choose(self, question: str, event: Event, options: Sequence[str]) -> str:
        """Let the model choose one of `options`; blocks until the answer. Raises AnalyserDown, BadAnswer."""
        prompt = choice_prompt(question, event, options)
        future = self._submit(lambda _model: prompt, lambda text: parse_choice(text, options), event.priority)
        try:
            return future.result(self._seconds)
        except ResultTimeout:
            future.cancel()
            raise AnalyserDown("The analyser", f"no answer within {self._seconds:g} s", "is it overloaded?") from None

    def status(self) -> AnalyserStatus:
        if self.off:
            return AnalyserStatus()
        retry_in = self._breaker.retry_in()
        state = "broken" if retry_in is not None else "busy" if self._asking else "ready"
        return AnalyserStatus(
            state=state,
            backend=self.backend,
            queue=self._jobs.qsize(),
            answered=self._answered,
            failed=self._failed,
            why=self._breaker.why,
            retry_in=retry_in and round(retry_in, 1),
        )

    def _submit(
        self, prompt: Callable[[LanguageModel], Prompt], parse: Callable[[str], AnswerT], priority: Priority
    ) -> Future[AnswerT]:
        if self.off:
            raise AnalyserDown("The analyser", "there is none", "set XAIVA_ANALYSER")
        if self._stopping.is_set():
            raise self._down_error(_STOPPING_TEXT)
        if not self.room():
            if self._breaker.retry_in() is not None:
                raise self._down_error(self._breaker.why)
            raise AnalyserBusy(
                "The analyser", f"{self._jobs.qsize()} questions are already waiting", "wait: it will catch up"
            )
        future: Future[AnswerT] = Future()
        self._jobs.put(_Job((-priority.rank, next(self._numbers)), prompt, parse, future))
        return future

    def _work(self) -> None:
        while not self._stopping.is_set():
            job = self._jobs.get()
            if self._stopping.is_set():
                _fail_job(job, self._down_error(_STOPPING_TEXT))
            elif job.future.set_running_or_notify_cancel():
                self._asking = True
                self._answer(job)
                self._asking = False
        self._reject_waiting(_STOPPING_TEXT)  # questions asked while the thread ended

    def _answer(self, job: _Job) -> None:
        if not self._breaker.try_enter():
            job.future.set_exception(self._down_error(self._breaker.why))
            return
        try:
            answer = job.parse(self._complete(job.prompt))
        except BadAnswer as error:  # the server works, but this answer is useless
            self._breaker.succeeded()
            self._failed += 1
            job.future.set_exception(error)
        except Exception as error:  # no error of a backend may end the thread
            self._record_failure(error)
            job.future.set_exception(self._down_error(self._breaker.why))
        else:
            self._breaker.succeeded()
            self._answered += 1
            job.future.set_result(answer)

    def _complete(self, prompt: Callable[[LanguageModel], Prompt]) -> str:
        assert self._open_model is not None
        if self._model is None:
            self._model = self._opened.enter_context(self._open_model())
        began = time.monotonic()
        model = self._model
        text = model.complete(prompt(model), self._seconds)
        logger.debug("the analyser answered in %.1f s: %s", time.monotonic() - began, text)
        return text

    def _record_failure(self, error: Exception) -> None:
        self._failed += 1
        why = error.summary if isinstance(error, XaivaError) else "an unexpected error"
        logger.warning("the analyser: %s", why, exc_info=None if isinstance(error, XaivaError) else error)
        self._breaker.failed(why, lasting=isinstance(error, Misconfigured))
        self._release()
        if self._breaker.retry_in() is not None:
            self._reject_waiting(why)

    def _reject_waiting(self, why: str) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            _fail_job(job, self._down_error(why))

    def _down_error(self, why: str) -> AnalyserDown:
        return AnalyserDown("The analyser", why, "the event will be completed when it answers again")

    def _release(self) -> None:
        self._model = None
        self._opened.close()


def _fail_job(job: _Job, error: AnalyserDown) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)


def _no_prompt(_model: LanguageModel) -> Prompt:
    raise AssertionError("never asked")
