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

from core.api_schema import (
    AlertKind,
    AnalysisState,
    CameraAlert,
    Channel,
    ChannelKind,
    Event,
    Priority,
    RuleRequest,
)
from core.inference.event_pipeline import coordinator as coordinator_module
from core.inference.event_pipeline import ordered_writer, recovery_queries
from core.inference.events.ids import new_id
from tests.analyser.servers import chat_answer, verdict_answer
from tests.event_pipeline.conftest import JPEG, PERSON, Run
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
        pipeline = run(analyser="openai", analyser_url=model.url).start()
        pipeline.rules.add(told(hook.url, types=("intrusion",)))
        ident = pipeline.decide(zone="fence")
        (received,) = hook.wait(1)
        payload = received.json["event"]
        assert (payload["id"], payload["type"], payload["camera_name"], payload["zone"]) == (
            ident,
            "intrusion",
            "Gate",
            "fence",
        )
        assert payload["analysis"]["description"] == "Somebody climbs the fence."
        event = pipeline.event(ident, finished)
        assert (event.type, event.detector, event.facts, event.snapshot) == ("intrusion", "motion", [PERSON], True)
        assert (event.analysis.state, event.analysis.backend) == (AnalysisState.DONE, "openai")
        assert event.analysis.confidence == 0.8
        assert [(action.step, action.state) for action in event.actions] == [("notify", "done")]
        assert event.response_time is not None
        assert 0 < event.response_time < 30
        assert pipeline.media.snapshot_path(ident).read_bytes() == JPEG


def test_a_slow_analyser_delays_neither_event_nor_message_and_is_taken_when_it_comes(run: Make) -> None:
    release = threading.Event()

    def slow(_: Received) -> Answer:
        release.wait(20)
        return verdict_answer("fire")

    flows = json.dumps({"default": {"wait": 0.1, "steps": [{"kind": "notify"}]}})
    with HttpReceiver(slow) as model, HttpReceiver() as hook:
        pipeline = run(flows=flows, analyser="openai", analyser_url=model.url).start()
        pipeline.rules.add(told(hook.url, within=0))
        ids = [pipeline.decide() for _ in range(5)]
        assert sorted(received.json["event"]["id"] for received in hook.wait(5)) == ids
        for ident in ids:
            assert pipeline.event(ident, finished).analysis.state is AnalysisState.PENDING
        release.set()
        for ident in ids:
            event = pipeline.event(ident, lambda event: event.analysis.state is AnalysisState.DONE)
            assert (event.type, len(event.actions)) == ("fire", 1)
        assert len(hook.received) == 5
        assert len(model.received) == 5  # nobody was asked about twice
        until(lambda: not any(pipeline.coordinator.is_pending(ident) for ident in ids))


def test_with_a_dead_analyser_the_flow_waits_for_nothing_and_the_answer_follows(run: Make) -> None:
    down = True
    with HttpReceiver(lambda _: Answer(500) if down else verdict_answer("fire")) as model:
        pipeline = run(analyser="openai", analyser_url=model.url).start()
        pipeline.analyser._breaker._first_rest = 0.3  # type: ignore[attr-defined]
        ids = [pipeline.decide() for _ in range(40)]  # more than its queue holds
        for ident in ids:
            assert pipeline.event(ident, finished).analysis.state is AnalysisState.PENDING
        assert pipeline.analyser.status().state == "broken"
        down = False
        for ident in ids:
            assert pipeline.event(ident, lambda event: event.analysis.state is AnalysisState.DONE).type == "fire"


def test_pending_analyses_are_completed_after_a_restart_with_the_snapshot(run: Make) -> None:
    pipeline = run(analyser="openai", analyser_url="http://127.0.0.1:9").start()
    ident = pipeline.decide()
    pipeline.event(ident, finished)
    pipeline.stop()
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
        pipeline = run(analyser="openai", analyser_url=model.url).start()
        ident = pipeline.decide()
        event = pipeline.event(ident, finished)
        assert event.analysis.state is AnalysisState.FAILED
        assert "no JSON" in event.analysis.why
        model.answer = lambda _: Answer(500)
        pending = pipeline.decide()
        pipeline.event(pending, finished)
        pipeline.stop()
    two = run().start()
    event = two.event(pending, lambda event: event.analysis.state is AnalysisState.FAILED)
    assert "switched off" in event.analysis.why
    assert two.event(two.decide(), finished).analysis.state is AnalysisState.NONE


