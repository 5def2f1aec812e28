"""The analyser against a real chat endpoint: one in flight, bounded, with a deadline and a circuit breaker."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from core.api_schema import Fact, Priority
from core.errors import InputError
from core.inference.model_pool.pool import ModelPool
from core.inference.models.analysis import (
    Analyser,
    AnalyserBusy,
    AnalyserDown,
    BadAnswer,
    Question,
    Verdict,
    create_analyser,
)
from core.inference.models.analysis.circuit_breaker import CircuitBreaker
from core.inference.models.analysis.openai_model import OpenAiModel
from core.inference.settings import ServiceSettings
from tests.analyser.servers import chat_answer, verdict_answer
from tests.inference.conftest import pool as pool
from tests.notifications.conftest import event
from tests.support import until
from tests.support.receivers import Answer, HttpReceiver, Received

Make = Callable[..., Analyser]
PERSON = Fact(label="person", score=0.9, box=(0.1, 0.1, 0.2, 0.5))


@pytest.fixture
def make(tmp_path: Path, pool: ModelPool) -> Iterator[Make]:
    """Start analysers as the settings say; all end with the test."""
    analysers: list[Analyser] = []

    def one(url: str, **settings: Any) -> Analyser:
        options = {"data": tmp_path, "analyser": "openai", "analyser_url": url, "analyser_timeout": 5, **settings}
        analysers.append(create_analyser(ServiceSettings(**options), pool))
        analysers[-1].start()
        return analysers[-1]

    yield one
    for analyser in analysers:
        analyser.stop()


def ask(analyser: Analyser, priority: Priority = Priority.NORMAL) -> Future[Verdict]:
    return analyser.ask(Question(event(priority=priority), (PERSON,), b"\xff\xd8 jpeg"))


def test_picture_and_facts_go_in_and_a_verdict_comes_out(make: Make) -> None:
    with HttpReceiver(lambda _: verdict_answer()) as server:
        analyser = make(f"{server.url}/v1/", analyser_model="qwen", analyser_key="the-key")
        assert ask(analyser).result(5) == Verdict("person", "Somebody climbs the fence.", 0.8)
        (request,) = server.received
        assert request.path == "/v1/chat/completions"
        assert request.headers["authorization"] == "Bearer the-key"
        assert request.json["model"] == "qwen"
        text, picture = request.json["messages"][-1]["content"]
        assert "Found: 1 person" in text["text"]
        assert base64.b64decode(picture["image_url"]["url"].partition(",")[2]) == b"\xff\xd8 jpeg"
        assert request.json["response_format"]["json_schema"]["schema"]["required"] == [
            "type",
            "description",
            "confidence",
        ]
        status = analyser.status()
        assert (status.state, status.answered, status.failed) == ("ready", 1, 0)


def test_a_server_without_json_schema_is_asked_without(make: Make) -> None:
    def answer(request: Received) -> Answer:
        if "response_format" in request.json:
            return Answer(400, b'{"error": "response_format is not supported"}')
        return verdict_answer()

    with HttpReceiver(answer) as server:
        analyser = make(server.url)
        assert ask(analyser).result(5).type == "person"
        assert ask(analyser).result(5).type == "person"
        assert ["response_format" in asked.json for asked in server.received] == [True, False, False]


def test_nonsense_is_told_apart_from_an_outage(make: Make) -> None:
    with HttpReceiver(lambda _: chat_answer("I am a teapot.")) as server:
        analyser = make(server.url)
        for _ in range(5):
            with pytest.raises(BadAnswer):
                ask(analyser).result(5)
        assert analyser.status().state == "ready"
        assert analyser.status().failed == 5


def test_one_in_flight_a_bounded_queue_and_the_urgent_first(make: Make) -> None:
    release = threading.Event()

    def slow(_: Received) -> Answer:
        release.wait(10)
        return verdict_answer()

    with HttpReceiver(slow) as server:
        analyser = make(server.url)
        order: list[str] = []
        first = ask(analyser)
        until(lambda: server.received)
        waiting = {name: ask(analyser, Priority(name)) for name in ("low", "normal", "critical", "high")}
        for name, future in waiting.items():
            future.add_done_callback(lambda _, name=name: order.append(name))  # type: ignore[misc]
        with pytest.raises(AnalyserBusy):
            [ask(analyser) for _ in range(100)]
        status = analyser.status()
        assert (status.state, status.queue) == ("busy", 32)
        assert analyser.room() == 0
        release.set()
        until(lambda: all(future.done() for future in [first, *waiting.values()]))
        assert order == ["critical", "high", "normal", "low"]
        assert server.most_at_once == 1


def test_an_answer_that_takes_too_long_is_an_outage(make: Make) -> None:
    with HttpReceiver(lambda _: Answer(body=b" " * 500, drip=0.05)) as server:
        analyser = make(server.url, analyser_timeout=0.3)
        with pytest.raises(AnalyserDown, match="no answer within"):
            ask(analyser).result(5)


def test_the_circuit_opens_rests_and_closes_again() -> None:
    down = True
    now = [0.0]
    with HttpReceiver(lambda _: Answer(503) if down else verdict_answer()) as server:
        remote = OpenAiModel(server.url, "", "the-key")
        breaker = CircuitBreaker(first_rest=10, clock=lambda: now[0])
        analyser = Analyser(lambda: nullcontext(remote), seconds=5, breaker=breaker)
        analyser.start()
        for _ in range(3):
            with pytest.raises(AnalyserDown):
                ask(analyser).result(5)
        status = analyser.status()
        assert (status.state, status.retry_in) == ("broken", 10)
        assert "503" in status.why
        assert "the-key" not in status.model_dump_json()
        with pytest.raises(AnalyserDown, match="503"):
            ask(analyser)  # nobody is asked
        assert len(server.received) == 3
        now[0] += 10
        assert until(analyser.room) == 1
        with pytest.raises(AnalyserDown):  # half open: one attempt, which fails and opens it again
            ask(analyser).result(5)
        assert (analyser.room(), analyser.status().retry_in) == (0, 20)
        down = False
        now[0] += 20
        until(analyser.room)
        assert ask(analyser).result(5).type == "person"
        assert (analyser.status().state, analyser.status().why) == ("ready", "")
        assert len(server.received) == 5
        analyser.stop()


def test_an_open_circuit_turns_away_those_who_wait(make: Make) -> None:
    release = threading.Event()

    def fail(_: Received) -> Answer:
        release.wait(10)
        return Answer(500)

    with HttpReceiver(fail) as server:
        analyser = make(server.url)
        futures = [ask(analyser) for _ in range(10)]
        release.set()
        for future in futures:
            with pytest.raises(AnalyserDown):
                future.result(5)
        assert len(server.received) == 3


def test_a_stop_ends_those_who_wait_and_hangs_on_nobody(make: Make) -> None:
    release = threading.Event()

    def hang(_: Received) -> Answer:
        release.wait(20)
        return verdict_answer()

    with HttpReceiver(hang) as server:
        analyser = make(server.url, analyser_timeout=20)
        ask(analyser)
        until(lambda: server.received)
        waiting = ask(analyser)
        began = time.monotonic()
        analyser.stop()
        assert time.monotonic() - began < 10  # not the 20 s of the answer
        with pytest.raises(AnalyserDown, match="the service is stopping"):
            waiting.result(0)
        with pytest.raises(AnalyserDown, match="the service is stopping"):
            ask(analyser)
        release.set()


def test_rests_double_up_to_a_bound() -> None:
    now = [0.0]
    breaker = CircuitBreaker(tolerated=2, first_rest=10, longest_rest=35, clock=lambda: now[0])
    rests = []
    for _ in range(5):
        assert breaker.try_enter()
        breaker.failed("down")
        rests.append(breaker.retry_in())
        now[0] += rests[-1] or 0
    assert rests == [None, 10, 20, 35, 35]
    assert breaker.try_enter()
    assert not breaker.try_enter()  # half open: one at a time
    breaker.succeeded()
    assert breaker.retry_in() is None


def test_off_is_off_and_bad_settings_are_told(make: Make, tmp_path: Path) -> None:
    assert Analyser(None).status().state == "off"
    with pytest.raises(AnalyserDown):
        ask(Analyser(None))
    for url in ("", "vlm:8080", "http://u:hunter2@"):
        with pytest.raises(InputError, match="XAIVA_ANALYSER_URL") as refused:
            make(url)
        assert "hunter2" not in str(refused.value)
    with pytest.raises(InputError, match="XAIVA_ANALYSER_MODEL"):
        make("", analyser="demo")
