"""Access rules: every route with every role, and what each user sees of the cameras."""

from __future__ import annotations

import json
import re
import threading
from datetime import datetime, timezone
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from core.api_schema import Event, EventQuery, Role, StatisticsQuery, UserRequest, UserUpdate
from core.errors import InputError, XaivaError
from core.inference.api import access
from core.inference.api.app import _ROUTE_MODULES
from core.inference.events.ids import new_id
from core.service_client import Forbidden, NotLoggedIn, ServiceClient
from tests.api.conftest import Events
from tests.api.serving import TOKEN, Running

# Every operation of the API and the least role it asks for; "" is open to everybody.
RULES = {
    "GET /health": "",
    "GET /health/live": "",
    "GET /health/ready": "",
    "POST /auth/login": "",
    "POST /auth/refresh": "",
    "POST /auth/logout": "",
    "POST /auth/password": "viewer",
    "GET /auth/me": "viewer",
    "GET /metrics": "viewer",
    "GET /status": "viewer",
    "GET /status/stream": "viewer",
    "GET /models": "viewer",
    "GET /cameras": "viewer",
    "POST /cameras": "admin",
    "GET /cameras/{camera}": "viewer",
    "DELETE /cameras/{camera}": "admin",
    "GET /cameras/{camera}/settings": "operator",
    "PUT /cameras/{camera}/settings": "admin",
    "POST /cameras/{camera}/start": "operator",
    "POST /cameras/{camera}/stop": "operator",
    "POST /cameras/{camera}/restart": "operator",
    "POST /cameras/{camera}/learn": "operator",
    "DELETE /cameras/{camera}/learn": "operator",
    "POST /cameras/{camera}/suspend": "operator",
    "GET /cameras/{camera}/snapshot": "viewer",
    "POST /connection-test": "admin",
    "GET /events": "viewer",
    "GET /events/stream": "viewer",
    "POST /events/acknowledge": "operator",
    "GET /events/{event}": "viewer",
    "PUT /events/{event}/protected": "operator",
    "GET /events/{event}/snapshot": "viewer",
    "GET /events/{event}/clip": "viewer",
    "GET /statistics": "viewer",
    "GET /users": "admin",
    "POST /users": "admin",
    "GET /users/{name}": "admin",
    "PATCH /users/{name}": "admin",
    "DELETE /users/{name}": "admin",
    "GET /products": "viewer",
    "GET /products/{product}": "viewer",
    "GET /products/{product}/settings": "viewer",
    "PUT /products/{product}/settings": "admin",
    "GET /products/{product}/histogram": "viewer",
    "POST /products/{product}/rebuild": "operator",
    "POST /products/{product}/rollback": "operator",
    "POST /indexes/{index}/rebuild": "operator",
    "POST /indexes/{index}/rollback": "operator",
    "POST /inspect": "operator",
    "GET /inspections": "viewer",
    "GET /inspections/export": "viewer",
    "GET /inspections/{inspection}": "viewer",
    "GET /inspections/{inspection}/picture": "viewer",
    "GET /inspections/{inspection}/heat-map": "viewer",
    "POST /inspections/{inspection}/correct": "operator",
    "GET /rules": "admin",
    "POST /rules": "admin",
    "GET /rules/{name}": "admin",
    "PUT /rules/{name}": "admin",
    "DELETE /rules/{name}": "admin",
    "POST /rules/{name}/test": "admin",
    "GET /deliveries": "admin",
    "GET /jobs": "viewer",
    "POST /jobs": "operator",
    "GET /jobs/kinds": "viewer",
    "GET /jobs/export": "viewer",
    "GET /jobs/stream": "viewer",
    "GET /jobs/stream/schema": "viewer",
    "GET /jobs/{job}": "viewer",
    "GET /jobs/{job}/log": "viewer",
    "GET /jobs/{job}/stream": "viewer",
    "POST /jobs/{job}/cancel": "operator",
    "POST /jobs/{job}/retry": "operator",
    "POST /api/admin/deployment/clip/{index}": "admin",
    "POST /api/admin/deployment/patchcore": "admin",
    "GET /api/admin/deployment/status/{task_id}": "admin",
    "GET /api/admin/deployment/logs": "admin",
    "GET /storage": "viewer",
    "GET /storage/objects": "viewer",
    "GET /storage/object": "viewer",
    "PUT /storage/object": "operator",
    "DELETE /storage/object": "operator",
    "POST /storage/url": "operator",
    "GET /storage/signed": "",
}
# Every WebSocket and the least role it asks for.
SOCKET_RULES = {"/jobs/stream": "viewer", "/jobs/{job}/stream": "viewer"}
ORDER = ["viewer", "operator", "admin"]
STRANGE = "00000000-0000-7000-8000-000000000000"  # an id that no event has


