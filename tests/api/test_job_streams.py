"""The streams of jobs, with a real client: cut and resumed anywhere, slow, and when the service closes."""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.api_schema.jobs import JOB_MESSAGE
from core.inference.api import job_streams
from core.inference.jobs import service, stream, watch
from core.inference.jobs.place import job_place
from core.operations.database import shared_connection, transaction
from core.operations.ledger import Ledger
from core.operations.log import LogReader
from core.operations.rows import record_event
from core.operations.sql import INSERT
from tests.api.job_streams import BEARER, PATIENCE, ended, listening, messages, start
from tests.api.serving import Running, served
from tests.support import sample_jobs, until


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
        connection.recv(PATIENCE)  # from here on it gets every event
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


def test_a_stream_goes_on_when_the_ledger_was_replaced(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_jobs.install(monkeypatch)
    with served(tmp_path_factory.mktemp("replaced")) as running, contextlib.ExitStack() as stack:
        api = stack.enter_context(httpx.Client(base_url=running.url, headers=BEARER, timeout=30))
        for number in range(2):
            ended(api, start(api, "quick", f"{number}"))
        connection = stack.enter_context(listening(running, "/jobs/stream"))
        json.loads(connection.recv(PATIENCE))
        known = running.service.jobs
        place = replace(known.place, state=tmp_path)
        with transaction(shared_connection(place.ledger)) as ledger:
            ledger.execute(
                INSERT, dict.fromkeys(re.findall(r":(\w+)", INSERT), "") | {"options": "{}", "now": 1.0, "priority": 0}
            )
            ledger.execute("UPDATE operation SET state = 'failed'")
            record_event(ledger, 1, "failed")
        known._opened = (place, Ledger(place))
        until(lambda: known.watch.view.newest == 1)
        seen = (message for message in messages(connection) if message["type"] != "snapshot")
        assert next(seen) == {"type": "resync", "seq": 1}
        with transaction(shared_connection(place.ledger)) as ledger:
            ledger.execute("UPDATE operation SET state = 'done'")
            record_event(ledger, 1, "done")
        event = next(seen)
        assert (event["seq"], event["final"]) == (2, True)
        assert set(known.watch.view.jobs) == {1}


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
        if reader in opened:  # not one of a stream of another test, which ends late
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
