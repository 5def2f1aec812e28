"""Flows over real events: conditions, results, choices, failures, and a second run after a crash."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.api_schema import Channel, ChannelKind, Event, Fact, Priority, RuleRequest
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.events.ids import new_id
from core.inference.flows.flow_file import read_flows
from core.inference.flows.runner import FlowRunner
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.pool import ModelPool
from core.inference.models.analysis import Analyser, create_analyser
from core.inference.notifications.notifier import Notifier
from core.inference.notifications.rule_store import RuleStore
from core.inference.settings import ServiceSettings
from tests.analyser.servers import chat_answer
from tests.model_pool.fakes import FakeCostStore
from tests.support.receivers import Answer, HttpReceiver

Run = Callable[..., Event]


class Site:
    """A database, a notifier and what was saved of the event."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = ServiceSettings(data=folder)
        self.database = Database(self.settings.database)
        self.rules = RuleStore(self.database)
        self.notifier = Notifier(self.database, self.rules, self.settings)
        self.saved: list[dict[str, Any]] = []
        self.analyser = Analyser(None)

    def ask(self, url: str) -> None:
        """Have an analyser at that address."""
        settings = ServiceSettings(data=self.folder, analyser="openai", analyser_url=url, analyser_timeout=5)
        self.analyser = create_analyser(settings, ModelPool(DeviceBudget(HostMemory(), 0), costs=FakeCostStore()))
        self.analyser.start()

    def run(self, steps: list[dict[str, Any]], event: Event, flow: str = "flow") -> Event:
        path = self.folder / "flows.json"
        path.write_text(json.dumps({"flow": {"steps": steps}}))
        runner = FlowRunner(read_flows(path), self.notifier, self.analyser, ZoneInfo("Europe/Berlin"))
        return runner.run(flow, event, lambda **fields: self.saved.append(fields))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site_ = Site(tmp_path)
    yield site_
    site_.analyser.stop()
    site_.database.close()


def event(**fields: Any) -> Event:
    now = datetime(2026, 7, 1, 20, 30, tzinfo=timezone.utc)  # 22:30 in Berlin
    values = {"id": new_id(), "camera": "gate", "type": "motion", "started": now, "decided": now, "score": 0.6}
    return Event.model_validate({**values, **fields})


def outcomes(event: Event) -> list[tuple[str, str]]:
    return [(action.step, action.state) for action in event.actions]


def test_steps_run_in_order_and_see_what_the_ones_before_did(site: Site) -> None:
    rule = RuleRequest(name="ops", priority=Priority.CRITICAL, channels=(Channel(kind=ChannelKind.EMAIL, to="a@b"),))
    site.rules.add(rule)
    steps = [
        {"kind": "notify", "name": "too-early"},
        {"kind": "raise_priority", "to": "critical"},
        {"kind": "keep_clip", "when": {"priority": "critical"}},
        {"kind": "notify"},
        {"kind": "raise_priority", "to": "low", "name": "never-lower"},
    ]
    after = site.run(steps, event())
    assert [action.detail for action in after.actions] == [
        "no rule matches",
        "priority raised to critical",
        "clip and snapshot are kept",
        "1 message by ops",
        "priority is already critical",
    ]
    assert (after.priority, after.protected) == (Priority.CRITICAL, True)
    assert [set(fields) - {"actions"} for fields in site.saved if set(fields) != {"actions"}] == [
        {"priority"},
        {"protected"},
    ]
    assert len(site.notifier.deliveries(5)) == 1


PERSON = Fact(label="person", score=0.9, box=(0, 0, 1, 1))


@pytest.mark.parametrize(
    ("when", "unmet"),
    [
        ({"types": ["fire"]}, "type motion is not among fire"),
        ({"cameras": ["yard"]}, "camera gate is not among yard"),
        ({"priority": "high"}, "priority normal is below high"),
        ({"score": 0.7}, "score 0.60 is below 0.70"),
        ({"facts": {"person": 3}}, "2 person found, at least 3 required"),
        ({"facts": {"car": 1}}, "0 car found, at least 1 required"),
        ({"schedule": [{"start": "06:00", "end": "22:00"}]}, "the event is outside the schedule"),
        (
            {
                "types": ["fire", "motion"],
                "cameras": ["gate"],
                "priority": "normal",
                "score": 0.6,
                "facts": {"person": 2},
                "schedule": [{"start": "22:00", "end": "06:00"}],
            },
            "",
        ),
    ],
)
def test_conditions(site: Site, when: dict[str, Any], unmet: str) -> None:
    after = site.run([{"kind": "keep_clip", "when": when}], event(facts=[PERSON, PERSON]))
    (action,) = after.actions
    assert (action.state, action.detail) == (("skipped", unmet) if unmet else ("done", "clip and snapshot are kept"))