def operations(running: Running) -> dict[str, dict[str, Any]]:
    paths = httpx.get(f"{running.url}/openapi.json").json()["paths"]
    return {f"{method.upper()} {path}": each for path, methods in paths.items() for method, each in methods.items()}


def attempt(client: httpx.Client, operation: str, headers: dict[str, str]) -> int:
    """The answer to a request that changes nothing: its names are nobody's and its body is not good."""
    method, path = operation.split()
    path = (
        path.replace("{event}", STRANGE)
        .replace("{inspection}", STRANGE)
        .replace("{camera}", "nothing")
        .replace("{name}", "nobody-there")
    )
    path = path.replace("{job}", "999999").replace("{index}", "sideways").replace("{task_id}", "999999")
    with client.stream(method, path, headers=headers, json=[]) as response:
        return response.status_code


def test_every_operation_has_a_rule_that_was_thought_of(running: Running) -> None:
    assert set(operations(running)) == set(RULES)


def test_every_operation_lets_in_those_of_its_rule_alone(running: Running, people: dict[str, ServiceClient]) -> None:
    tokens = {name: {"Authorization": f"Bearer {people[name]._transport.bearer_token()}"} for name in ORDER}
    client = httpx.Client(base_url=running.url, timeout=30)
    for operation, least in RULES.items():
        if not least:
            assert attempt(client, operation, {}) not in (401, 403) or operation == "POST /auth/refresh", operation
            continue
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            assert attempt(client, operation, headers) == 401, operation
        for name in ORDER:
            code = attempt(client, operation, tokens[name])
            allowed = ORDER.index(name) >= ORDER.index(least)
            assert (code not in (401, 403)) if allowed else (code == 403), (operation, name, code)


def test_every_socket_lets_in_those_of_its_rule_alone(running: Running, people: dict[str, ServiceClient]) -> None:
    served = {
        route.path_format: role.value
        for module in _ROUTE_MODULES
        for route in access.sockets(module.router)
        if (role := access.required_role(route))
    }
    assert served == SOCKET_RULES
    for path, least in SOCKET_RULES.items():
        address = running.url.replace("http", "ws", 1) + path.replace("{job}", "999999")

        def code(message: str, address: str = address) -> int:
            """The code that closes the socket; 0: it stays open."""
            with connect(address, open_timeout=30, close_timeout=1) as socket:
                socket.send(message)
                try:
                    socket.recv(30)
                except ConnectionClosed as closed:
                    return closed.rcvd.code if closed.rcvd else -1
                return 0

        for message in ("{}", '{"token": ""}', '{"token": "wrong"}', TOKEN):
            assert code(message) == 4401, (path, message)
        for name in ORDER:
            answer = code(json.dumps({"token": people[name]._transport.bearer_token()}))
            allowed = ORDER.index(name) >= ORDER.index(least)
            assert answer in (0, 4404) if allowed else answer == 4403, (path, name, answer)


