"""A lost answer: the service did what it was asked, the connection died, and the caller asks again.

It applies to what may be done once only: a refresh token, which is used up by its first use. The answer is lost at
different places, on the way to xaiva's client and to any other. A token that is used again later was stolen.
"""

from __future__ import annotations

import http.client
import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from core.api_schema import Tokens
from core.inference.auth import Unauthorised, refresh_tokens
from core.inference.auth.authenticator import Authenticator
from core.service_client import LoginSession, NotLoggedIn, ServiceClient, ServiceError
from tests.api.conftest import PASSWORD
from tests.api.conftest import running as running
from tests.api.serving import Running

REFRESH = b"POST /auth/refresh"

Loss = Callable[[bytes], bytes]
LOSSES: dict[str, Loss] = {
    "all of it": lambda _answer: b"",
    "in its head": lambda answer: answer[:20],
    "after its head": lambda answer: answer[: answer.index(b"\r\n\r\n") + 4],
    "its last byte": lambda answer: answer[:-1],
}


class Proxy(socketserver.ThreadingTCPServer):
    """Passes requests on, one a connection. Of the next `count` renewals the caller sees what `loss` leaves of them."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = target.removeprefix("http://")
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.loss: Loss = bytes
        self.count = 0
        self.hold = threading.Event()  # a lost answer closes its connection only then
        self.hold.set()


class _Passing(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            lines.append(line)
        if not lines:
            return
        headers = dict(line.decode().strip().split(": ", 1) for line in lines[1:])
        headers = {name.lower(): value for name, value in headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        method, path, _ = lines[0].decode().split()
        upstream = http.client.HTTPConnection(self.server.target, timeout=30)
        upstream.request(method, path, body, {**headers, "connection": "close"})
        answer = upstream.getresponse()
        text = answer.read()
        head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items() if name != "connection")
        whole = f"HTTP/1.1 {answer.status} X\r\n{head}connection: close\r\n\r\n".encode() + text
        if lines[0].startswith(REFRESH) and self.server.count > 0:
            self.server.count -= 1
            whole = self.server.loss(whole)
            self.wfile.write(whole)
            assert self.server.hold.wait(60)
            return
        self.wfile.write(whole)


@contextmanager
def proxy(running: Running) -> Iterator[Proxy]:
    with Proxy(running.url) as relay:
        thread = threading.Thread(target=relay.serve_forever, daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            relay.hold.set()
            relay.shutdown()
            thread.join(30)


def logged_in(relay: Proxy, file: Path, seconds: float = 10) -> ServiceClient:
    """A client whose access token has expired, so that its next request renews the login."""
    client = ServiceClient(relay.url, seconds, session=LoginSession(file, relay.url))
    client.login("viewer", PASSWORD)
    login = json.loads(file.read_text())
    file.write_text(json.dumps({**login, "expires": 1.0}))
    return client


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_the_console_asks_again_at_once(loss: Loss, running: Running, tmp_path: Path) -> None:
    with proxy(running) as relay:
        client = logged_in(relay, tmp_path / "session.json")
        relay.loss, relay.count = loss, 1
        assert client.me().name == "viewer"
        assert relay.count == 0


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_a_line_that_stays_broken_ends_no_login(loss: Loss, running: Running, tmp_path: Path) -> None:
    with proxy(running) as relay:
        client = logged_in(relay, tmp_path / "session.json")
        relay.loss, relay.count = loss, 4
        for _ in range(2):
            with pytest.raises(ServiceError, match="the connection broke") as broken:
                client.me()
            assert not isinstance(broken.value, NotLoggedIn)
        assert client.me().name == "viewer"


def test_an_answer_that_never_comes_ends_no_login(running: Running, tmp_path: Path) -> None:
    with proxy(running) as relay:
        client = logged_in(relay, tmp_path / "session.json", seconds=0.5)
        relay.loss, relay.count = (lambda _: b""), 1
        relay.hold.clear()
        with pytest.raises(ServiceError, match="it does not answer within"):
            client.me()
        relay.hold.set()
        patient = ServiceClient(relay.url, 10, session=LoginSession(tmp_path / "session.json", relay.url))
        assert patient.me().name == "viewer"


def test_the_file_that_could_not_be_written_is_an_answer_lost(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy(running) as relay:
        client = logged_in(relay, tmp_path / "session.json")

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("core.service_client.login_session.write_atomic", full)
            with pytest.raises(Exception, match="No space left"):
                client.me()
        assert client.me().name == "viewer"


# -- anybody else, and thieves ---


def begin(running: Running) -> tuple[Authenticator, Tokens]:
    client = ServiceClient(running.url, 10)
    return running.service.auth, client.login("viewer", PASSWORD)


def same_again(accounts: Authenticator, first: Tokens) -> None:
    following = {accounts.refresh(first.refresh).refresh for _ in range(3)}
    assert len(following) == 1
    assert accounts.caller(accounts.refresh(following.pop()).access).name == "viewer"


def every_link_of_the_chain(accounts: Authenticator, first: Tokens) -> None:
    token = first.refresh
    for _ in range(4):
        lost, token = accounts.refresh(token).refresh, accounts.refresh(token).refresh
        assert lost == token
    accounts.refresh(token)


GOOD = {"the same again": same_again, "again and again": every_link_of_the_chain}


@pytest.mark.parametrize("uses", GOOD.values(), ids=GOOD.keys())
def test_a_use_whose_answer_was_lost_may_be_repeated(
    uses: Callable[[Authenticator, Tokens], None], running: Running
) -> None:
    uses(*begin(running))


def late(accounts: Authenticator, first: Tokens, patch: pytest.MonkeyPatch) -> Tokens:
    second = accounts.refresh(first.refresh)
    patch.setattr(refresh_tokens, "REUSE_SECONDS", -1)
    return second


def next_one_in_use(accounts: Authenticator, first: Tokens, _patch: object) -> Tokens:
    return accounts.refresh(accounts.refresh(first.refresh).refresh)


def next_one_in_use_long_ago(accounts: Authenticator, first: Tokens, patch: object) -> Tokens:
    third = next_one_in_use(accounts, first, patch)
    return accounts.refresh(accounts.refresh(third.refresh).refresh)


def clock_set_back(accounts: Authenticator, first: Tokens, patch: pytest.MonkeyPatch) -> Tokens:
    second = accounts.refresh(first.refresh)
    patch.setattr(refresh_tokens, "_now", lambda: datetime.now(timezone.utc) - timedelta(hours=1))
    return second


def a_thief_in_step_who_falls_behind(accounts: Authenticator, first: Tokens, patch: pytest.MonkeyPatch) -> Tokens:
    owner, thief = accounts.refresh(first.refresh), accounts.refresh(first.refresh)
    assert owner.refresh == thief.refresh  # not a login of his own
    newest = accounts.refresh(owner.refresh)
    patch.setattr(refresh_tokens, "REUSE_SECONDS", -1)
    return newest


STOLEN = {
    "the clock was set back": clock_set_back,
    "a thief in step who falls behind": a_thief_in_step_who_falls_behind,
    "too late": late,
    "the next one is in use": next_one_in_use,
    "far behind": next_one_in_use_long_ago,
}


@pytest.mark.parametrize("use", STOLEN.values(), ids=STOLEN.keys())
def test_any_other_second_use_ends_the_login(
    use: Callable[[Authenticator, Tokens, pytest.MonkeyPatch], Tokens],
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts, first = begin(running)
    newest = use(accounts, first, monkeypatch)
    accounts.caller(newest.access)
    with pytest.raises(Unauthorised):
        accounts.refresh(first.refresh)
    for end in (lambda: accounts.caller(newest.access), lambda: accounts.refresh(newest.refresh)):
        with pytest.raises(Unauthorised):
            end()


def test_a_login_that_ended_meanwhile_does_not_come_back(running: Running) -> None:
    accounts, first = begin(running)
    accounts.refresh(first.refresh)
    accounts.logout(first.refresh)
    with pytest.raises(Unauthorised):
        accounts.refresh(first.refresh)


def test_a_copy_of_the_database_tells_no_next_token(running: Running) -> None:
    _, first = begin(running)
    assert refresh_tokens._next_token(first.refresh, "one secret") != refresh_tokens._next_token(
        first.refresh, "another"
    )


def test_over_http_the_same_request_is_answered_twice(running: Running) -> None:
    _, first = begin(running)
    url = running.url.removeprefix("http://")
    body, answers = json.dumps({"refresh": first.refresh}), []
    host, port = url.split(":")
    head = f"POST /auth/refresh HTTP/1.1\r\nHost: {url}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    with socket.create_connection((host, int(port))) as cut:  # it is sent, and nobody waits for the answer
        cut.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        cut.shutdown(socket.SHUT_WR)
        cut.recv(1)
    for _ in range(2):
        connection = http.client.HTTPConnection(url, timeout=30)
        connection.request("POST", "/auth/refresh", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answers.append((answer.status, json.loads(answer.read())["refresh"]))
    assert answers[0] == answers[1]
    assert answers[0][0] == 200
