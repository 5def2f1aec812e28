"""A retry policy that does not look at the cause: a wrong login again and again, until everybody is locked out.

Applies to whatever is tried again: cameras, mail servers and webhooks, the analyser, downloads.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.api_schema import CameraRequest, CameraState, CameraStatus
from core.errors import XaivaError
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.camera import LeaseScorer
from core.inference.cameras.connection_state import ConnectionStateMachine
from core.inference.cameras.connection_test import run_connection_test
from core.inference.cameras.failures import Cause, Failure
from core.inference.cameras.login_backoff import REFUSAL_DELAYS, LoginBackoff
from core.inference.cameras.manager import MultiCameraManager
from core.inference.models.analysis.analyser import Analyser
from core.inference.models.analysis.circuit_breaker import FIRST_REST_SECONDS, MAX_REST_SECONDS
from core.inference.models.analysis.openai_model import OpenAiModel
from core.inference.notifications.notifier import LOGIN_BACKOFF_SECONDS, Notifier
from core.inference.notifications.rule_store import RuleStore
from tests.inference.conftest import QUICK_BACKOFF, UTC, RecordingObserver
from tests.notifications.conftest import event, mail, rule, webhook
from tests.support import require, rtsp, until
from tests.support.clock_camera import mpeg_ts
from tests.support.receivers import Answer, HttpReceiver, MailReceiver
from tui.formatters.cameras import problems

# cause: the waits after the first failures
TRANSIENT = (Cause.REFUSED, Cause.UNREACHABLE, Cause.TIMEOUT, Cause.NO_KEY_FRAME, Cause.END, Cause.TLS, Cause.ERROR)
# AUTH without a login: a file or device
LASTING = (Cause.NOT_FOUND, Cause.CODEC, Cause.REJECTED, Cause.REDIRECT, Cause.AUTH)
WAITS_BY_CAUSE = {cause: [1, 1, 1, 1, 1, 5] for cause in TRANSIENT}
WAITS_BY_CAUSE |= {cause: [10, 30, 60, 300, 300, 300] for cause in LASTING}


def waits_after(*causes: Cause) -> list[float]:
    """The waits of a camera that fails for these causes, one after another."""
    connection = ConnectionStateMachine(Backoff())
    token = connection.start()
    assert token is not None
    waits = []
    for cause in causes:
        waits.append(connection.failed(token, Failure(cause, "why")))
        connection.retry(token)
    return waits


@pytest.mark.parametrize("cause", Cause, ids=lambda cause: cause.value)
def test_each_cause_has_its_waits(cause: Cause) -> None:
    assert waits_after(*[cause] * 6) == WAITS_BY_CAUSE[cause]


def test_other_faults_in_between_do_not_shorten_the_waits() -> None:
    causes = (Cause.NOT_FOUND, Cause.TIMEOUT, Cause.NOT_FOUND, Cause.TIMEOUT, Cause.NOT_FOUND)
    assert waits_after(*causes) == [10, 1, 30, 1, 60]


# the status that a camera answers with over HTTP and RTSP: its cause
STATUSES = {
    400: Cause.REJECTED,
    401: Cause.AUTH,
    403: Cause.AUTH,
    404: Cause.NOT_FOUND,
    405: Cause.REJECTED,
    410: Cause.REJECTED,
    423: Cause.REJECTED,  # locked
    429: Cause.REJECTED,  # too many requests
    453: Cause.REJECTED,  # RTSP: not enough bandwidth, which is a limit of viewers
    461: Cause.REJECTED,  # RTSP: unsupported transport
    500: Cause.ERROR,
    503: Cause.ERROR,  # it is still starting
}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_the_cause_of_a_status(scheme: str, status: int) -> None:
    """A login that is locked, or a limit, gets no better by trying each second."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(f"HTTP/1.1 {status} no")

        def do_OPTIONS(self) -> None:
            self._answer("RTSP/1.0 200 OK")

        def do_DESCRIBE(self) -> None:
            self._answer(f"RTSP/1.0 {status} no")

        def parse_request(self) -> bool:
            self.raw_requestline = self.raw_requestline.replace(b"RTSP/1.0", b"HTTP/1.1")
            return super().parse_request()

        def _answer(self, first: str) -> None:
            self.wfile.write(f"{first}\r\nCSeq: {self.headers['CSeq']}\r\nContent-Length: 0\r\n\r\n".encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f"{scheme}://127.0.0.1:{server.server_port}/1"
        result = run_connection_test(CameraRequest(id="x", source=source, timeout=30))
        server.shutdown()
    assert result.cause == STATUSES[status].value


class VideoRecorder:
    """A recorder over HTTP that counts logins; `/…` are its channels."""

    USER, RIGHT = "admin", "right"

    def __init__(self, clip: Path) -> None:
        self.logins: list[str] = []
        self.over = threading.Event()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                authorization = self.headers.get("Authorization", "")
                if not authorization:  # libav asks without a login first
                    self._refuse()
                    return
                login = base64.b64decode(authorization.removeprefix("Basic ")).decode()
                recorder.logins.append(login)
                if login != f"{recorder.USER}:{recorder.RIGHT}":
                    self._refuse()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                try:
                    for part in mpeg_ts(clip, lambda number: number / 10):
                        self.wfile.write(part)
                        if recorder.over.wait(0.1):
                            return
                except OSError:
                    pass

            def _refuse(self) -> None:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="recorder"')
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, channel: int, password: str) -> str:
        return f"http://{self.USER}:{password}@127.0.0.1:{self._server.server_port}/{channel}"

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of moving picture."""
    require(rtsp.has_ffmpeg(), "ffmpeg")
    return rtsp.make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=2, size="320x180")


@pytest.fixture
def recorder(clip: Path) -> Iterator[VideoRecorder]:
    """A recorder with one user."""
    recorder = VideoRecorder(clip)
    yield recorder
    recorder.close()


Running = Callable[[], AbstractContextManager[MultiCameraManager]]


@pytest.fixture
def running(witness: RecordingObserver, lease: LeaseScorer, tmp_path: Path) -> Running:
    """A service's cameras: quick after network faults, patient after refused logins."""

    @contextmanager
    def run() -> Iterator[MultiCameraManager]:
        logins = LoginBackoff(tmp_path / "logins.json")
        own = {"time_zone": UTC, "backoff": QUICK_BACKOFF, "login_backoff": logins, "cores": 64}
        manager = MultiCameraManager(witness, lease, **own)
        manager.start()
        try:
            yield manager
        finally:
            until(manager.stop, lambda hanging: hanging == [])

    return run


