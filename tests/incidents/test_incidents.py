"""A decision's way: on disk at once, then picture, facts, analysis, flow and message, whatever is slow or down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from core.inference.events.ids import new_id
from core.inference.incidents import incidents as incidents_module
from core.inference.incidents import saving, unfinished
from core.inference.schemas import (
    AlertKind,
    AnalysisState,
    CameraAlert,
    Channel,
    ChannelKind,
    Event,
    Priority,
    RuleRequest,
)
from tests.analyser.servers import chat_answer, verdict_answer
from tests.incidents.conftest import JPEG, PERSON, Run
from tests.support import PATIENCE, until
from tests.support.disks import fill, small_disk
from tests.support.postgres import Postgres
from tests.support.receivers import Answer, HttpReceiver, Received

Make = Callable[..., Run]


def told(url: str, **fields: Any) -> RuleRequest:
    return RuleRequest(name="ops", channels=(Channel(kind=ChannelKind.WEBHOOK, to=url),), **fields)


def finished(event: Event) -> bool:
    return event.response_time is not None


def test_all_the_way(run: Make) -> None:
    with HttpReceiver(lambda _: verdict_answer("intrusion")) as model, HttpReceiver() as hook:
        one = run(analyser="openai", analyser_url=model.url).start()
        one.rules.add(told(hook.url, types=("intrusion",)))
        ident = one.decide(zone="fence")
        (received,) = hook.wait(1)
        said = received.json["event"]
        assert (said["id"], said["type"], said["camera_name"], said["zone"]) == (ident, "intrusion", "Gate", "fence")
        assert said["analysis"]["description"] == "Somebody climbs the fence."
        event = one.event(ident, finished)
        assert (event.type, event.detector, event.facts, event.snapshot) == ("intrusion", "motion", [PERSON], True)
        assert (event.analysis.state, event.analysis.backend) == (AnalysisState.DONE, "openai")
        assert event.analysis.confidence == 0.8
        assert [(action.step, action.state) for action in event.actions] == [("notify", "done")]
        assert event.response_time is not None
        assert 0 < event.response_time < 30
        assert one.media.snapshot_path(ident).read_bytes() == JPEG


def test_a_slow_analyser_delays_neither_event_nor_message_and_is_taken_when_it_comes(run: Make) -> None:
    release = threading.Event()

    def slow(_: Received) -> Answer:
        release.wait(20)
        return verdict_answer("fire")

    flows = json.dumps({"default": {"wait": 0.1, "steps": [{"kind": "notify"}]}})
    with HttpReceiver(slow) as model, HttpReceiver() as hook:
        one = run(flows=flows, analyser="openai", analyser_url=model.url).start()
        one.rules.add(told(hook.url, within=0))
        ids = [one.decide() for _ in range(5)]
        assert sorted(received.json["event"]["id"] for received in hook.wait(5)) == ids
        for ident in ids:
            assert one.event(ident, finished).analysis.state is AnalysisState.PENDING
        release.set()
        for ident in ids:
            event = one.event(ident, lambda event: event.analysis.state is AnalysisState.DONE)
            assert (event.type, len(event.actions)) == ("fire", 1)
        assert len(hook.received) == 5
        assert len(model.received) == 5  # nobody was asked about twice
        until(lambda: not any(one.incidents.under_way(ident) for ident in ids))


def test_with_a_dead_analyser_the_flow_waits_for_nothing_and_the_answer_follows(run: Make) -> None:
    down = True
    with HttpReceiver(lambda _: Answer(500) if down else verdict_answer("fire")) as model:
        one = run(analyser="openai", analyser_url=model.url).start()
        one.analyser._breaker._first_rest = 0.3  # type: ignore[attr-defined]
        ids = [one.decide() for _ in range(40)]  # more than its queue holds
        for ident in ids:
            assert one.event(ident, finished).analysis.state is AnalysisState.PENDING
        assert one.analyser.status().state == "broken"
        down = False
        for ident in ids:
            assert one.event(ident, lambda event: event.analysis.state is AnalysisState.DONE).type == "fire"


def test_pending_analyses_are_completed_after_a_restart_with_the_snapshot(run: Make) -> None:
    one = run(analyser="openai", analyser_url="http://127.0.0.1:9").start()
    ident = one.decide()
    one.event(ident, finished)
    one.stop()
    with HttpReceiver(lambda _: verdict_answer("fire")) as model:
        two = run(analyser="openai", analyser_url=model.url).start()
        event = two.event(ident, lambda event: event.analysis.state is AnalysisState.DONE)
        assert (event.type, len(event.actions)) == ("fire", 1)
        parts = model.received[0].json["messages"][-1]["content"]
        assert [part["type"] for part in parts] == ["text", "image_url"]
        assert "1 person" in parts[0]["text"]
        two.stop()
    three = run().start()
    three.event(ident, finished)


def test_nonsense_and_a_switched_off_analyser_end_as_failed_with_the_reason(run: Make) -> None:
    with HttpReceiver(lambda _: chat_answer("no idea")) as model:
        one = run(analyser="openai", analyser_url=model.url).start()
        ident = one.decide()
        event = one.event(ident, finished)
        assert event.analysis.state is AnalysisState.FAILED
        assert "no JSON" in event.analysis.why
        model.answer = lambda _: Answer(500)
        pending = one.decide()
        one.event(pending, finished)
        one.stop()
    two = run().start()
    event = two.event(pending, lambda event: event.analysis.state is AnalysisState.FAILED)
    assert "switched off" in event.analysis.why
    assert two.event(two.decide(), finished).analysis.state is AnalysisState.NONE


def test_however_many_analyses_nobody_will_make_any_more_all_are_given_up(
    run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "MOST", 2)
    one = run(analyser="openai", analyser_url="http://127.0.0.1:9").start()
    ids = [one.decide() for _ in range(7)]
    for ident in ids:
        one.incidents.ended(ident, datetime.now(timezone.utc), 0.9, None)
        event = one.event(ident, lambda event: finished(event) and event.ended)
        assert event.analysis.state is AnalysisState.PENDING
    one.stop()
    two = run().start()
    for ident in ids:
        two.event(ident, lambda event: event.analysis.state is AnalysisState.FAILED)


def test_without_analysis_asked_for_nobody_is_asked(run: Make) -> None:
    with HttpReceiver(lambda _: verdict_answer()) as model:
        one = run(analyser="openai", analyser_url=model.url).start()
        one.camera = one.camera.model_copy(update={"analyse": False})
        event = one.event(one.decide(), finished)
        assert (event.analysis.state, event.type, model.received) == (AnalysisState.NONE, "motion", [])


def test_facts_that_fail_and_snapshots_that_are_refused_end_no_event(run: Make, tmp_path: Path) -> None:
    def broken(_: bytes) -> list[Any]:
        raise RuntimeError("no model")

    one = run(facts=broken).start()
    (tmp_path / "media").write_text("a file where the folder should be")
    event = one.event(one.decide(), finished)
    assert (event.facts, event.snapshot) == ([], False)


def test_what_the_camera_tells_later_is_on_the_event(run: Make) -> None:
    one = run().start()
    ident = one.decide()
    assert one.incidents.clip_path(ident).parent.is_dir()
    one.event(ident, lambda event: event.clip.state == "recording")
    ended = datetime.now(timezone.utc)
    one.incidents.ended(ident, ended, 0.97, b"\xff\xd8 a better one")
    one.incidents.clip_done(ident, 8.2, 1234, "")
    event = one.event(ident, lambda event: event.clip.state == "done")
    assert (event.ended, event.score, event.clip.seconds, event.clip.bytes) == (ended, 0.97, 8.2, 1234)
    until(lambda: one.media.snapshot_path(ident).read_bytes() == b"\xff\xd8 a better one")
    one.incidents.clip_done(ident, 0, 0, "the disk is full")
    assert one.event(ident, lambda event: event.clip.state == "failed").clip.why == "the disk is full"


def test_a_camera_that_ails_is_an_event_of_its_own_until_it_is_well(run: Make) -> None:
    with HttpReceiver() as hook:
        one = run().start()
        one.rules.add(told(hook.url, within=0))
        alert = CameraAlert(kind=AlertKind.FROZEN, since=time.time() - 3, reason="the picture has stood still for 3 s")
        for active in (True, True, False, False):
            one.incidents.alert(one.camera, alert, active)
        (received,) = hook.wait(1)
        said = received.json["event"]
        assert (said["type"], said["analysis"]["description"]) == ("camera_frozen", alert.reason)
        event = one.event(said["id"], lambda event: event.ended is not None and finished(event))
        assert (event.score, event.detector) == (1.0, "camera")
        assert event.started < event.decided
        one.incidents.alert(one.camera, alert, True)
        assert hook.wait(2)[1].json["event"]["id"] != event.id


def test_a_full_disk_loses_no_event_and_people_are_told(
    run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "RETRY_SECONDS", 0.05)
    with small_disk(tmp_path / "spool", "1m") as disk, HttpReceiver() as hook:
        one = run()
        for part in (one.notifier, one.analyser, one.incidents):  # nobody empties the spool meanwhile
            part.start()
        one.rules.add(told(hook.url, within=0))
        hog = fill(disk)
        ids: list[str] = []
        while one.logger.status().state != "failing":
            assert len(ids) < 2000, "the disk takes everything"
            ids.append(one.decide())
        ids.append(one.decide())
        one.incidents.ended(ids[-1], datetime.now(timezone.utc), 0.95, None)
        until(lambda: ids[-1] in {received.json["event"]["id"] for received in hook.received})
        assert one.logger.get(ids[-1]) is None
        hog.unlink()
        until(lambda: one.logger.get(ids[-1]))
        one.logger.start()
        event = one.event(ids[-1], lambda event: finished(event) and event.snapshot and event.ended)
        assert event.score == 0.95
        assert one.logger.flush(20)
        for ident in ids:
            assert one.event(ident, finished).actions[0].state == "done"
        one.stop()


def test_a_database_that_is_down_delays_the_message_and_loses_nothing(
    run: Make, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incidents_module, "FLOW_RETRY", 0.1)
    with HttpReceiver() as hook:
        one = run(database_url=postgres.new_database()).start()
        one.rules.add(told(hook.url, within=0))
        postgres.stop()
        try:
            ids = [one.decide() for _ in range(3)]
            until(lambda: one.logger.status().state == "behind")
            assert hook.received == []
        finally:
            postgres.start()
        assert sorted(received.json["event"]["id"] for received in hook.wait(3)) == ids
        for ident in ids:
            assert len(one.event(ident, finished).actions) == 1


def test_urgent_events_go_first(run: Make) -> None:
    turns = threading.Semaphore(0)
    looked: list[bytes] = []

    def look(picture: bytes) -> list[Any]:
        looked.append(picture)
        assert turns.acquire(timeout=PATIENCE)
        return []

    one = run(facts=look).start()
    for number in range(6):
        one.decide(picture=b"normal %d" % number)
    until(lambda: len(looked) == 2)  # as many as are looked at together
    urgent = one.camera.model_copy(update={"priority": Priority.CRITICAL})
    last = one.decide(camera=urgent, picture=b"urgent")
    turns.release()
    until(lambda: len(looked) == 3)
    assert looked[2] == b"urgent"
    turns.release(6)
    one.event(last, finished)


def test_sixteen_cameras_at_once_are_told_of_each_event_once(run: Make) -> None:
    with HttpReceiver(lambda _: verdict_answer("person")) as model, HttpReceiver() as hook:
        one = run(analyser="openai", analyser_url=model.url).start()
        one.rules.add(told(hook.url, within=1))
        ids: list[str] = []

        def decide(number: int) -> None:
            camera = one.camera.model_copy(update={"id": f"camera-{number}"})
            ids.extend([one.decide(camera=camera) for _ in range(4)])

        threads = [threading.Thread(target=decide, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for ident in ids:
            one.event(ident, lambda event: finished(event) and event.analysis.state is AnalysisState.DONE)
        until(lambda: one.notifier.status(), lambda status: status.waiting == 0)
        messages = [received.json for received in hook.received]
        assert sorted(ident for said in messages for ident in said["events"]) == sorted(ids)
        assert sum(said["count"] for said in messages) == len(ids) == 64
        assert len(model.received) == 64
        assert model.most_at_once == 1


def test_what_an_unknown_flow_leaves_is_told(run: Make) -> None:
    one = run().start()
    one.camera = one.camera.model_copy(update={"flow": "gone"})
    event = one.event(one.decide(event=new_id()), finished)
    assert [(action.step, action.state) for action in event.actions] == [("flow", "failed"), ("notify", "done")]
