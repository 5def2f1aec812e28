"""A patience that ends: a database server that comes after a minute ends the service that waits for it.

It applies to every cause that time or somebody else can change: a server that is down, a password, a missing database.
The service is live and not ready meanwhile, and says why. What no time can change ends it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import psycopg
import pytest
from alembic import command
from alembic.config import Config

from core.errors import InputError
from core.inference import database_wait
from core.inference.database.errors import PUBLIC_REASONS, driver_error
from core.inference.database_wait import DatabaseWait
from tests.inference.conftest import serve as serve
from tests.support import until
from tests.support.postgres import Postgres, postgres_server
from tests.support.service import TOKEN, ServiceProcess

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

    response = until(ask, lambda response: response is not None)
    assert response is not None
    return response


def test_a_server_that_comes_late_starts_the_service(own_server: Postgres, serve: Serve) -> None:
    url = own_server.new_database()
    own_server.stop()
    try:
        service = serve(XAIVA_DATABASE_URL=url)
        health = until(lambda: answer(service).json(), lambda health: health["database"] == "nothing listens there")
        assert (health["live"], health["ready"]) == (True, False)
        assert answer(service, "/health/live").status_code == 200
        assert [answer(service, path).status_code for path in ("/health", "/health/ready", "/cameras")] == [503] * 3
        problem = answer(service, "/cameras").json()
        assert problem["why"] == "it is waiting for its database: nothing listens there"
        assert "127.0.0.1" not in str(health) + str(problem)
    finally:
        own_server.start()
    service.ready()
    assert service.client.status().logger is not None
    assert own_server.password not in service.log.read_text()


STRANGERS = {
    "/auth/login": {"name": "eve", "password": "some long password"},
    "/auth/refresh": {"refresh": "some token"},
    "/auth/logout": {"refresh": "some token"},
}


def test_strangers_learn_nowhere_where_the_database_is(own_server: Postgres, serve: Serve) -> None:
    url = own_server.new_database()
    service = serve(XAIVA_DATABASE_URL=url).ready()
    own_server.stop()
    try:
        for path, body in STRANGERS.items():
            response = httpx.post(service.client.url + path, json=body, timeout=60)
            assert (response.status_code, response.json()["what"]) == (503, "The database")
            assert "127.0.0.1" not in response.text
        own = {"Authorization": f"Bearer {TOKEN}"}
        response = httpx.get(f"{service.client.url}/users", headers=own, timeout=60)
        assert (response.status_code, response.json()["why"]) == (503, "nothing listens there")
    finally:
        own_server.start()


def test_a_service_that_waits_ends_when_it_is_told_to(own_server: Postgres, serve: Serve) -> None:
    service = serve(XAIVA_DATABASE_URL="postgresql://xaiva:x@127.0.0.1:1/none")
    until(lambda: answer(service).json()["database"], lambda why: why == "nothing listens there")
    assert service.stop() == 0


def run(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.replace("DATABASE_OF_IT", f'"{url.rpartition("/")[2]}"').encode())


def as_guest(url: str) -> str:
    """The same database, for a user who may do little."""
    run(url, "DROP ROLE IF EXISTS guest")
    run(url, "CREATE ROLE guest LOGIN PASSWORD 'not-to-be-shown'")
    return url.replace("//xaiva:", "//guest:")


Repair = Callable[[], object]


def password(url: str) -> tuple[str, str, Repair | None]:
    return url.replace("not-to-be-shown", "a-wrong-one"), "the user or password was refused", None


def missing(url: str) -> tuple[str, str, Repair | None]:
    later = url + "_later"
    create = f'CREATE DATABASE "{later.rpartition("/")[2]}"'
    return later, "no such database, user or table", lambda: run(url, create)


def no_login(url: str) -> tuple[str, str, Repair | None]:
    guest = as_guest(url)
    run(url, "ALTER ROLE guest NOLOGIN")
    return guest, "the user or password was refused", None


def no_rights(url: str) -> tuple[str, str, Repair | None]:
    guest = as_guest(url)
    run(url, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    return guest, "its user lacks the rights for this", None


def no_tables(url: str) -> tuple[str, str, Repair | None]:
    guest = as_guest(url)
    run(url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    return guest, "its user lacks the rights for this", None


def no_tls(url: str) -> tuple[str, str, Repair | None]:
    return f"{url}?sslmode=require", "it does not speak TLS", None


def standby(url: str) -> tuple[str, str, Repair | None]:
    run(url, "ALTER DATABASE DATABASE_OF_IT SET default_transaction_read_only = on")
    server, _, name = url.rpartition("/")
    back = f'ALTER DATABASE "{name}" RESET default_transaction_read_only'
    return url, "it does not accept writes now", lambda: run(f"{server}/postgres", back)


def crowded(url: str) -> tuple[str, str, Repair | None]:
    guest = as_guest(url)
    run(url, "ALTER ROLE guest CONNECTION LIMIT 0")
    return guest, "all of its connections are in use", None


def unknown_host(url: str) -> tuple[str, str, Repair | None]:
    return url.replace("127.0.0.1", "no-such-host.invalid"), "its host name is unknown", None


def no_socket(_: str) -> tuple[str, str, Repair | None]:
    return "postgresql:///none?host=/none", "nothing listens there", None


PERSON = (password, missing, no_login, no_rights, no_tables, no_tls)  # somebody must change something
TIME = (standby, crowded, unknown_host, no_socket)  # it may come right by itself


@pytest.mark.parametrize("wrong", [*PERSON, *TIME])
def test_what_is_wrong_says_itself_and_is_tried_again(
    wrong: Callable[[str], tuple[str, str, Repair | None]], own_server: Postgres
) -> None:
    right = own_server.new_database()
    url, why, repair = wrong(right)
    ended: list[bool] = []
    pauses: list[float] = []

    def correct(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) < 3:
            return
        if repair is None:
            waiting._url = right
        else:
            repair()

    waiting = DatabaseWait(url, correct)
    waiting._run(lambda: ended.append(True))
    waiting.result().close()
    assert ended == [True]
    assert waiting._why == why
    assert pauses == ([database_wait.RETRY_PAUSES[-1]] * 3 if wrong in PERSON else list(database_wait.RETRY_PAUSES[:3]))


WORDS = {  # what a server or libpq says that cannot be had here: why
    'root certificate file "/home/xaiva/.postgresql/root.crt" does not exist': "its certificate cannot be checked",
    "SSL error: certificate verify failed": "its certificate cannot be checked",
    'FATAL:  no pg_hba.conf entry for host "10.0.0.7", user "x"': "it does not let this machine or user connect",
    "FATAL:  remaining connection slots are reserved for superusers": "all of its connections are in use",
    'FATAL:  too many connections for database "x"': "all of its connections are in use",
    "FATAL:  the database system is not yet accepting connections": "it is starting up",
    "FATAL:  the database system is in recovery mode": "it is starting up",
    "server closed the connection unexpectedly": "it ended the connection",
    "connection failed: No route to host": "its machine cannot be reached",
    "No such file or directory": "No such file or directory",  # a file's, not a server's
}


@pytest.mark.parametrize(("text", "why"), WORDS.items(), ids=WORDS.keys())
def test_what_a_server_says_has_a_cause_and_a_remedy_of_its_own(text: str, why: str) -> None:
    error = driver_error("postgresql://***@10.0.0.1:5432/x", text)
    assert error.why == why
    assert (why in PUBLIC_REASONS) == (why != text)


def test_a_connection_that_dies_in_a_migration_is_tried_again(
    own_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = own_server.new_database()
    upgrade, dying = command.upgrade, iter([True, False])

    def dies(config: Config, revision: str) -> None:
        if next(dying):
            connection = config.attributes["connection"]
            process = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            run(url, f"SELECT pg_terminate_backend({process})")
        upgrade(config, revision)

    monkeypatch.setattr(command, "upgrade", dies)
    waiting = DatabaseWait(url, lambda _: None)
    waiting._run(lambda: None)
    waiting.result().close()
    assert waiting._why == "it ended the connection"


BROKEN = {
    "a port that is none": "postgresql://xaiva:x@127.0.0.1:port/none",
    "an option that is none": "postgresql://xaiva:x@127.0.0.1:1/none?nonsense=1",
    "another database": "mysql://xaiva:x@127.0.0.1:1/none",
    "no URL": "database",
}


@pytest.mark.parametrize("url", BROKEN.values(), ids=BROKEN.keys())
def test_a_url_that_is_none_is_not_waited_for(url: str) -> None:
    waiting = DatabaseWait(url, pytest.fail)
    waiting._run(lambda: None)
    with pytest.raises(InputError):
        waiting.result()


def test_pauses_grow_and_patience_does_not_end(own_server: Postgres) -> None:
    right = own_server.new_database()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if sum(pauses) > 3600:
            waiting._url = right

    waiting = DatabaseWait("postgresql://xaiva:x@127.0.0.1:1/none", pause)
    waiting._run(lambda: None)
    waiting.result().close()
    assert pauses[: len(database_wait.RETRY_PAUSES)] == list(database_wait.RETRY_PAUSES)
    assert set(pauses[len(database_wait.RETRY_PAUSES) :]) == {database_wait.RETRY_PAUSES[-1]}


def test_what_no_time_can_change_ends_it(own_server: Postgres, serve: Serve) -> None:
    url = own_server.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('r9999')")
    service = serve(XAIVA_DATABASE_URL=url)
    assert service.process.wait(60) == 1
    assert "a newer xaiva wrote it" in service.log.read_text()
