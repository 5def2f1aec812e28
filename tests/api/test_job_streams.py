"""The streams of jobs, with a real client: cut and resumed anywhere, slow, uninvited, and when the service closes."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import jsonschema
import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from core.api_schema import UserRequest, UserUpdate
from core.api_schema.jobs import JOB_MESSAGE
from core.inference import server
from core.inference.api import job_streams, sockets, sse
from core.inference.auth import Caller
from core.inference.bulkhead import TooManyRequests
from core.inference.database.errors import DatabaseError
from core.inference.jobs import service, stream, watch
from core.inference.jobs.place import job_place
from core.operations.log import LogReader
from tests.api.serving import TOKEN, Running, served
from tests.support import sample_jobs, until

BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE = 30.0
PASSWORD = "some long password"


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with the sample kinds of jobs, whose streams look often after their callers."""
    with pytest.MonkeyPatch.context() as patch:
        sample_jobs.install(patch)
        patch.setattr(stream, "CHECK_SECONDS", 0.2)
        patch.setattr(stream, "HEARTBEAT_SECONDS", 0.3)
        patch.setattr(stream, "CLOSING_POLL_SECONDS", 0.1)
        patch.setattr(sockets, "TOKEN_SECONDS", 1.0)
        with served(tmp_path_factory.mktemp("jobs"), cors_origins="https://pages.example") as running:
            yield running


@pytest.fixture
def api(jobs: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=jobs.url, headers=BEARER, timeout=30) as client:
        yield client


def start(api: httpx.Client, kind: str, subject: str = "", **more: Any) -> int:
    response = api.post("/jobs", json={"kind": kind, "subject": subject, **more})
    assert response.status_code == 202, response.text
    return int(response.json()["id"])


def ended(api: httpx.Client, job: int) -> dict[str, Any]:
    return dict(until(lambda: api.get(f"/jobs/{job}").json(), lambda one: one["state"] not in ("queued", "running")))


@contextlib.contextmanager
def listening(jobs: Running, path: str, token: str = TOKEN, **options: Any) -> Iterator[ClientConnection]:
    """An open stream, with the token as subprotocol."""
    address = jobs.url.replace("http", "ws", 1) + path
    options.setdefault("subprotocols", ["xaiva.bearer", token] if token else None)
    with connect(address, open_timeout=PATIENCE, close_timeout=1, **options) as connection:
        yield connection


def messages(connection: ClientConnection) -> Iterator[dict[str, Any]]:
    """What comes until the service closes the stream, without heartbeats; each fits the schema."""
    schema = JOB_MESSAGE.json_schema(mode="serialization")
    while True:
        try:
            message = json.loads(connection.recv(PATIENCE))
        except ConnectionClosed:
            return
        jsonschema.validate(message, schema)
        if message["type"] != "heartbeat":
            yield message


def refused(jobs: Running, path: str, **options: Any) -> tuple[int, str]:
    """The code and the reason with which a stream is closed at once."""
    with listening(jobs, path, **options) as connection:
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(PATIENCE)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason


def test_one_job_is_seen_from_its_start_to_its_end(jobs: Running, api: httpx.Client) -> None:
    job = start(api, "wait", "watched")
    with listening(jobs, f"/jobs/{job}/stream?after=0") as connection:
        assert connection.subprotocol == "xaiva.bearer"
        seen = messages(connection)
        first = next(seen)
        assert (first["type"], first["job"]["id"]) == ("snapshot", job)
        sample_jobs.release(jobs.service.settings.data, "watched")
        everything = [first, *seen]
        assert (connection.close_code, connection.close_reason) == (1000, "the job has ended")
    events = [message for message in everything if message["type"] == "event"]
    assert [event["what"] for event in events] == ["requested", "started, attempt 1", "done"]
    assert [event["final"] for event in events] == [False, False, True]
    assert events[-1]["result"] == {"waited": True}
    assert everything[-1] is events[-1]
    lines = [line for message in everything if message["type"] == "lines" for line in message["lines"]]
    assert [line.split(" ", 1)[1] for line in lines] == ["waiting for watched"]
    (stage,) = [message for message in everything if message["type"] == "snapshot"][-1]["job"]["stages"]
    assert (stage["state"], stage["done"]) == ("done", 2)


def test_only_stored_events_have_a_seq(jobs: Running, api: httpx.Client) -> None:
    job = start(api, "steps", options={"count": 3})
    with listening(jobs, f"/jobs/{job}/stream?after=0") as connection:
        for message in messages(connection):
            assert ("seq" in message) == (message["type"] == "event")
    with listening(jobs, "/jobs/stream") as connection:
        heartbeat = json.loads(connection.recv(PATIENCE))
        assert set(heartbeat) == {"type", "at"}


