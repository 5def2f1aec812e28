"""Who may open a stream of jobs and keep it open: tokens, roles, pages of other sites, limits."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed, InvalidStatus

from core.api_schema import UserRequest, UserUpdate
from core.inference import server
from core.inference.api import sockets, sse
from core.inference.auth import Caller
from core.inference.bulkhead import TooManyRequests
from core.inference.database.errors import DatabaseError
from tests.api.job_streams import PASSWORD, PATIENCE, listening, messages, refused
from tests.api.serving import TOKEN, Running, served
from tests.docs.pages import ROOT
from tests.support import until


def test_the_token_may_be_the_first_message(jobs: Running) -> None:
    with listening(jobs, "/jobs/stream", token="") as connection:
        connection.send(json.dumps({"token": TOKEN}))
        assert json.loads(connection.recv(PATIENCE))["type"] in ("snapshot", "heartbeat")


def test_a_stream_without_a_right_is_closed_with_the_reason(jobs: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sockets, "TOKEN_SECONDS", 1.0)
        code, reason = refused(jobs, "/jobs/stream", token="")  # nothing is sent
    assert (code, "within 1 s" in reason) == (4401, True)
    assert refused(jobs, "/jobs/stream", token="wrong")[0] == 4401
    for text in ('{"token": 5}', "{}", "nonsense", '{"token": "x", "more": 1}', "[" * 10_000, b"\xff"):
        with listening(jobs, "/jobs/stream", token="") as connection:
            connection.send(text)
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv(PATIENCE)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401
    assert refused(jobs, "/jobs/999999/stream") == (
        4404,
        "Job 999999: there is no job with that number",
    )
    assert refused(jobs, "/jobs/nothing/stream")[0] == 4422


def test_a_token_in_the_address_is_refused_and_not_logged(jobs: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "core.inference")
    caplog.set_level("INFO")
    for query in (f"token={TOKEN}", "colour=red", "after=-1", "after=1&after=2", "after=x"):
        with (
            pytest.raises(InvalidStatus) as answer,
            listening(jobs, f"/jobs/stream?{query}", token="") as connection,
        ):
            connection.recv(PATIENCE)
        assert answer.value.response.status_code == 422
        assert TOKEN.encode() not in answer.value.response.body
    assert TOKEN not in caplog.text


def test_pages_of_other_sites_cannot_open_a_stream(jobs: Running) -> None:
    for origin in ("https://evil.example", "null", "https://pages.example.evil", "http://pages.example", "http://["):
        with pytest.raises(InvalidStatus) as answer, listening(jobs, "/jobs/stream", origin=origin):
            pass
        assert answer.value.response.status_code == 403
    for origin in ("https://pages.example", jobs.url):
        with listening(jobs, "/jobs/stream", origin=origin) as connection:
            connection.recv(PATIENCE)


def test_a_stream_ends_when_its_user_may_no_longer_log_in(jobs: Running) -> None:
    admin = jobs.client()
    admin.add_user(UserRequest(name="leaver", password=SecretStr(PASSWORD)))
    token = jobs.client("").login("leaver", PASSWORD).access
    with listening(jobs, "/jobs/stream", token) as connection:
        connection.recv(PATIENCE)
        admin.update_user("leaver", UserUpdate(active=False))
        list(messages(connection))
        assert connection.close_code == 4401
        assert "login" in (connection.close_reason or "")


def test_a_stream_ends_when_its_user_may_no_longer_see_inspections(jobs: Running) -> None:
    admin = jobs.client()
    admin.add_user(UserRequest(name="mover", password=SecretStr(PASSWORD)))
    token = jobs.client("").login("mover", PASSWORD).access
    sent = httpx.Client(base_url=jobs.url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)
    with listening(jobs, "/jobs/stream", token) as connection, sent.stream("GET", "/jobs/stream") as response:
        connection.recv(PATIENCE)
        admin.update_user("mover", UserUpdate(cameras=["gate"]))
        list(messages(connection))
        assert connection.close_code == 4403
        assert list(response.iter_lines())  # it ends


@pytest.mark.parametrize("trouble", [DatabaseError("Database", "it is gone"), TooManyRequests("Database", "full", 1)])
def test_a_stream_stays_open_while_its_user_cannot_be_checked(
    jobs: Running, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    admin = jobs.client()
    admin.add_user(UserRequest(name="stayer", password=SecretStr(PASSWORD)))
    token = jobs.client("").login("stayer", PASSWORD).access
    looks: list[str] = []

    def cannot_look(bearer: str) -> Caller:
        looks.append(bearer)
        raise trouble

    sent = httpx.Client(base_url=jobs.url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)
    with (
        listening(jobs, "/jobs/stream", token) as connection,
        listening(jobs, "/jobs/stream") as own,  # with the token of the service, which needs no database
        sent.stream("GET", "/jobs/stream") as response,
    ):
        for stream_of_one in (connection, own):
            stream_of_one.recv(PATIENCE)
        events = response.iter_lines()
        next(events)
        with monkeypatch.context() as patch:
            patch.setattr(jobs.service.auth, "caller", cannot_look)
            until(lambda: len(looks) >= 6)
        assert set(looks) == {token}
        connection.recv(PATIENCE)
        own.recv(PATIENCE)
        next(events)
        admin.remove_user("stayer")
        list(messages(connection))
        assert connection.close_code == 4401
        list(events)  # it ends


def test_a_stream_takes_no_messages(jobs: Running) -> None:
    with listening(jobs, "/jobs/stream") as connection:
        connection.recv(PATIENCE)
        connection.send("hello")
        list(messages(connection))
        assert connection.close_code == 1008
    with listening(jobs, "/jobs/stream", token="") as connection:
        connection.send("x" * 100_000)
        list(messages(connection))
        assert connection.close_code == 1009


def test_too_many_streams_are_refused(jobs: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    until(lambda: sse.OPEN_STREAMS._open == 0, bool)  # those of the tests before have ended
    monkeypatch.setattr(sse.OPEN_STREAMS, "limit", 1)
    with listening(jobs, "/jobs/stream") as connection:
        connection.recv(PATIENCE)
        code, reason = refused(jobs, "/jobs/stream")
        assert code == 1013
        assert "1 are open" in reason
    until(lambda: sse.OPEN_STREAMS._open == 0, bool)
    with listening(jobs, "/jobs/stream") as connection:
        connection.recv(PATIENCE)


def test_strangers_cannot_hold_sockets_that_wait_for_a_token(jobs: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    until(lambda: sockets.WAITING_SOCKETS._open == 0, bool)  # those of the tests before have ended
    monkeypatch.setattr(sockets.WAITING_SOCKETS, "limit", 1)
    with listening(jobs, "/jobs/stream", token=""):
        until(lambda: sockets.WAITING_SOCKETS._open == 1, bool)
        with pytest.raises(InvalidStatus) as answer, listening(jobs, "/jobs/stream", token=""):
            pass
        assert answer.value.response.status_code == 429
        with listening(jobs, "/jobs/stream") as connection:  # it has its token with it
            connection.recv(PATIENCE)
    until(lambda: sockets.WAITING_SOCKETS._open == 0, bool)


def test_streams_that_do_not_read_keep_no_health_check_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 6)
    monkeypatch.setattr(server._Socket, "is_idle", True)  # as when the client reads nothing
    # A service of its own: a connection that another test has left open would be older than these.
    with served(tmp_path) as running, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(listening(running, "/jobs/stream")) for _ in range(6)]
        assert httpx.get(f"{running.url}/health/live", timeout=20).status_code == 200
        list(messages(streams[0]))  # the oldest one made room


def test_a_ledger_that_cannot_be_read_closes_the_stream_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "ledger.sqlite").write_text("not a ledger" * 1000)
    with served(tmp_path) as running:
        code, reason = refused(running, "/jobs/stream")
        assert (code, "not a database" in reason) == (sockets.FAULT, True)


def test_every_close_code_is_in_the_documentation() -> None:
    codes = {code for _, code in sockets._CLOSE_CODES} | {sockets.ENDED, sockets.CLOSING, sockets.REFUSED}
    section = (ROOT / "docs/jobs.md").read_text().partition("| close code |")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.count("|") > 2]
    assert codes <= {int(code) for row in rows for code in row.split(",") if code.strip().isdecimal()}