def test_a_failing_step_is_told_and_the_next_runs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIREN_SECRET", "the key")
    with HttpReceiver() as siren, HttpReceiver(lambda _: Answer(500)) as broken:
        steps = [
            {"kind": "webhook", "url": "http://127.0.0.1:9/x", "name": "nobody"},
            {"kind": "webhook", "url": broken.url, "name": "broken"},
            {"kind": "webhook", "url": siren.url, "name": "unsigned", "secret_variable": "NOT_SET"},
            {"kind": "webhook", "url": f"{siren.url}/on", "name": "siren", "secret_variable": "SIREN_SECRET"},
        ]
        after = site.run(steps, event())
        assert [(action.state, action.detail.partition(": ")[2]) for action in after.actions[:3]] == [
            ("failed", "nothing listens at that host and port"),
            ("failed", "it answers with status 500"),
            ("failed", "the variable NOT_SET is not set in the service's environment"),
        ]
        assert (after.actions[3].state, after.actions[3].detail) == ("done", "accepted with status 200")
        (received,) = siren.received
        assert received.json["event"]["id"] == after.id
        assert received.headers["idempotency-key"] == f"{after.id}/siren"
        moment, signed = (part.split("=")[1] for part in received.headers["x-xaiva-signature"].split(","))
        assert signed == hmac.new(b"the key", f"{moment}.".encode() + received.body, hashlib.sha256).hexdigest()


CHOICE = {
    "kind": "choose",
    "question": "Is somebody in danger?",
    "options": {
        "yes": [{"kind": "raise_priority", "to": "critical"}, {"kind": "keep_clip"}],
        "no": [{"kind": "keep_clip", "name": "keep-anyway"}],
    },
}


def test_the_language_model_chooses_the_branch(site: Site) -> None:
    with HttpReceiver(lambda _: chat_answer('```json\n{"choice": "Yes"}\n```')) as model:
        site.ask(model.url)
        after = site.run([CHOICE, {"kind": "notify"}], event(facts=[PERSON]))
        assert outcomes(after) == [
            ("choose", "done"),
            ("choose.yes.raise_priority", "done"),
            ("choose.yes.keep_clip", "done"),
            ("notify", "done"),
        ]
        assert after.priority is Priority.CRITICAL
        (request,) = model.received
        schema = request.json["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["choice"]["enum"] == ["yes", "no"]
        assert "Is somebody in danger?" in request.json["messages"][-1]["content"]
        assert "1 person" in request.json["messages"][-1]["content"]


@pytest.mark.parametrize("answer", [Answer(500), chat_answer("I cannot say."), chat_answer('{"choice": "perhaps"}')])
def test_without_a_choice_the_otherwise_branch_runs_or_the_step_fails(site: Site, answer: Answer) -> None:
    with HttpReceiver(lambda _: answer) as model:
        site.ask(model.url)
        after = site.run([{**CHOICE, "otherwise": "no"}, {"kind": "notify"}], event())
        assert outcomes(after) == [("choose", "done"), ("choose.no.keep-anyway", "done"), ("notify", "done")]
        assert after.actions[0].detail.startswith("chose no without the analyser: ")
        assert outcomes(site.run([CHOICE, {"kind": "notify"}], event())) == [("choose", "failed"), ("notify", "done")]


def test_a_second_run_goes_on_where_the_first_stopped(site: Site) -> None:
    with HttpReceiver(lambda _: chat_answer('{"choice": "yes"}')) as model, HttpReceiver() as siren:
        site.ask(model.url)
        steps = [CHOICE, {"kind": "webhook", "url": siren.url}]
        after = site.run(steps, event())
        halfway = after.model_copy(update={"actions": after.actions[:2]})
        again = site.run(steps, halfway)
        assert outcomes(again) == outcomes(after)
        assert (len(model.received), len(siren.received)) == (1, 2)  # the choice stands; the siren was not noted yet
        assert site.run(steps, again) == again


def test_a_flow_that_is_not_there_is_told_and_the_default_runs(site: Site) -> None:
    after = site.run([], event(), flow="gone")
    assert outcomes(after) == [("flow", "failed"), ("notify", "done")]
    assert "no flow gone" in after.actions[0].detail


def test_an_outbox_that_cannot_be_written_stops_the_flow_to_be_run_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.rules.add(RuleRequest(name="ops", channels=(Channel(kind=ChannelKind.EMAIL, to="a@b"),)))
    steps = [{"kind": "keep_clip"}, {"kind": "notify"}]
    first = event()
    write = Database.write

    def refuse(*_: object) -> None:
        raise DatabaseError("Database", "its disk is full")

    monkeypatch.setattr(Database, "write", refuse)
    with pytest.raises(DatabaseError):
        site.run(steps, first)
    monkeypatch.setattr(Database, "write", write)
    saved = first.model_copy(update={"actions": site.saved[-1]["actions"]})
    assert outcomes(saved) == [("keep_clip", "done")]
    assert outcomes(site.run(steps, saved)) == [("keep_clip", "done"), ("notify", "done")]
    assert len(site.notifier.deliveries(5)) == 1
