"""The store: a source that hangs, fails or is retargeted delays no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from core.errors import XaivaError
from tui import store as store_module
from tui.store import Store


def until_true(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_source_that_hangs_keeps_its_value_and_becomes_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "LATE", 0.05)
    hang, calls = threading.Event(), []

    def fetch() -> int:
        calls.append(1)
        if len(calls) > 1:
            hang.wait(30)
        return 7

    store = Store({"slow": (fetch, 0.01)}, lambda _: None)
    try:
        store.watch(["slow"])
        until_true(lambda: store.reading("slow").overdue)
        reading = store.reading("slow")
        assert reading.value == 7
        assert reading.state[0].startswith("stale ")
        assert reading.state[1] == "stale"
        hang.set()
        until_true(lambda: not store.reading("slow").overdue or len(calls) > 2)
    finally:
        hang.set()
        store.close()


def test_an_error_is_kept_and_the_next_answer_clears_it() -> None:
    answers: list[int | XaivaError] = [XaivaError("Engine", "not there", "start it"), 5]
    news: list[str] = []

    def fetch() -> int:
        answer = answers[0]
        if isinstance(answer, XaivaError):
            raise answer
        return answer

    store = Store({"engine": (fetch, 0.01)}, news.append)
    try:
        store.watch(["engine"])
        until_true(lambda: store.reading("engine").error)
        assert store.reading("engine").state == ("no data", "error")
        answers.pop(0)
        until_true(lambda: store.reading("engine").value == 5)
        assert store.reading("engine").error is None
        assert news.count("engine") >= 2
    finally:
        store.close()


def test_an_unforeseen_failure_becomes_an_error_and_ends_nothing() -> None:
    calls: list[int] = []

    def fetch() -> int:
        calls.append(1)
        return 1 // (len(calls) - 1)

    store = Store({"odd": (fetch, 0.01)}, lambda _: None)
    try:
        store.watch(["odd"])
        until_true(lambda: store.reading("odd").value is not None)
        assert len(calls) >= 2
    finally:
        store.close()


def test_what_nobody_watches_is_not_asked() -> None:
    calls: list[int] = []
    store = Store({"quiet": (lambda: calls.append(1), 0.001), "other": (lambda: 1, 0.001)}, lambda _: None)
    try:
        store.watch(["quiet"])
        until_true(lambda: len(calls) > 3)
        store.watch(["other"])
        until_true(lambda: store.reading("other").value == 1)
        count = len(calls)
        seen: list[int] = []
        until_true(lambda: seen.append(1) or len(seen) > 20)
        assert len(calls) <= count + 1
    finally:
        store.close()


def test_a_late_answer_to_the_question_before_is_dropped() -> None:
    release = threading.Event()

    def slow() -> str:
        release.wait(30)
        return "old"

    store = Store({"one": (lambda: None, 60)}, lambda _: None)
    try:
        store.retarget("one", slow)
        store.watch(["one"])
        until_true(lambda: store.reading("one").waiting)
        store.retarget("one", lambda: "new")
        until_true(lambda: store.reading("one").value == "new")
        release.set()
        seen: list[int] = []
        until_true(lambda: seen.append(1) or len(seen) > 20)
        assert store.reading("one").value == "new"
    finally:
        release.set()
        store.close()


def test_what_loads_much_is_asked_when_the_first_frame_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "FIRST_FRAME_SECONDS", 60.0)
    names: list[str] = []
    table = {name: (partial(names.append, name), 60.0) for name in ("quick", "slow")}
    store = Store(table, lambda _: None, immediate=("quick",))
    store.watch(table)
    until_true(lambda: names == ["quick"])
    assert store.reading("slow").waiting == 0
    store.first_frame_drawn()
    until_true(lambda: names == ["quick", "slow"])
    store.close()


def test_sources_ask_for_the_first_time_one_after_another_and_one_that_hangs_holds_up_nobody_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_module, "TURN_SECONDS", 60)
    together, most, gone_on, lock = 0, 0, threading.Event(), threading.Lock()

    def fetch(name: str) -> None:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        gone_on.wait(0.02 if name != "engine" else 30)
        with lock:
            together -= 1

    def ask(*names: str) -> Store:
        store = Store({name: (partial(fetch, name), 60) for name in names}, lambda _: None)
        store.watch(names)
        return store

    stores = [ask("cameras", "operations", "presets")]
    try:
        until_true(lambda: all(stores[0].reading(name).age for name in ("cameras", "operations", "presets")))
        assert most == 1
        monkeypatch.setattr(store_module, "TURN_SECONDS", 0.05)
        stores.append(ask("engine", "presets"))
        until_true(lambda: stores[1].reading("presets").age)
        assert stores[1].reading("engine").age is None
    finally:
        gone_on.set()
        for store in stores:
            store.close()