def test_however_many_analyses_nobody_will_make_any_more_all_are_given_up(
    run: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery_queries, "MAX_EVENTS", 2)
    pipeline = run(analyser="openai", analyser_url="http://127.0.0.1:9").start()
    ids = [pipeline.decide() for _ in range(7)]
    for ident in ids:
        pipeline.coordinator.ended(ident, datetime.now(timezone.utc), 0.9, None)
        event = pipeline.event(ident, lambda event: finished(event) and event.ended)
        assert event.analysis.state is AnalysisState.PENDING
    pipeline.stop()
    two = run().start()
    for ident in ids:
        two.event(ident, lambda event: event.analysis.state is AnalysisState.FAILED)


def test_without_analysis_asked_for_nobody_is_asked(run: Make) -> None:
    with HttpReceiver(lambda _: verdict_answer()) as model:
        pipeline = run(analyser="openai", analyser_url=model.url).start()
        pipeline.camera = pipeline.camera.model_copy(update={"analyse": False})
        event = pipeline.event(pipeline.decide(), finished)
        assert (event.analysis.state, event.type, model.received) == (AnalysisState.NONE, "motion", [])


def test_facts_that_fail_and_snapshots_that_are_refused_end_no_event(run: Make, tmp_path: Path) -> None:
    def broken(_: bytes) -> list[Any]:
        raise RuntimeError("no model")

    pipeline = run(facts=broken).start()
    (tmp_path / "media").write_text("a file where the folder should be")
    event = pipeline.event(pipeline.decide(), finished)
    assert (event.facts, event.snapshot) == ([], False)


def test_what_the_camera_tells_later_is_on_the_event(run: Make) -> None:
    pipeline = run().start()
    ident = pipeline.decide()
    assert pipeline.coordinator.clip_path(ident).parent.is_dir()
    pipeline.event(ident, lambda event: event.clip.state == "recording")
    ended = datetime.now(timezone.utc)
    pipeline.coordinator.ended(ident, ended, 0.97, b"\xff\xd8 a better one")
    pipeline.coordinator.clip_done(ident, 8.2, 1234, "")
    event = pipeline.event(ident, lambda event: event.clip.state == "done")
    assert (event.ended, event.score, event.clip.seconds, event.clip.bytes) == (ended, 0.97, 8.2, 1234)
    until(lambda: pipeline.media.snapshot_path(ident).read_bytes() == b"\xff\xd8 a better one")
    pipeline.coordinator.clip_done(ident, 0, 0, "the disk is full")
    assert pipeline.event(ident, lambda event: event.clip.state == "failed").clip.why == "the disk is full"


def test_a_camera_that_ails_is_an_event_of_its_own_until_it_is_well(run: Make) -> None:
    with HttpReceiver() as hook:
        pipeline = run().start()
        pipeline.rules.add(told(hook.url, within=0))
        alert = CameraAlert(kind=AlertKind.FROZEN, since=time.time() - 3, reason="the picture has stood still for 3 s")
        for active in (True, True, False, False):
            pipeline.coordinator.alert(pipeline.camera, alert, active)
        (received,) = hook.wait(1)
        payload = received.json["event"]
        assert (payload["type"], payload["analysis"]["description"]) == ("camera_frozen", alert.reason)
        event = pipeline.event(payload["id"], lambda event: event.ended is not None and finished(event))
        assert (event.score, event.detector) == (1.0, "camera")
        assert event.started < event.decided
        pipeline.coordinator.alert(pipeline.camera, alert, True)
        assert hook.wait(2)[1].json["event"]["id"] != event.id


def test_a_full_disk_loses_no_event_and_people_are_told(
    run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered_writer, "RETRY_SECONDS", 0.05)
    with small_disk(tmp_path / "spool", "1m") as disk, HttpReceiver() as hook:
        pipeline = run()
        for part in (pipeline.notifier, pipeline.analyser, pipeline.coordinator):  # nobody empties the spool meanwhile
            part.start()
        pipeline.rules.add(told(hook.url, within=0))
        hog = fill(disk)
        ids: list[str] = []
        while pipeline.logger.status().state != "failing":
            assert len(ids) < 2000, "the disk takes everything"
            ids.append(pipeline.decide())
        ids.append(pipeline.decide())
        pipeline.coordinator.ended(ids[-1], datetime.now(timezone.utc), 0.95, None)
        until(lambda: ids[-1] in {received.json["event"]["id"] for received in hook.received})
        assert pipeline.logger.get(ids[-1]) is None
        hog.unlink()
        until(lambda: pipeline.logger.get(ids[-1]))
        pipeline.logger.start()
        event = pipeline.event(ids[-1], lambda event: finished(event) and event.snapshot and event.ended)
        assert event.score == 0.95
        assert pipeline.logger.flush(20)
        for ident in ids:
            assert pipeline.event(ident, finished).actions[0].state == "done"
        pipeline.stop()