def test_a_job_that_had_ended_sends_its_final_event_whatever_one_asks_for(jobs: Running, api: httpx.Client) -> None:
    job = start(api, "quick", "ended")
    ended(api, job)
    newest = api.get(f"/jobs/{job}").json()["history"][-1]["seq"]
    for query in ("", "?after=0", f"?after={newest}", f"?after={newest + 1000}"):
        with listening(jobs, f"/jobs/{job}/stream{query}") as connection:
            seen = list(messages(connection))
        assert seen[0]["type"] == "snapshot"
        assert (seen[-1]["type"], seen[-1]["final"], seen[-1]["seq"]) == ("event", True, newest)
        assert seen[-1]["result"] == {"subject": "ended"}


def test_the_end_of_an_earlier_try_is_not_final(jobs: Running, api: httpx.Client) -> None:
    job = start(api, "wait", "again")
    api.post(f"/jobs/{job}/cancel")
    ended(api, job)
    api.post(f"/jobs/{job}/retry")
    sample_jobs.release(jobs.service.settings.data, "again")
    with listening(jobs, f"/jobs/{job}/stream?after=0") as connection:
        events = [message for message in messages(connection) if message["type"] == "event"]
    assert [event["state"] for event in events if event["final"]] == ["done"]
    assert "cancelled" in [event["what"] for event in events]


def test_a_client_that_is_cut_off_anywhere_sees_every_event_once_and_the_end(jobs: Running, api: httpx.Client) -> None:
    draw = random.Random(11)
    for _ in range(3):
        job = start(api, "steps", options={"count": 60})
        after, seqs, final, lines, offset = 0, [], None, [], 0
        while final is None:
            take = draw.randint(1, 12)
            with listening(jobs, f"/jobs/{job}/stream?after={after}&offset={offset}") as connection:
                for message in messages(connection):
                    if message["type"] == "event":
                        after = message["seq"]
                        seqs.append(after)
                        final = message if message["final"] else None
                    elif message["type"] == "lines":
                        lines += message["lines"]
                        offset = message["next"]
                    take -= 1
                    if not take and final is None:
                        with contextlib.suppress(OSError):  # the service was faster
                            connection.socket.shutdown(socket.SHUT_RDWR)  # as when a line goes down
                        break
        assert final["state"] == "done"
        assert seqs == [entry["seq"] for entry in api.get(f"/jobs/{job}").json()["history"]]
        assert [line.split(": ")[1] for line in lines] == [f"line {number}" for number in range(60)]


def test_the_stream_of_all_jobs_shows_each_with_its_final_event_last(jobs: Running, api: httpx.Client) -> None:
    with listening(jobs, "/jobs/stream") as connection:
        until(lambda: len(jobs.service.jobs.watch._listeners), bool)
        numbers = {start(api, "steps", f"all-{number}", options={"count": 4}) for number in range(4)}
        last: dict[int, dict[str, Any]] = {}
        seqs = []
        for message in messages(connection):
            job = message["job"]["id"] if message["type"] == "snapshot" else message["job"]
            last[job] = message
            seqs += [message["seq"]] if message["type"] == "event" else []
            if all(last.get(one, {}).get("final") for one in numbers):
                break
    assert seqs == sorted(set(seqs))
    assert {last[one]["state"] for one in numbers} == {"done"}


