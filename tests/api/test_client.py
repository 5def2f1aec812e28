"""The client: lasting logins, their file, and the error for every kind of refusal."""

from __future__ import annotations

import json
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from core.api_schema import API_VERSION, CameraRequest, Role, UserRequest, UserUpdate
from core.api_schema.base import VERSION_HEADER
from core.errors import InputError, XaivaError
from core.inference.auth import access_token, authenticator
from core.service_client import LoginSession, NotLoggedIn, ServiceClient, ServiceError, VersionMismatch
from tests.api.conftest import PASSWORD
from tests.api.serving import TOKEN, Running, served
from tests.support.json_server import json_server


def person(running: Running, file: Path, *, token: str = TOKEN) -> ServiceClient:
    return ServiceClient(running.url, 10, token=token, session=LoginSession(file, running.url))


def aged(file: Path) -> None:
    """As if the access token had run out long ago."""
    login = json.loads(file.read_text())
    file.write_text(json.dumps({**login, "expires": 1.0}))


def test_a_login_is_kept_private_and_goes_before_the_token(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "state" / "session.json"
    client = person(running, file)
    assert client.logged_in() == ""
    with pytest.raises(InputError, match="no user with that name"):
        client.me()  # the service's token is nobody's
    client.login("viewer", PASSWORD)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert PASSWORD not in file.read_text()
    second_client = person(running, file)
    assert (second_client.logged_in(), second_client.me().role) == ("viewer", Role.VIEWER)
    client.logout()
    assert not file.exists()
    assert client.status().cameras


def test_a_new_password_ends_every_other_login(running: Running, tmp_path: Path) -> None:
    person(running, tmp_path / "other.json").login("viewer", PASSWORD)
    client = person(running, tmp_path / "session.json")
    client.login("viewer", PASSWORD)
    with pytest.raises(InputError, match="the current password is wrong"):
        client.change_password("something else", "a better password")
    client.change_password(PASSWORD, "a better password")
    assert client.me().name == "viewer"
    with pytest.raises(NotLoggedIn):
        person(running, tmp_path / "other.json", token="").me()
    client.change_password("a better password", PASSWORD)


def test_a_login_is_renewed_without_a_word(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    client = person(running, file)
    before = client.login("viewer", PASSWORD)
    aged(file)
    assert client.me().name == "viewer"
    assert json.loads(file.read_text())["tokens"]["refresh"] != before.refresh


def test_a_stream_outlasts_its_access_token(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (access_token, authenticator):
        monkeypatch.setattr(module, "ACCESS_TOKEN_SECONDS", 1)
    file = tmp_path / "session.json"
    client = person(running, file)
    before = client.login("viewer", PASSWORD).refresh
    stream, deadline = client.stream(0.2), time.monotonic() + 30
    next(stream)
    opened = json.loads(file.read_text())["tokens"]["refresh"]
    while json.loads(file.read_text())["tokens"]["refresh"] == opened:
        assert next(stream).cameras
        assert time.monotonic() < deadline
    assert opened != before
    stream.close()


def test_a_stream_that_the_service_ends_is_said(tmp_path: Path) -> None:
    with served(tmp_path) as running:
        stream = running.client().stream(0.2)
        next(stream)
        running.server.close_streams()
        with pytest.raises(ServiceError, match="it closed the stream"):
            list(stream)


@pytest.mark.parametrize("ask", [ServiceClient.cameras, lambda client: next(client.stream())], ids=["once", "stream"])
def test_an_access_token_that_is_refused_early_is_renewed_once(
    running: Running, tmp_path: Path, ask: Callable[[ServiceClient], object]
) -> None:
    file = tmp_path / "session.json"
    client = person(running, file)
    client.login("viewer", PASSWORD)
    login = json.loads(file.read_text())
    login["tokens"]["access"] = "of another time"
    file.write_text(json.dumps(login))
    assert ask(client)
    assert json.loads(file.read_text())["tokens"]["access"] != "of another time"


def test_many_who_share_a_login_renew_it_once(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    person(running, file).login("viewer", PASSWORD)
    aged(file)
    clients = [person(running, file) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        names = list(pool.map(lambda client: client.me().name, clients))
    assert names == ["viewer"] * 6


def test_a_login_that_ended_is_said_and_nobody_elses_token_takes_its_place(running: Running, tmp_path: Path) -> None:
    admin = running.client()
    admin.add_user(UserRequest(name="temporary", password=SecretStr("some long password")))
    file = tmp_path / "session.json"
    client = person(running, file)
    client.login("temporary", "some long password")
    admin.update_user("temporary", UserUpdate(password=SecretStr("another long password")))
    for _ in range(2):
        with pytest.raises(NotLoggedIn, match="the login of temporary has ended"):
            client.status()
    assert client.logged_in() == "temporary"
    client.login("temporary", "another long password")
    assert client.me().name == "temporary"
    client.logout()


def test_tokens_go_to_their_own_service_alone(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    person(running, file).login("viewer", PASSWORD)
    headers: list[str] = []

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers.append(self.headers.get("Authorization", ""))
            self.send_response(404)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(ServiceError, match="not xaiva"):
            ServiceClient(url, 5, session=LoginSession(file, url)).status()
        server.shutdown()
    assert set(headers) == {""}


def test_a_wrong_password_and_too_many_are_in_words(running: Running, tmp_path: Path) -> None:
    client = person(running, tmp_path / "session.json")
    for _ in range(5):
        with pytest.raises(NotLoggedIn, match="name or password is wrong"):
            client.login("someone", "a wrong password")
    with pytest.raises(ServiceError, match=r"too many attempts\n  → try again in \d+ s"):
        client.login("someone", "a wrong password")
    body = {"name": "someone", "password": "a wrong password"}
    answer = httpx.post(f"{running.url}/auth/login", json=body)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert client.logged_in() == ""


@pytest.mark.parametrize(("theirs", "newer"), [(1, False), (API_VERSION + 1, True)])
def test_another_version_is_said_before_anything_else(theirs: int, newer: bool) -> None:
    health = {"live": True, "ready": True, "version": "1", "service": "xaiva-inference", "api": theirs}
    with json_server({"/health": health}, {VERSION_HEADER: str(theirs)} if newer else None) as address:
        client = ServiceClient(f"http://{address}", 5, token=TOKEN)
        for ask in (client.users, client.health):
            with pytest.raises(VersionMismatch) as caught:
                ask()
            assert caught.value.newer is newer


def test_no_password_is_sent_as_asterisks(running: Running) -> None:
    admin = running.client()
    admin.add_user(UserRequest(name="literal", password=SecretStr("another password")))
    admin.update_user("literal", UserUpdate(password=SecretStr("the real password")))
    assert running.client("").login("literal", "the real password").user == "literal"
    admin.remove_user("literal")


def test_what_people_type_stays_one_part_of_the_address(running: Running) -> None:
    admin = running.client()
    for typed in ("../users/viewer", "gate/settings", "gate?x=1", "..", "", "gäte", "a b", "%2e%2e"):
        with pytest.raises(InputError):
            admin.remove_camera(typed)
    assert {camera.id for camera in admin.cameras()} == {"gate", "yard"}
    assert "viewer" in {user.name for user in admin.users()}


def test_a_place_that_cannot_be_written_is_said(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    person(running, file).login("viewer", PASSWORD)
    aged(file)
    (tmp_path / "session.lock").unlink()
    (tmp_path / "session.lock").mkdir()
    with pytest.raises(XaivaError, match="cannot be written"):
        person(running, file).status()


def test_a_connection_test_may_take_as_long_as_the_service_says(monkeypatch: pytest.MonkeyPatch) -> None:
    request = CameraRequest(id="far", source="rtsp://unknown.example/stream")
    waits: list[float] = []
    monkeypatch.setattr(ServiceClient, "_request", lambda *_, wait: waits.append(wait))
    ServiceClient("http://127.0.0.1:1").test_camera(request)
    assert waits[0] > 2 * request.timeout  # an unknown host name takes all of that, and a little more


def test_what_is_no_events_id_is_said_to_be_none(running: Running) -> None:
    for typed in ("nope", "01a1feb1-078b", "stream"):
        with pytest.raises(InputError, match="no event with that id"):
            running.client().event(typed)