def test_a_database_that_is_down_delays_the_message_and_loses_nothing(
    run: Make, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator_module, "FLOW_RETRY_SECONDS", 0.1)
    with HttpReceiver() as hook:
        pipeline = run(database_url=postgres.new_database()).start()
        pipeline.rules.add(told(hook.url, within=0))
        postgres.stop()
        try:
            ids = [pipeline.decide() for _ in range(3)]
            until(lambda: pipeline.logger.status().state == "behind")
            assert hook.received == []
        finally:
            postgres.start()
        assert sorted(received.json["event"]["id"] for received in hook.wait(3)) == ids
        for ident in ids:
            assert len(pipeline.event(ident, finished).actions) == 1


def test_urgent_events_go_first(run: Make) -> None:
    turns = threading.Semaphore(0)
    pictures: list[bytes] = []

    def look(picture: bytes) -> list[Any]:
        pictures.append(picture)
        assert turns.acquire(timeout=PATIENCE)
        return []

    pipeline = run(facts=look).start()
    for number in range(6):
        pipeline.decide(picture=b"normal %d" % number)
    until(lambda: len(pictures) == 2)  # as many as are looked at together
    urgent = pipeline.camera.model_copy(update={"priority": Priority.CRITICAL})
    last = pipeline.decide(camera=urgent, picture=b"urgent")
    turns.release()
    until(lambda: len(pictures) == 3)
    assert pictures[2] == b"urgent"
    turns.release(6)
    pipeline.event(last, finished)


def test_sixteen_cameras_at_once_are_told_of_each_event_once(run: Make) -> None:
    with HttpReceiver(lambda _: verdict_answer("person")) as model, HttpReceiver() as hook:
        pipeline = run(analyser="openai", analyser_url=model.url).start()
        pipeline.rules.add(told(hook.url, within=1))
        ids: list[str] = []

        def decide(number: int) -> None:
            camera = pipeline.camera.model_copy(update={"id": f"camera-{number}"})
            ids.extend([pipeline.decide(camera=camera) for _ in range(4)])

        threads = [threading.Thread(target=decide, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for ident in ids:
            pipeline.event(ident, lambda event: finished(event) and event.analysis.state is AnalysisState.DONE)
        until(lambda: pipeline.notifier.status(), lambda status: status.waiting == 0)
        messages = [received.json for received in hook.received]
        assert sorted(ident for payload in messages for ident in payload["events"]) == sorted(ids)
        assert sum(said["count"] for said in messages) == len(ids) == 64
        assert len(model.received) == 64
        assert model.most_at_once == 1


def test_what_an_unknown_flow_leaves_is_told(run: Make) -> None:
    pipeline = run().start()
    pipeline.camera = pipeline.camera.model_copy(update={"flow": "gone"})
    event = pipeline.event(pipeline.decide(event=new_id()), finished)
    assert [(action.step, action.state) for action in event.actions] == [("flow", "failed"), ("notify", "done")]


def test_a_defect_of_an_inspection_goes_all_the_way_and_stays_a_defect(run: Make) -> None:
    with HttpReceiver(lambda _: verdict_answer("intrusion")) as model, HttpReceiver() as hook:
        pipeline = run(analyser="openai", analyser_url=model.url, facts=lambda _: [PERSON]).start()
        pipeline.rules.add(told(hook.url, types=("defect",), within=3600))
        now = datetime.now(timezone.utc)
        for product in ("screw", "plate"):
            values = {
                "camera": "inspection",
                "type": "defect",
                "score": 0.9,
                "product": product,
                "detector": "inspection",
            }
            event = Event.model_validate({**values, "id": new_id(), "started": now, "decided": now, "ended": now})
            pipeline.coordinator.inspected(event, "default", JPEG)
            done = pipeline.event(event.id, finished)
            assert (done.type, done.product, done.facts, done.snapshot) == ("defect", product, [], True)
            assert done.analysis.description == "Somebody climbs the fence."
        assert sorted(each.json["event"]["product"] for each in hook.wait(2)) == ["plate", "screw"]  # not merged
        asked = json.dumps([request.json for request in model.wait(2)])
        assert "Product: screw" in asked
        assert "surveillance" not in asked
