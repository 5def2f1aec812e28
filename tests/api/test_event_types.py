"""Types of events say what was seen, also where an older service or an older record has the detector's word."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from core.api_schema import DayStatistics, EventQuery, RuleRequest
from core.api_schema.base import VERSION_HEADER
from core.api_schema.event_types import EVENT_TYPES
from core.errors import InputError
from core.inference.events.spool_records import Record, changed_fields
from core.inference.flows.flow import Condition
from core.inference.models import registry
from core.service_client.client import ServiceClient
from tests.events.support import an_event

CHANNELS = [{"kind": "email", "to": "a@example.org"}]


def rule(*types: str) -> RuleRequest:
    return RuleRequest.model_validate({"name": "ops", "types": types, "channels": CHANNELS})


def test_every_detector_has_a_type() -> None:
    assert EVENT_TYPES.keys() == {*registry.detector_types(), registry.PERSONS}
    assert not set(EVENT_TYPES.values()) & {registry.MEMORY, registry.ONNX, registry.PERSONS}


def test_a_record_of_an_older_xaiva_has_todays_type() -> None:
    event = an_event(type="anomaly")
    old = Record(event.id, True, 0, event.model_dump(mode="json") | {"type": "memory"})
    assert old.applied_to(None) == event
    assert changed_fields(Record(event.id, False, 0, {"type": "onnx"})) == {"type": "anomaly"}


def test_counts_of_types_that_became_one_are_added() -> None:
    day = DayStatistics.model_validate({"date": "2026-01-01", "camera": "a", "by_type": {"memory": 1, "onnx": 2}})
    assert day.by_type == {"anomaly": 3}


def test_a_rule_and_a_flow_may_still_name_a_detector() -> None:
    assert rule("memory", "onnx", "fire").types == ("anomaly", "fire")
    assert Condition(types=("persons",)).types == ("person",)


class OldService(HTTPServer):
    """Speaks version 2 of the API."""

    def __init__(self) -> None:
        self.rules: list[dict[str, Any]] = []
        self.paths: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: OldService

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        event = an_event(camera="gate").model_dump(mode="json") | {"type": "memory"}
        health = {"live": True, "ready": True, "version": "1", "service": "xaiva-inference", "api": 2}
        self._answer(health if self.path == "/health" else {"events": [event], "next": ""})

    def do_POST(self) -> None:
        self.server.rules.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(self.server.rules[-1])

    do_PUT = do_POST

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header(VERSION_HEADER, "2")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def old() -> Iterator[OldService]:
    with OldService() as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield service
        service.shutdown()


@pytest.fixture
def client(old: OldService) -> Iterator[ServiceClient]:
    client = ServiceClient(f"http://127.0.0.1:{old.server_port}", 5, token="token")
    yield client
    client.close()


def test_events_of_an_older_service_are_shown_with_todays_types(client: ServiceClient, old: OldService) -> None:
    assert [event.type for event in client.all_events()] == ["anomaly"]
    assert client.events(EventQuery(type="person")).events
    assert old.paths[-1].startswith("/events?type=person")
    with pytest.raises(InputError, match="older and calls them memory or onnx"):
        client.events(EventQuery(type="anomaly"))


def test_a_rule_for_an_older_service_has_its_words_too(client: ServiceClient, old: OldService) -> None:
    assert client.add_rule(rule("anomaly", "fire")).types == ("anomaly", "fire")
    client.update_rule(rule("motion"))
    client.update_rule(rule())
    assert [one["types"] for one in old.rules] == [["anomaly", "fire", "memory", "onnx"], ["motion"], []]