def refused(status: CameraStatus) -> bool:
    return status.state is CameraState.DISCONNECTED and status.cause == "auth" and (status.retry_in or 0) > 60


def camera(name: str, source: str) -> CameraRequest:
    return CameraRequest(id=name, source=source, timeout=15)


def test_a_wrong_login_of_many_cameras_is_one_attempt(recorder: VideoRecorder, running: Running) -> None:
    with running() as manager:
        for channel in range(6):
            manager.add(camera(f"c{channel}", recorder.url(channel, "wrong")))
        statuses = until(manager.statuses, lambda all_of_them: all(map(refused, all_of_them)))
        assert recorder.logins == ["admin:wrong"]
        for status in statuses:
            assert "lock accounts after a few wrong logins" in status.reason
            assert (status.retry_in or 0) <= REFUSAL_DELAYS[0]
            assert "press r to restart now" in problems(status)[0]
        manager.stop_camera("c0")  # flapping is no reason to try
        manager.start_camera("c0")
        until(manager.get("c0").status, refused)
        assert len(recorder.logins) == 1
        manager.restart_camera("c0")  # a person is one
        until(lambda: len(recorder.logins), lambda count: count == 2)
        until(manager.statuses, lambda all_of_them: all(map(refused, all_of_them)))
        assert len(recorder.logins) == 2


def test_a_restart_of_a_service_is_no_reason_to_try(recorder: VideoRecorder, running: Running, tmp_path: Path) -> None:
    for _ in range(3):
        with running() as manager:
            manager.add(camera("a", recorder.url(1, "wrong")))
            until(manager.get("a").status, refused)
    assert recorder.logins == ["admin:wrong"]
    assert "wrong" not in (tmp_path / "logins.json").read_text()


def test_another_password_is_tried_at_once(recorder: VideoRecorder, running: Running) -> None:
    with running() as manager:
        manager.add(camera("a", recorder.url(1, "wrong")))
        manager.add(camera("b", recorder.url(2, "wrong")))
        until(manager.statuses, lambda all_of_them: all(map(refused, all_of_them)))
        manager.update(camera("a", recorder.url(1, "right")))
        until(manager.get("a").status, lambda status: status.state is CameraState.LIVE)
        assert refused(manager.get("b").status())
        assert recorder.logins == ["admin:wrong", "admin:right"]