def test_jobs_are_for_those_who_may_see_inspections(running: Running, people: dict[str, ServiceClient]) -> None:
    admin, password = people["admin"], "some long password"
    cameras = {"of-the-gate": ["gate"], "of-inspections": ["inspection"]}
    for name, seen in cameras.items():
        admin.add_user(UserRequest(name=name, password=SecretStr(password), role=Role.OPERATOR, cameras=seen))
    tokens = {name: running.client("").login(name, password).access for name in cameras}
    client = httpx.Client(base_url=running.url, timeout=30)
    for operation in RULES:
        if operation.split()[1].split("/")[1] == "jobs":
            for name, token in tokens.items():
                code = attempt(client, operation, {"Authorization": f"Bearer {token}"})
                assert (code == 403) is (name == "of-the-gate"), (operation, name, code)
    for path in SOCKET_RULES:
        address = running.url.replace("http", "ws", 1) + path.replace("{job}", "999999")
        with connect(address, open_timeout=30, close_timeout=1) as socket:
            socket.send(json.dumps({"token": tokens["of-the-gate"]}))
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(30)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403
    for name in cameras:
        admin.remove_user(name)


def test_the_document_says_which_operations_want_a_token(running: Running) -> None:
    for operation, description in operations(running).items():
        assert bool(description.get("security")) == bool(RULES[operation]), operation
        assert ("401" in description["responses"]) == (
            bool(RULES[operation]) or operation.startswith("POST /auth/")
        ) or (operation == "POST /auth/logout")


def test_a_route_without_a_rule_is_not_served() -> None:
    router = APIRouter()

    @router.get("/forgotten")
    def forgotten() -> None: ...

    with pytest.raises(XaivaError, match="/forgotten"):
        access.checked_routes(router)


@pytest.mark.parametrize("rule", [{}, access.require_role(Role.VIEWER), access.public()])
def test_a_socket_without_a_rule_for_sockets_is_not_served(rule: dict[str, Any]) -> None:
    router = APIRouter()

    @router.websocket("/forgotten", dependencies=rule.get("dependencies"))
    async def forgotten() -> None: ...

    with pytest.raises(XaivaError, match="/forgotten"):
        access.checked_routes(router)


def test_a_token_is_taken_from_the_header_alone(running: Running) -> None:
    for query in ("token", "access_token", "authorization"):
        assert httpx.get(f"{running.url}/status", params={query: TOKEN}).status_code == 422  # no such key
    assert httpx.get(f"{running.url}/status", cookies={"authorization": f"Bearer {TOKEN}"}).status_code == 401


def test_a_camera_one_may_not_see_is_as_unknown_as_one_that_is_not_there(people: dict[str, ServiceClient]) -> None:
    keeper = people["gatekeeper"]
    actions = [
        keeper.camera,
        keeper.camera_settings,
        keeper.snapshot,
        keeper.start_camera,
        keeper.stop_camera,
        keeper.restart_camera,
        lambda camera: keeper.learn(camera, 1),
        keeper.cancel_learning,
        lambda camera: keeper.suspend(camera, 1),
        lambda camera: keeper.statistics(StatisticsQuery(camera=camera)),
    ]
    for act in actions:
        answers = []
        for camera in ("yard", "nothing"):
            with pytest.raises(InputError) as caught:
                act(camera)
            answers.append(str(caught.value).replace(camera, "CAMERA"))
        assert answers[0] == answers[1]
    assert keeper.camera("gate").id == "gate"


def test_some_cameras_leave_no_trace_of_the_others(
    running: Running, people: dict[str, ServiceClient], events: Events
) -> None:
    keeper = people["gatekeeper"]
    status = keeper.status()
    assert [camera.id for camera in status.cameras] == ["gate"]
    assert status.unacknowledged == 2
    assert status.newest_event in (events.gate, events.recording)
    assert status.logger.logged == status.logger.written == status.storage.used == 0
    assert status.ledger is not None
    assert [model.leases for model in status.ledger.models] == [1]
    assert people["viewer"].status().logger.logged >= 4
    assert [camera.id for camera in keeper.cameras()] == ["gate"]
    assert {event.camera for event in keeper.all_events()} == {"gate"}
    assert keeper.events(EventQuery(camera="yard")).events == []
    assert {day.camera for day in keeper.statistics().days if day.events} == {"gate"}
    assert {day.camera for day in people["viewer"].statistics().days if day.events} == {"gate", "yard"}
    bearer = {"Authorization": f"Bearer {keeper._transport.bearer_token()}"}
    everything = "".join(
        httpx.get(running.url + path, headers=bearer).text
        for path in ("/status", "/cameras", "/events", "/statistics", "/metrics", "/models")
    )
    assert "gate" in everything
    assert "yard" not in everything


