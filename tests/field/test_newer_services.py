"""A closed list over somebody else's vocabulary: what a newer inference service says and this version does not know.

It is shown as it is, in its row alone, and never as fine. `test_foreign_words.py` has the same for the engine, NVML,
BuildKit and the ledger.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from core.api_schema import API_VERSION, CameraRequest, Priority, RuleRequest, UserRequest
from core.api_schema.base import VERSION_HEADER
from core.api_schema.users import Role
from core.errors import InputError
from core.presets.validation import validate_text
from core.service_client.client import ServiceClient
from core.service_client.errors import ServiceError
from tests.support.json_server import json_server
from tui.formatters import cameras as camera_format
from tui.formatters import events as event_format
from tui.formatters import overview, service
from tui.formatters.cells import plain_text

# -- a newer service --------------------------------------------------------------------------------------------------

CAMERA = {"id": "good", "name": "good", "source": "rtsp://h/1", "state": "live", "fps": 25}
EVENT = {"id": "018f0000-0000-7000-8000-000000000001", "camera": "good", "type": "motion", "priority": "high"}
EVENT |= {"started": "2026-01-01T00:00:00Z", "decided": "2026-01-01T00:00:01Z", "score": 0.9}
STATUS = {"version": "9", "started": 1, "uptime": 1, "rss": 1, "cameras": [CAMERA]}
RULE = {"name": "good", "enabled": True, "cameras": [], "types": [], "priority": "low", "schedule": [], "within": 1}
RULE["channels"] = [{"kind": "email", "to": "a@example.org"}]
USER = {"name": "good", "role": "viewer", "created": "2026-01-01T00:00:00Z"}


def service_of(**answers: Any) -> contextlib.AbstractContextManager[str]:
    return json_server({f"/{name}": answer for name, answer in answers.items()}, {VERSION_HEADER: str(API_VERSION)})


@contextlib.contextmanager
def client_of(**answers: Any) -> Iterator[ServiceClient]:
    with service_of(**answers) as address, contextlib.closing(ServiceClient(f"http://{address}")) as client:
        yield client


# how a camera of a newer service differs → a word that its row then shows
CAMERAS: dict[str, tuple[Any, str]] = {
    "state": ({"state": "calibrating"}, "calibrating"),
    "state-null": ({"state": None}, "unknown"),
    "state-number": ({"state": 3}, "3"),
    "state-gone": ({"state": ...}, "unknown"),
    "alert-kind": ({"alerts": [{"kind": "fogged", "since": 1, "reason": "it is foggy"}]}, "fogged"),
    "alerts-null": ({"alerts": None}, "alerts"),
    "figure-is-text": ({"fps": "many"}, "fps"),
    "name-gone": ({"name": ...}, "name"),
    "name-null": ({"name": None}, "name"),
    "more-fields": ({"ptz": {"pan": 1}}, "live"),
    "cause": ({"state": "disconnected", "cause": "licence", "reason": "no licence"}, "no licence"),
    "row-null": (None, "all of it"),
    "row-text": ("odd", "all of it"),
    "row-empty": ({}, "all of it"),
}


def changed(base: dict[str, Any], change: Any) -> Any:
    if not change or not isinstance(change, dict):
        return change
    return {name: value for name, value in {**base, **change}.items() if value is not ...}


@pytest.mark.parametrize("case", CAMERAS)
def test_a_camera_of_a_newer_service(case: str) -> None:
    change, word = CAMERAS[case]
    odd = changed({**CAMERA, "id": "odd"}, change)
    with client_of(status={**STATUS, "cameras": [odd, CAMERA]}, cameras=[odd, CAMERA]) as client:
        status, cameras = client.status(), client.cameras()
    assert cameras == status.cameras
    (good,) = (camera for camera in cameras if camera.id == CAMERA["id"])
    (newer,) = (camera for camera in cameras if camera.id != CAMERA["id"])
    assert good.fps == 25
    assert not good.unreadable
    row = [plain_text(cell) for cell in camera_format.row(newer)]
    assert word in " ".join(row)
    state = camera_format.state(newer)
    assert state.role != "ok" or newer.state.is_known
    assert camera_format.summary(status, 100)
    assert camera_format.detail(cameras[0], 80)
    assert camera_format.missing_picture_reason(cameras[0]) or cameras[0].state.is_known
    alerts = " ".join(plain_text(alert) for alert in overview.alert_lines(None, None, None, status, None, None, 200))
    assert word in alerts or case == "more-fields"


EVENTS: dict[str, tuple[Any, str]] = {
    "priority": ({"priority": "urgent"}, "urgent"),
    "priority-null": ({"priority": None}, "unknown"),
    "type": ({"type": "Smoke & Fire"}, "Smoke & Fire"),
    "started-text": ({"started": "soon"}, "started"),
    "score-null": ({"score": None}, "score"),
    "clip-state": ({"clip": {"state": "transcoding"}}, "transcoding"),
    "clip-null": ({"clip": None}, "clip"),
    "clip-state-gone": ({"clip": {}}, "unknown"),
    "analysis-state": ({"analysis": {"state": "queued"}}, "queued"),
    "action-state": ({"actions": [{"step": "siren", "state": "postponed", "at": "2026-01-01T00:00:00Z"}]}, "postponed"),
    "fact-row": ({"facts": [{"label": "person"}, 3]}, "person"),
    "row-null": (None, "all of it"),
}


@pytest.mark.parametrize("case", EVENTS)
def test_an_event_of_a_newer_service(case: str) -> None:
    change, word = EVENTS[case]
    with client_of(events={"events": [changed(EVENT, change), EVENT], "next": None}) as client:
        odd, good = client.events().events
    assert good.priority is Priority.HIGH
    assert not good.unreadable
    texts = [plain_text(cell) for cell in event_format.row(odd)]
    texts += [plain_text(line) for line in event_format.detail(odd, 100)]
    assert word in " ".join(texts)


LEDGER = {"device": "cuda:0", "total": 1, "reserve": 0, "ours": 0}
PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "logger": ({"logger": {"state": "compacting"}}, "compacting"),
    "logger-gone": ({}, "unknown"),
    "storage-null": ({"storage": None}, "unknown"),
    "analyser": ({"analyser": {"state": "warming"}}, "warming"),
    "model": ({"ledger": {**LEDGER, "models": [{"key": "m", "state": "paging"}, None]}}, "paging"),
}


@pytest.mark.parametrize("case", PARTS)
def test_a_part_of_a_newer_service(case: str) -> None:
    change, word = PARTS[case]
    with client_of(status={**STATUS, **change}) as client:
        status = client.status()
    lines = service.summary(status, None, 100)
    (line,) = [one for one in lines if word in plain_text(one)][:1]
    assert not any(span.role == "ok" for span in line)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"priority": "urgent"}, "urgent"),
        ({"channels": [{"kind": "sms", "to": "+49 1"}]}, "+49 1"),
        ({"channels": [{"kind": "email", "to": "b@example.org", "retries": 3}]}, "channels"),
        ({"schedule": None}, "schedule"),
        (None, "all of it"),
    ],
    ids=["priority", "channel-kind", "channel-field", "schedule-null", "row-null"],
)
def test_a_rule_of_a_newer_service_is_shown_and_not_overwritten(change: Any, word: str) -> None:
    with client_of(rules=[changed(RULE, change), RULE], **{"rules/odd": changed(RULE, change) or {}}) as client:
        odd, good = client.rules()
        if odd.unreadable:
            with pytest.raises(ServiceError):
                client.rule("odd")
    assert good.channels[0].to == "a@example.org"
    shown = [*service.rule_row(odd), *service.rule_detail(odd, [], 90)]
    assert word in " ".join(plain_text(one) for one in shown)


def test_a_role_that_is_not_known_is_shown_and_allows_nothing() -> None:
    with client_of(users=[{**USER, "role": "auditor"}, {**USER, "role": None}, USER]) as client:
        users = client.users()
    assert [user.role.word for user in users] == ["auditor", "unknown", "viewer"]
    assert users[0].role.rank < Role.VIEWER.rank
    assert "auditor" in " ".join(plain_text(one) for one in service.user_detail(users[0], 80))


def test_a_delivery_of_a_newer_service() -> None:
    delivery = {"id": "1", "rule": "good", "kind": "pager", "to": "x", "created": "2026-01-01T00:00Z"}
    delivery["state"] = "deferred"
    with client_of(deliveries=[delivery, {"id": 1}], rules=[RULE]) as client:
        (rule,), deliveries = client.rules(), client.deliveries()
    assert "deferred" in " ".join(plain_text(line) for line in service.rule_detail(rule, deliveries, 90))


def test_settings_of_a_newer_service_are_not_lost() -> None:
    settings = {"id": "good", "source": "rtsp://h/1", "detection": {"detector": "motion", "zoom": 2}}
    answers = {"cameras/good/settings": settings}
    with client_of(**answers) as client, pytest.raises(ServiceError, match=r"detection\.zoom"):
        client.camera_settings("good")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (CameraRequest, {"id": "a", "source": "rtsp://h/1", "priority": "urgent"}),
        (CameraRequest, {"id": "a", "source": "rtsp://h/1", "transport": "quic"}),
        (UserRequest, {"name": "a", "password": "0123456789", "role": "auditor"}),
        (UserRequest, {"name": "a", "password": "0123456789", "role": ""}),
        (RuleRequest, {"name": "a", "channels": [{"kind": "sms", "to": "+49 1"}]}),
    ],
    ids=["priority", "transport", "role", "empty-role", "channel-kind"],
)
def test_a_request_with_a_word_of_nobody_is_refused(kind: Any, fields: dict[str, Any]) -> None:
    from core.service_client import text_formats

    with pytest.raises(InputError, match="is not allowed here"):
        text_formats.build_request(kind, fields)


def test_a_service_is_read_by_the_command_line(tmp_path: Path) -> None:
    from core.cli.app import root

    odd = [{**CAMERA, "id": "odd", "state": "calibrating"}, {"id": "cut"}, CAMERA]
    with service_of(status={**STATUS, "cameras": odd}, cameras=odd) as address:
        (tmp_path / "site.toml").write_text(f'[service]\nurl = "http://{address}"\n')
        result = CliRunner().invoke(root, ["--site", str(tmp_path), "camera", "list"])
        document = CliRunner().invoke(root, ["--site", str(tmp_path), "camera", "list", "--json"])
    assert "calibrating" in result.output, result.output
    assert "cannot be read" in result.output, result.output
    rows = {row["id"]: row.get("unreadable", "") for row in json.loads(document.output)["cameras"]}
    assert rows == {"odd": "", "cut": "name, source", CAMERA["id"]: ""}


def test_a_preset_is_ours_and_stays_closed(tmp_path: Path) -> None:
    text = '{"base_image": "a:1", "python_version": "3.11", "run": {"restart": "never"}}'
    assert [problem.field for problem in validate_text(text, tmp_path / "p.json")] == ["run.restart"]
