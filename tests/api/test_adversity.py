"""What must go on while something else does not: floods of logins, a database that is gone, many readers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from core.inference.accounts.passwords import AT_ONCE, WAITING, Passwords
from core.inference.schemas import UserRequest
from core.service_client import ServiceClient, ServiceError
from tests.api.conftest import Events
from tests.api.serving import TOKEN, Running, served
from tests.support.postgres import postgres_server

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def test_a_flood_of_logins_holds_up_nobody_else(
    running: Running, people: dict[str, ServiceClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, release = threading.Semaphore(0), threading.Event()

    def slow(_self: Passwords, _password: str, _kept: str | None) -> bool:
        looking.release()
        return not release.wait(60)

    monkeypatch.setattr(Passwords, "fits", slow)
    flood = 24  # the limit of one address lets so many through, after those of `people`
    with ThreadPoolExecutor(flood) as pool:
        bodies = [{"name": f"name-{number}", "password": "x"} for number in range(flood)]
        answers = [pool.submit(httpx.post, f"{running.url}/auth/login", json=body, timeout=90) for body in bodies]
        for _ in range(AT_ONCE):
            assert looking.acquire(timeout=30)
        with httpx.Client(base_url=running.url, headers=BEARER, timeout=10) as client:
            for _ in range(60):  # more than the framework has threads
                assert client.get("/status").status_code == 200
        assert not looking.acquire(blocking=False)
        release.set()
        assert {answer.result(90).status_code for answer in answers} == {401}
    assert flood < AT_ONCE + WAITING


def test_without_its_database_the_site_still_sees_and_people_are_told(tmp_path: Path) -> None:
    with postgres_server() as server, served(tmp_path, database_url=server.new_database()) as running:
        site = running.client()
        site.add_user(UserRequest(name="anna", password=SecretStr("some long password")))
        anna = running.client(running.client("").login("anna", "some long password").access)
        assert anna.status().cameras == []
        server.stop()
        assert site.status().cameras == []
        assert site.health().live
        for refused in (anna.status, site.events, site.users, lambda: site.login("anna", "some long password")):
            with pytest.raises(ServiceError, match="Database") as caught:
                refused()
            assert server.password not in str(caught.value)
        server.start()
        assert anna.status().cameras == []


def test_many_who_watch_are_all_served(running: Running, events: Events, people: dict[str, ServiceClient]) -> None:
    def watch(number: int) -> int:
        client = [people["viewer"], people["gatekeeper"], running.client()][number % 3]
        stream = client.stream(interval=0.2)
        counts = [len(next(stream).cameras) for _ in range(3)]
        stream.close()
        return counts[-1]

    with ThreadPoolExecutor(24) as pool:
        seen = list(pool.map(watch, range(24)))
    assert seen == [2, 1, 2] * 8


def test_the_end_closes_the_streams(tmp_path: Path) -> None:
    ended = threading.Event()
    with served(tmp_path) as running:
        heard = threading.Event()

        def listen() -> None:
            with running.client()._wire.streamed("/events/stream", {}, {}, 10) as response:
                for _line in response.iter_lines():
                    heard.set()
            ended.set()

        listener = threading.Thread(target=listen)
        listener.start()
        assert heard.wait(30)
        running.close_streams()
        listener.join(30)
    assert ended.is_set()