def test_the_events_of_other_cameras_are_not_there(people: dict[str, ServiceClient], events: Events) -> None:
    keeper = people["gatekeeper"]
    for look in (keeper.event, keeper.event_snapshot, lambda event: keeper.protect(event, True)):
        look(events.gate)
        with pytest.raises(InputError, match="no event with that id"):
            look(events.yard)
    assert keeper.acknowledge([events.yard]) == 0
    assert people["viewer"].event(events.yard).acknowledged is None


def test_the_streams_show_what_the_lists_show_and_end_with_the_login(
    running: Running, people: dict[str, ServiceClient], events: Events
) -> None:
    statuses: list[str] = []
    ready = threading.Event()
    stream = people["gatekeeper"].stream(interval=0.2)
    assert [camera.id for camera in next(stream).cameras] == ["gate"]
    stream.close()
    name = "leaver"
    admin = people["admin"]
    admin.add_user(UserRequest(name=name, password=SecretStr("some long password"), cameras=["gate"]))
    leaver = running.client(running.client("").login(name, "some long password").access)

    def read() -> None:
        with leaver._transport.stream("/events/stream", {}, {}, 10) as response:
            for line in response.iter_lines():
                ready.set()
                if line.startswith("data:"):
                    statuses.append(line)

    reader = threading.Thread(target=read)
    reader.start()
    assert ready.wait(30)  # its heartbeat: it listens
    running.service.logger.update(events.yard, note="of the yard")
    running.service.logger.update(events.gate, note="of the gate")
    assert running.service.logger.flush(30)
    admin.update_user(name, UserUpdate(active=False))
    reader.join(30)
    assert not reader.is_alive()
    assert all(re.search('"camera":"gate"', line) for line in statuses)


def test_refusals_are_told_apart(people: dict[str, ServiceClient]) -> None:
    with pytest.raises(NotLoggedIn, match="xaiva login"):
        people["nobody"].status()
    with pytest.raises(Forbidden, match="viewer has the role viewer"):
        people["viewer"].users()
    with pytest.raises(InputError):
        people["viewer"].camera("nothing")


def test_inspections_are_for_those_who_may_see_their_camera(running: Running, people: dict[str, ServiceClient]) -> None:
    admin = people["admin"]
    name, password = "inspector", "some long password"
    admin.add_user(UserRequest(name=name, password=SecretStr(password), role=Role.OPERATOR, cameras=["inspection"]))
    inspector = running.client(running.client("").login(name, password).access)
    now = datetime.now(timezone.utc)
    values = {"id": new_id(), "camera": "inspection", "product": "screw", "type": "defect", "score": 0.9}
    running.service.logger.log(Event.model_validate({**values, "started": now, "decided": now, "ended": now}))
    assert running.service.logger.flush(30)
    keeper, query = people["gatekeeper"], EventQuery(product="screw")
    assert [event.id for event in inspector.events(query).events] == [values["id"]]
    assert keeper.events(query).events == []
    assert inspector.products.inspections().inspections == people["viewer"].products.inspections().inspections == []
    for ask in (
        keeper.products.all,
        keeper.products.inspections,
        lambda: keeper.products.get("screw"),
        lambda: keeper.products.inspection(STRANGE),
        lambda: keeper.products.inspect("screw", b""),
        lambda: keeper.products.rebuild_index("normal"),
    ):
        with pytest.raises(Forbidden, match="inspection is not one of them"):
            ask()
    admin.remove_user(name)