def test_a_login_that_is_right_at_last_wakes_all_who_wait(recorder: VideoRecorder, running: Running) -> None:
    with running() as manager:
        for channel in range(3):
            manager.add(camera(f"c{channel}", recorder.url(channel, "late")))
        until(manager.statuses, lambda all_of_them: all(map(refused, all_of_them)))
        recorder.RIGHT = "late"  # set right at the recorder
        assert manager.test(camera("x", recorder.url(1, "late"))).ok
        until(manager.statuses, lambda all_of_them: all(status.state is CameraState.LIVE for status in all_of_them))


def test_a_refused_connection_test_counts(recorder: VideoRecorder, running: Running) -> None:
    with running() as manager:
        assert manager.test(camera("a", recorder.url(1, "wrong"))).cause == "auth"
        manager.add(camera("a", recorder.url(1, "wrong")))
        until(manager.get("a").status, refused)
    assert recorder.logins == ["admin:wrong"]


@pytest.mark.camera
def test_a_wrong_login_over_rtsp(running: Running) -> None:
    require(rtsp.available(), "GStreamer's RTSP server")
    server = rtsp.RtspServer({"cam": rtsp.Live()}, user="admin", password="right")
    with server, running() as manager:
        manager.add(camera("a", server.url("cam", "admin:wrong")))
        until(manager.get("a").status, refused)
        manager.update(camera("a", server.url("cam")))
        until(manager.get("a").status, lambda status: status.state is CameraState.LIVE)


@pytest.mark.parametrize("status", [401, 403])
def test_a_webhook_that_refuses_the_login_is_left_alone(
    status: int, rules: RuleStore, start: Callable[..., Notifier], impatient: None
) -> None:
    with HttpReceiver(lambda _: Answer(status)) as refusing, HttpReceiver(lambda _: Answer(503)) as down:
        rules.add(rule("refusing", webhook(refusing.url), within=0))
        rules.add(rule("down", webhook(down.url), within=0))
        notifier = start()
        for _ in range(3):
            notifier.notify(event())
        refusing.wait(1)
        down.wait(10)
        assert len(refusing.received) == 1


def test_a_mail_server_that_refuses_the_login_is_left_alone_by_all_recipients(
    rules: RuleStore, start: Callable[..., Notifier], impatient: None
) -> None:
    server = MailReceiver(login=("xaiva", "right"))
    with server, HttpReceiver(lambda _: Answer(503)) as down:
        for name in ("a", "b", "c"):
            rules.add(rule(name, mail(f"{name}@example.org"), within=0))
        rules.add(rule("down", webhook(down.url), within=0))
        wrong = start(smtp_url=f"smtp://xaiva:wrong@127.0.0.1:{server.port}?tls=none")
        for _ in range(3):
            wrong.notify(event())
        until(lambda: len(server.logins), bool)
        down.wait(10)
        assert len(server.logins) <= 2  # one message; smtplib tries it by each way that the server offers
        wrong.stop()
        start(smtp_url=f"smtp://xaiva:right@127.0.0.1:{server.port}?tls=none")
        server.wait(9)


def test_the_waits_of_a_refused_login_grow() -> None:
    assert LOGIN_BACKOFF_SECONDS == REFUSAL_DELAYS == tuple(sorted(REFUSAL_DELAYS))
    assert REFUSAL_DELAYS[0] >= 60


# the analyser's answer: seconds that nobody asks after the first one
ANALYSER = {401: MAX_REST_SECONDS, 403: MAX_REST_SECONDS, 404: MAX_REST_SECONDS, 500: None, 503: None}


@pytest.mark.parametrize("status", ANALYSER)
def test_an_analyser_that_refuses_the_key_is_not_asked_again_at_once(status: int) -> None:
    with HttpReceiver(lambda _: Answer(status)) as server:
        model = OpenAiModel(server.url, "", "the-key")
        analyser = Analyser(lambda: nullcontext(model), seconds=5)
        analyser.start()
        with pytest.raises(XaivaError):
            analyser.choose("one?", event(), ("yes", "no"))
        rest = analyser.status().retry_in
        if ANALYSER[status] is None:
            assert rest is None
        else:
            assert FIRST_REST_SECONDS < (rest or 0) <= MAX_REST_SECONDS
        analyser.stop()