def test_events_that_are_no_longer_kept_are_told(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_jobs.install(monkeypatch)
    monkeypatch.setattr(service, "job_place", lambda *arguments: replace(job_place(*arguments), keep=1))
    with served(tmp_path_factory.mktemp("few")) as few:
        with httpx.Client(base_url=few.url, headers=BEARER, timeout=30) as api:
            for number in range(3):  # the second one stays beside the third, which is not counted while it starts
                newest = ended(api, start(api, "quick", f"{number}"))["history"][-1]["seq"]
            assert [job["id"] for job in api.get("/jobs").json()["jobs"]] == [3, 2]
        for after in (0, newest + 5):  # too old, and of another ledger
            with listening(few, f"/jobs/stream?after={after}") as connection:
                assert next(messages(connection)) == {"type": "resync", "seq": newest}
        with listening(few, f"/jobs/stream?after={newest - 2}") as connection:
            seen = messages(connection)
            assert [next(seen)["seq"], next(seen)["seq"]] == [newest - 1, newest]


def test_a_stream_forgets_the_jobs_that_the_watch_has_forgotten(
    jobs: Running, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[stream.JobStream] = []

    def open_stream(*arguments: Any, **options: Any) -> stream.JobStream:
        opened.append(stream.JobStream(*arguments, **options))
        return opened[0]

    monkeypatch.setattr(job_streams, "JobStream", open_stream)
    with listening(jobs, "/jobs/stream") as connection:
        connection.recv(PATIENCE)
        first = start(api, "quick", "to be forgotten")
        until(lambda: first in opened[0]._sent)
        ended(api, first)
        monkeypatch.setattr(watch, "MAX_ENDED", 1)
        ended(api, start(api, "quick", "to be known"))
        until(lambda: first not in opened[0]._sent)


def test_a_slow_reader_gets_the_newest_state_and_no_growing_buffer(jobs: Running, api: httpx.Client) -> None:
    quiet = start(api, "wait", "slow")
    with listening(jobs, "/jobs/stream", max_queue=1) as slow:
        json.loads(slow.recv(PATIENCE))
        numbers = [start(api, "steps", f"fast-{number}", options={"count": 40}) for number in range(3)]
        for number in numbers:
            ended(api, number)  # the reader has read nothing meanwhile
        states, snapshots = {}, 0
        for message in messages(slow):
            if message["type"] == "snapshot":
                snapshots += 1
            elif message["final"]:
                states[message["job"]] = message["state"]
                if len(states) == len(numbers):
                    break
    assert set(states.values()) == {"done"}
    assert snapshots < 3 * 80  # each step changed twice
    sample_jobs.release(jobs.service.settings.data, "slow")
    ended(api, quiet)


def test_a_stream_opens_the_log_of_its_job_once(
    jobs: Running, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, closed = [], threading.Event()
    open_log, close_log = LogReader._open, LogReader.close

    def count(reader: LogReader) -> bool:
        opened.append(reader)
        return open_log(reader)

    def close(reader: LogReader) -> None:
        close_log(reader)
        closed.set()

    monkeypatch.setattr(LogReader, "_open", count)
    monkeypatch.setattr(LogReader, "close", close)
    job = start(api, "wait", "logged")
    with listening(jobs, f"/jobs/{job}/stream") as connection:
        assert any(message["type"] == "lines" for message in messages(connection))
        before = jobs.service.jobs.watch.view.version
        until(lambda: jobs.service.jobs.watch.view.version > before + 3)
        assert not closed.is_set()
        assert len({id(reader) for reader in opened}) == 1
    assert closed.wait(PATIENCE)
    sample_jobs.release(jobs.service.settings.data, "logged")
    ended(api, job)


def test_the_token_may_be_the_first_message(jobs: Running) -> None:
    with listening(jobs, "/jobs/stream", token="") as connection:
        connection.send(json.dumps({"token": TOKEN}))
        assert json.loads(connection.recv(PATIENCE))["type"] in ("snapshot", "heartbeat")


def test_a_stream_without_a_right_is_closed_with_the_reason(jobs: Running) -> None:
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
    monkeypatch.setattr(sockets.WAITING_SOCKETS, "limit", 1)
    with listening(jobs, "/jobs/stream", token=""):
        until(lambda: sockets.WAITING_SOCKETS._open == 1, bool)
        with pytest.raises(InvalidStatus) as answer, listening(jobs, "/jobs/stream", token=""):
            pass
        assert answer.value.response.status_code == 429
        with listening(jobs, "/jobs/stream") as connection:  # it has its token with it
            connection.recv(PATIENCE)
    until(lambda: sockets.WAITING_SOCKETS._open == 0, bool)


def test_streams_that_do_not_read_keep_no_health_check_out(jobs: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 6)
    monkeypatch.setattr(server._Socket, "is_idle", True)  # as when the client reads nothing
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(listening(jobs, "/jobs/stream")) for _ in range(6)]
        assert httpx.get(f"{jobs.url}/health/live", timeout=20).status_code == 200
        list(messages(streams[0]))  # the oldest one made room


def test_the_same_messages_come_as_server_sent_events(jobs: Running, api: httpx.Client) -> None:
    job = start(api, "steps", "sse", options={"count": 2})
    seen = []
    with api.stream("GET", f"/jobs/{job}/stream", params={"after": 0}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line.startswith("data:"):
                seen.append(json.loads(line[5:]))
    assert seen[0]["type"] == "snapshot"
    assert (seen[-1]["type"], seen[-1]["final"], seen[-1]["state"]) == ("event", True, "done")
    assert api.get("/jobs/999999/stream").status_code == 404


def test_the_schema_of_the_envelope_is_that_of_the_code(api: httpx.Client) -> None:
    schema = api.get("/jobs/stream/schema").json()
    assert schema == JOB_MESSAGE.json_schema(mode="serialization")
    assert set(schema["discriminator"]["mapping"]) == {"event", "snapshot", "lines", "heartbeat", "resync"}


def test_nothing_is_read_while_nobody_listens_and_no_job_is_live(jobs: Running, api: httpx.Client) -> None:
    ended(api, start(api, "quick", "idle"))
    watch = jobs.service.jobs.watch
    until(lambda: not watch._listeners and not watch._woken and watch.view.version, bool)
    until(lambda: (watch.view.version, time.sleep(0.6), watch.view.version), lambda pair: pair[0] == pair[2])


def test_the_streams_end_with_the_service(tmp_path_factory: pytest.TempPathFactory) -> None:
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(served(tmp_path_factory.mktemp("closing")))
        connection = stack.enter_context(listening(running, "/jobs/stream"))
        threading.Thread(target=lambda: (time.sleep(0.1), running.server.close_streams())).start()
        list(messages(connection))
        assert (connection.close_code, connection.close_reason) == (1001, "the service is being stopped")
