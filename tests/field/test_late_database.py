"""A patience that ends: a database server that comes after a minute ends the service that waits for it.

It applies to every cause that time or somebody else can change: a server that is down, a password, a missing database.
The service is live and not ready meanwhile, and says why. What no time can change ends it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import psycopg
import pytest

from core.inference import late_database
from core.inference.late_database import LateDatabase
from tests.inference.conftest import serve as serve
from tests.support import until
from tests.support.postgres import Postgres, postgres_server
from tests.support.service import ServiceProcess

Serve = Callable[..., ServiceProcess]


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


def answer(service: ServiceProcess, path: str = "/health") -> httpx.Response:
    """What it says, once it listens."""

    def ask() -> httpx.Response | None:
        assert service.process.poll() is None, service.log.read_text()
        try:
            return httpx.get(service.client.url + path, timeout=10)
        except httpx.TransportError:
            return None

    found = until(ask, lambda one: one is not None)
    assert found is not None
    return found


def test_a_server_that_comes_late_starts_the_service(own_server: Postgres, serve: Serve) -> None:
    url = own_server.new_database()
    own_server.stop()
    try:
        service = serve(XAIVA_DATABASE_URL=url)
        health = until(lambda: answer(service).json(), lambda one: one["database"] == "nothing listens there")
        assert (health["live"], health["ready"]) == (True, False)
        assert answer(service, "/health/live").status_code == 200
        assert [answer(service, path).status_code for path in ("/health", "/health/ready", "/cameras")] == [503] * 3
        problem = answer(service, "/cameras").json()
        assert problem["why"] == "it waits for its database: nothing listens there"
        assert "127.0.0.1" not in str(health) + str(problem)
    finally:
        own_server.start()
    service.ready()
    assert service.client.status().logger is not None
    assert own_server.password not in service.log.read_text()


def test_a_service_that_waits_ends_when_it_is_told_to(own_server: Postgres, serve: Serve) -> None:
    service = serve(XAIVA_DATABASE_URL="postgresql://xaiva:x@127.0.0.1:1/none")
    until(lambda: answer(service).json()["database"], lambda why: why == "nothing listens there")
    assert service.stop() == 0


def password(url: str) -> tuple[str, str]:
    return url.replace("not-to-be-shown", "a-wrong-one"), "user or password is refused"


def missing(url: str) -> tuple[str, str]:
    return url + "_later", "no such database, user or table"


@pytest.mark.parametrize("wrong", [password, missing])
def test_a_wrong_setting_says_itself_and_is_tried_again(
    wrong: Callable[[str], tuple[str, str]], own_server: Postgres
) -> None:
    right = own_server.new_database()
    url, why = wrong(right)
    ended: list[bool] = []
    pauses: list[float] = []

    def correct(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) < 3:
            return
        with psycopg.connect(right, autocommit=True) as connection:
            if wrong is missing:
                connection.execute(f'CREATE DATABASE "{url.rpartition("/")[2]}"'.encode())
            else:
                late._url = right

    late = LateDatabase(url, correct)
    late._run(lambda: ended.append(True))
    late.opened().close()
    assert ended == [True]
    assert late._why == why
    assert pauses == [late_database.PAUSES[-1]] * 3


def test_pauses_grow_and_patience_does_not_end(own_server: Postgres) -> None:
    right = own_server.new_database()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if sum(pauses) > 3600:
            late._url = right

    late = LateDatabase("postgresql://xaiva:x@127.0.0.1:1/none", pause)
    late._run(lambda: None)
    late.opened().close()
    assert pauses[: len(late_database.PAUSES)] == list(late_database.PAUSES)
    assert set(pauses[len(late_database.PAUSES) :]) == {late_database.PAUSES[-1]}


def test_what_no_time_can_change_ends_it(own_server: Postgres, serve: Serve) -> None:
    url = own_server.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('r9999')")
    service = serve(XAIVA_DATABASE_URL=url)
    assert service.process.wait(60) == 1
    assert "a newer xaiva wrote it" in service.log.read_text()
