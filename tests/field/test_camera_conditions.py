"""Two conditions under one word: no key frame yet is "no frame", a web page is an "unknown host", a blank "not found".

Applies to everything that says why a camera has no picture: what comes from it and cannot be shown yet or at all, what
answers in its place, names that are not looked up, and addresses as people paste them, at every door.
"""

from __future__ import annotations

import io
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path

import av
import httpx
import pytest
from av.packet import Packet

from core.api_schema import CameraRequest, CameraState, CameraStatus, ConnectionTest
from core.api_schema.sources import normalised_source
from core.cli.camera_options import camera_options, camera_request
from core.errors import InputError
from core.inference.cameras import name_lookup
from core.inference.cameras.connection_test import run_connection_test
from core.inference.cameras.manager import MultiCameraManager
from core.inference.cameras.source_address import parse_source
from core.inference.startup_cameras import cameras_from_environment, parse_camera_entries, read_camera_file
from tests.inference.conftest import Add, RecordingObserver, running_manager
from tests.support import require, rtsp, until
from tests.support.clock_camera import ClockCamera, ident, mpeg_ts

pytestmark = pytest.mark.camera

FPS = 20


encode = partial(rtsp.encode, rate=str(FPS), seconds=8)


HEADERS = "repeat-headers=1"  # as cameras do: each key frame brings what is needed to decode it
LateClip = Callable[..., Path]
GROUPS = {  # key frames every four seconds, as cameras and encoders make them
    "closed": ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "80", "-x264-params", HEADERS),
    "open": ("-c:v", "libx264", "-bf", "2", "-g", "80", "-x264-params", f"open-gop=1:scenecut=0:{HEADERS}"),
    "intra refresh": (
        "-c:v",
        "libx264",
        "-tune",
        "zerolatency",
        "-x264-params",
        f"intra-refresh=1:keyint=80:{HEADERS}",
    ),
    "h265": ("-c:v", "libx265", "-x265-params", "log-level=error:keyint=80:min-keyint=80:scenecut=0"),
}


@pytest.fixture(scope="module")
def late_clip(tmp_path_factory: pytest.TempPathFactory) -> LateClip:
    """A clip that begins in the middle of a group."""
    folder = tmp_path_factory.mktemp("late")

    def one(kind: str, last: int | None = None) -> Path:
        path = folder / f"{ident(kind)}-late-{last}.mp4"
        if not path.exists():
            whole = encode(folder / f"{ident(kind)}.mp4", *GROUPS[kind])
            with av.open(str(whole)) as source, av.open(str(path), "w") as sink:
                stream = sink.add_stream_from_template(source.streams.video[0])
                packets = [packet for packet in source.demux(source.streams.video[0]) if packet.size]
                for packet in packets[20:last]:
                    packet.stream = stream
                    sink.mux(packet)
        return path

    return one


def waits(status: CameraStatus) -> bool:
    return status.state is CameraState.CONNECTING and status.cause == "no_key_frame"


Waited = dict[str, tuple[list[CameraStatus], int]]


@pytest.fixture(scope="module")
def waited(late_clip: LateClip, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Waited, RecordingObserver]]:
    """What was said of each of these cameras until it was live, all at once, and how many connections it saw."""
    streams = {ident(kind): partial(mpeg_ts, late_clip(kind), lambda number: number / FPS) for kind in GROUPS}
    witness = RecordingObserver(tmp_path_factory.mktemp("media"))
    statuses_by_camera: dict[str, list[CameraStatus]] = {name: [] for name in streams}
    with ClockCamera(streams, 1 / FPS) as camera, running_manager(witness) as manager:
        for name in streams:
            manager.add(CameraRequest(id=name, source=camera.url(name), timeout=1))

        def look() -> bool:
            for status in manager.statuses():
                statuses_by_camera[status.id].append(status)
            return all(statuses[-1].frames > 3 for statuses in statuses_by_camera.values())

        until(look, bool)
        yield {name: (statuses_by_camera[name], camera.callers[name]) for name in streams}, witness


@pytest.mark.parametrize("kind", GROUPS)
def test_a_key_frame_is_waited_for_as_long_as_packets_arrive(
    kind: str, waited: tuple[Waited, RecordingObserver]
) -> None:
    statuses, callers = waited[0][ident(kind)]
    words = next(status.reason for status in statuses if waits(status))
    assert words.endswith("set the camera's key frame interval (GOP, I-frame interval) to 2 s")
    status = statuses[-1]
    assert (status.state, status.reason, status.reconnects, callers) == (CameraState.LIVE, "", 0, 1)
    assert waited[1].alerts == []


def test_a_key_frame_is_waited_for_over_rtsp(late_clip: LateClip, add: Add) -> None:
    require(rtsp.available(), "GStreamer's RTSP server")
    with rtsp.RtspServer({"cam": rtsp.Clip(late_clip("closed"))}) as server:
        probe = add(server.url("cam"), timeout=1)
        assert "no key frame" in until(probe, waits).reason
        assert until(probe, lambda one: one.frames > 3).reconnects == 0


def undecodable(clip: Path) -> Iterator[bytes]:
    """MPEG-TS whose key frames come without the parameter sets that they refer to."""
    file, number, sent = io.BytesIO(), 0, 0
    with av.open(file, "w", format="mpegts", options={"flush_packets": "1"}) as output:
        stream = output.add_mux_stream("h264", FPS, width=320, height=180)
        while True:
            with av.open(str(clip)) as container:
                to_bytes = av.BitStreamFilterContext("h264_mp4toannexb", container.streams.video[0])
                parts = [part for packet in container.demux(video=0) for part in to_bytes.filter(packet)]
            for part in parts:
                units = bytes(part).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
                copy = Packet(b"".join(b"\0\0\0\1" + unit for unit in units if unit[0] & 31 not in (7, 8)))
                copy.stream, copy.is_keyframe, copy.time_base = stream, part.is_keyframe, Fraction(1, FPS)
                copy.pts = copy.dts = number
                output.mux(copy)
                yield file.getvalue()[sent:]
                number, sent = number + 1, len(file.getvalue())


def sound(folder: Path) -> bytes:
    path = folder / "sound.ts"
    source = ["-f", "lavfi", "-i", "sine=duration=4", "-c:a", "aac"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *source, str(path)], check=True)
    return path.read_bytes()


def in_pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1880] for at in range(0, len(data), 1880))


def nothing() -> Iterator[bytes]:
    return repeat(b"")


def first_then_nothing(clip: Path) -> Iterator[bytes]:
    parts = mpeg_ts(clip, lambda number: number / FPS)
    return chain((next(parts) for _ in range(20)), nothing())


def test_what_comes_from_a_camera_and_is_no_picture(
    late_clip: LateClip, tmp_path: Path, manager: MultiCameraManager
) -> None:
    clip = encode(tmp_path / "clip.mp4", *GROUPS["closed"], seconds=3)
    streams: dict[str, Callable[[], Iterator[bytes]]] = {
        "silent": nothing,
        "no-key": partial(mpeg_ts, late_clip("closed", 70), lambda number: number / FPS),
        "refused": partial(undecodable, clip),
        "sound": lambda: in_pieces(sound(tmp_path)),
    }
    expected = {
        "silent": ("timeout", "no answer within 1 s"),
        "no-key": ("no_key_frame", "packets arrive, but no key frame for"),
        "refused": ("codec", "key frames arrive, but the decoder of h264 rejects them"),
        "sound": ("codec", "the camera sends only sound"),
    }
    with ClockCamera(streams, 1 / FPS) as camera, ThreadPoolExecutor(len(streams)) as at_once:
        requests = [CameraRequest(id="x", source=camera.url(name), timeout=1) for name in streams]
        tested = dict(zip(streams, at_once.map(manager.test, requests), strict=True))
    for name, (cause, words) in expected.items():
        assert (tested[name].ok, tested[name].cause) == (False, cause), name
        assert tested[name].reason.startswith(words), name


def test_packets_that_end_are_a_silence(tmp_path: Path, add: Add) -> None:
    clip = encode(tmp_path / "clip.mp4", *GROUPS["closed"], seconds=3)
    with ClockCamera({"cam": partial(first_then_nothing, clip)}, 1 / FPS) as camera:
        status = until(add(camera.url("cam"), timeout=1), lambda one: one.frames > 0 and bool(one.cause))
    assert (status.cause, status.reason) == ("timeout", "no frame within 1 s")


def test_a_codec_without_a_decoder_is_named(tmp_path: Path, manager: MultiCameraManager) -> None:
    clip = encode(tmp_path / "clip.mp4", *GROUPS["closed"], seconds=1)
    clip.write_bytes(clip.read_bytes().replace(b"avc1", b"evc1").replace(b"avcC", b"evcC"))
    result = manager.test(CameraRequest(id="x", source=str(clip)))
    assert (result.cause, result.reason) == ("codec", "there is no decoder for its video codec")


# -- what answers in the place of a camera ---

# path: (status, type and body of the answer, cause, what is said)
WEB = {
    "page": (
        200,
        "text/html; charset=utf-8",
        b"<html>Log in</html>",
        "codec",
        "with a web page (text/html), not with video",
    ),
    "xhtml": (200, "application/xhtml+xml", b"<html/>", "codec", "a web page (application/xhtml+xml), not with video"),
    "json": (200, "application/json", b'{"error": "no"}', "codec", "answers with application/json, not with video"),
    "text": (200, "text/plain", b"busy", "codec", "the address answers with text/plain, not with video"),
    "xml": (200, "application/xml", b"<a/>", "codec", "the address answers with application/xml, not with video"),
    "empty": (200, "video/mp2t", b"", "codec", "the address answers with an empty body"),
    "no-content": (204, "", b"", "error", "the camera answers with status 204 (No Content)"),
    "not-modified": (304, "", b"", "error", "the camera answers with status 304 (Not Modified)"),
    "playlist": (200, "application/vnd.apple.mpegurl", b"#EXTM3U\n", "codec", "which contains no video"),
    "broken-picture": (200, "image/jpeg", b"\xff\xd8\xff\xe0" * 99, "codec", "a picture that cannot be decoded"),
    "no-type": (200, "", b"abc", "codec", "the server there sends no video that can be decoded"),
    "moved": (
        301,
        "text/html",
        b"",
        "redirect",
        "it answers with status 301 and leads to /login: redirects are not followed",
    ),
    "to-login": (
        302,
        "text/html",
        b"",
        "redirect",
        "it answers with status 302 and leads to /login: redirects are not followed",
    ),
    "bad-request": (400, "text/html", b"", "rejected", "rejects the request: status 400 (Bad Request)"),
    "login": (401, "text/html", b"", "auth", "the camera asks for a user name and password, but the address has none"),
    "forbidden": (403, "text/html", b"", "auth", "the camera denies access (status 403)"),
    "missing": (404, "text/html", b"", "not_found", "there is no such stream or file"),
    "too-many": (429, "text/html", b"", "rejected", "rejects the request: status 429 (Too Many Requests)"),
    "fault": (500, "text/html", b"", "error", "the camera answers with status 500 (Internal Server Error)"),
    "starting": (503, "application/json", b"{}", "error", "the camera answers with status 503 (Service Unavailable)"),
}


@pytest.fixture(scope="module")
def web() -> Iterator[int]:
    """A web server that answers as the table says; its port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, kind, body, _, _ = WEB[self.path[1:]]
            self.send_response(status)
            if kind:
                self.send_header("Content-Type", kind)
            if status in (301, 302):
                self.send_header("Location", "/login")
            if status == 401:
                self.send_header("WWW-Authenticate", 'Digest realm="camera", nonce="1", qop="auth"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def try_connection(source: str, **settings: object) -> ConnectionTest:
    result = run_connection_test(CameraRequest.model_validate({"id": "x", "source": source, "timeout": 10, **settings}))
    assert not result.ok
    return result


@pytest.mark.parametrize("path", WEB)
def test_what_a_web_server_answers_is_said(path: str, web: int) -> None:
    *_, cause, words = WEB[path]
    result = try_connection(f"http://127.0.0.1:{web}/{path}")
    assert result.cause == cause
    assert words in result.reason


def test_a_login_that_is_refused_is_not_one_that_is_missing(web: int) -> None:
    result = try_connection(f"http://user:wrong@127.0.0.1:{web}/login")
    assert (result.cause, result.reason) == ("auth", "the camera refuses the user name or password")


def rtsp_answer(status: str) -> bytes:
    return f"RTSP/1.0 {status}\r\nCSeq: 1\r\n\r\n".encode()


# name: (scheme, what comes before any question, what is answered, cause, what is said)
PORTS = {
    "ssh": ("rtsp", b"SSH-2.0-Open\r\n", b"", "codec", 'does not speak RTSP: it answers "SSH-2.0-Open"'),
    "mail": ("rtsp", b"220 mail ESMTP\r\n", b"", "codec", 'does not speak RTSP: it answers "220 mail ESMTP"'),
    "ssh for http": ("http", b"SSH-2.0-Open\r\n", b"", "codec", 'does not speak HTTP: it answers "SSH-2.0-Open"'),
    "ssh for tcp": ("tcp", b"SSH-2.0-Open\r\n", b"", "codec", 'sends no video: it answers "SSH-2.0-Open"'),
    "web": ("rtsp", b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", "codec", "does not speak RTSP, but HTTP: use http://"),
    "rtsp for http": (
        "http",
        b"",
        rtsp_answer("400 Bad Request"),
        "codec",
        "does not speak HTTP, but RTSP: use rtsp://",
    ),
    "tls for rtsp": ("rtsp", b"", b"\x15\x03\x01\0\2\2\x28", "codec", "does not speak RTSP, but TLS: use rtsps://"),
    "tls for http": ("http", b"", b"\x15\x03\x01\0\2\2\x28", "codec", "does not speak HTTP, but TLS: use https://"),
    "closes": ("rtsp", b"", b"", "codec", "does not speak RTSP: it closes the connection without an answer"),
    "mail for https": ("https", b"220 mail ESMTP\r\n", b"", "tls", "the server there does not speak TLS"),
    "mail for rtsps": ("rtsps", b"220 mail ESMTP\r\n", b"", "tls", "the server there does not speak TLS"),
    "bad request": ("rtsp", b"", rtsp_answer("400 Bad Request"), "rejected", "status 400 (Bad Request)"),
    "asks": ("rtsp", b"", rtsp_answer("401 Unauthorized"), "auth", "the camera asks for a user name and password"),
    "forbids": ("rtsp", b"", rtsp_answer("403 Forbidden"), "auth", "the camera denies access (status 403)"),
    "no stream": ("rtsp", b"", rtsp_answer("404 Not Found"), "not_found", "there is no such stream"),
    "viewers": ("rtsp", b"", rtsp_answer("453 Not Enough Bandwidth"), "rejected", "status 453 (Not Enough Bandwidth)"),
    "session": ("rtsp", b"", rtsp_answer("454 Session Not Found"), "rejected", "status 454 (Session Not Found)"),
    "transport": (
        "rtsp",
        b"",
        rtsp_answer("461 Unsupported Transport"),
        "rejected",
        "status 461 (Unsupported Transport)",
    ),
    "starting": ("rtsp", b"", rtsp_answer("503 Service Unavailable"), "error", "status 503 (Service Unavailable)"),
}


# name: (what the camera answers to each request that it does not take, cause, what is said)
DIALOGUES = {
    "transport": ({"SETUP": "461 Unsupported Transport"}, "rejected", "this transport (status 461): use the other one"),
    "viewers": ({"SETUP": "453 Not Enough Bandwidth"}, "rejected", "describes its stream but refuses to send it"),
    "play": ({"PLAY": "455 Method Not Valid in This State"}, "rejected", "but refuses to send it (status 4xx)"),
    "fault": ({"SETUP": "503 Service Unavailable"}, "error", "but fails to send it (status 5xx)"),
    "no track": ({"SETUP": "404 Not Found"}, "not_found", "there is no such stream"),
}
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("name", DIALOGUES)
def test_what_a_camera_rejects_after_it_described_its_stream_is_said(name: str, transport: str) -> None:
    answers, cause, words = DIALOGUES[name]

    class Camera(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                headers = dict(iter(lambda: tuple(self.rfile.readline().decode().strip().lower().split(": ")), ("",)))
                method = line.decode().split()[0]
                body = SDP if method == "DESCRIBE" else ""
                transport = headers.get("transport", "")
                self.wfile.write(
                    f"RTSP/1.0 {answers.get(method, '200 OK')}\r\nCSeq: {headers['cseq']}\r\nSession: 1\r\n"
                    f"Transport: {transport};server_port=9-10\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
                )

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Camera) as camera:
        camera.daemon_threads = True
        threading.Thread(target=camera.serve_forever, args=(0.05,), daemon=True).start()
        result = try_connection(f"rtsp://127.0.0.1:{camera.server_address[1]}/1", transport=transport)
        camera.shutdown()
    assert result.cause == cause
    assert words in result.reason


@contextmanager
def listening(first: bytes, answer: bytes) -> Iterator[int]:
    """A port that says `first` to each caller, waits for a question, answers and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(caller: socket.socket) -> None:
            with caller:
                try:
                    caller.sendall(first)
                    caller.recv(4096)
                    caller.sendall(answer)
                except OSError:
                    pass

        def accept() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(caller,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("name", PORTS)
def test_another_service_at_that_port_is_named(name: str) -> None:
    scheme, first, answer, cause, words = PORTS[name]
    with listening(first, answer) as port:
        result = try_connection(
            f"{scheme}://127.0.0.1:{port}{'' if scheme == 'tcp' else '/1'}", timeout=1 if scheme == "tcp" else 10
        )
    assert result.cause == cause
    assert words in result.reason


def test_a_file_that_is_none_or_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "sound.ts").write_bytes(sound(tmp_path))
    assert try_connection(str(tmp_path / "empty.mp4")).reason == "the file is empty"
    assert try_connection(str(tmp_path / "sound.ts")).reason == "the file contains only sound"
    assert try_connection(str(tmp_path / "none.mp4")).reason == "there is no such file"
    assert try_connection(str(tmp_path / "notes.mp4")).reason == "the file contains no video that can be decoded"


# -- names ---

NO_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
LOOKED_UP = {  # what the resolver answers: what is said
    "unknown": (NO_NAME, name_lookup.UNKNOWN_HOST),
    "temporary": (
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        name_lookup.NO_NAME_SERVER_ANSWER,
    ),
    "failed": (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"), name_lookup.NO_NAME_SERVER_ANSWER),
    "impossible": (UnicodeError("label empty or too long"), name_lookup.INVALID_HOST),
}


@pytest.mark.parametrize("scheme", ["rtsp", "http", "https", "udp", "tcp"])
@pytest.mark.parametrize("answer", LOOKED_UP)
def test_an_unknown_name_is_not_a_name_server_that_is_silent(
    answer: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, words = LOOKED_UP[answer]

    def look_up(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", look_up)  # a name server of its own needs a network
    result = try_connection(f"{scheme}://camera.site:5000{'/1' if scheme in ('rtsp', 'http') else ''}")
    assert (result.cause, result.reason) == ("unreachable", words)


def test_a_name_server_that_hangs_is_said_after_the_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30))
    assert try_connection("rtsp://camera.site/1", timeout=1).reason == name_lookup.NO_NAME_SERVER_ANSWER
    over.set()


# -- addresses as people paste them ---

ADDRESSES = {  # what is given: what it is taken for
    " rtsp://h/1": "rtsp://h/1",
    "rtsp://h/1\n": "rtsp://h/1",
    "\u00a0rtsp://h/1\u200b": "rtsp://h/1",
    "RTSP://Host/Path": "rtsp://Host/Path",
    "Https://h/Video.ts": "https://h/Video.ts",
    '"rtsp://h/1"': "rtsp://h/1",
    "' rtsp://h/1 '": "rtsp://h/1",
    "“rtsp://h/1”": "rtsp://h/1",
    "<rtsp://h/1>": "rtsp://h/1",
    "rtsp:\\\\h\\live\\1": "rtsp://h/live/1",
    "rtsp://192.168\u200b.1.5/1": "rtsp://192.168.1.5/1",
    "rtsp://h/1?channel=1&amp;subtype=0": "rtsp://h/1?channel=1&subtype=0",
    "rtsp://h/?url=rtsp://x/1": "rtsp://h/?url=rtsp://x/1",
    "rtsp://ü.example/1": "rtsp://ü.example/1",
    "12:30:45.ts": "12:30:45.ts",
    "./0": "./0",
    "a.local.mp4": "a.local.mp4",
    "http://h/my camera/1": "http://h/my%20camera/1",
    "rtsp://u:p@ss@h/1": "rtsp://u:p%40ss@h/1",
    "rtsp://u:p/s?s#@h:554/1": "rtsp://u:p%2Fs%3Fs%23@h:554/1",
    "rtsp://u:50%@h/1": "rtsp://u:50%25@h/1",
    "rtsp://u:p%40ss@h/1": "rtsp://u:p%40ss@h/1",
    "rtsp://u:two words@h/1": "rtsp://u:two%20words@h/1",
    "rtsp://***@h/1": "rtsp://***@h/1",
    "rtsp://[::1]:554/1": "rtsp://[::1]:554/1",
    "rtsp://2001:db8::5/1": "rtsp://[2001:db8::5]/1",
    "rtsp://u:p@::1/1": "rtsp://u:p@[::1]/1",
    "rtsp://2001:db8:1:2:3:4:5:6:554/1": "rtsp://[2001:db8:1:2:3:4:5:6]:554/1",
    "file:///media/my%20clip.mp4": "/media/my clip.mp4",
    "FILE://localhost/media/a.mp4": "/media/a.mp4",
    "file:///media/a#1?.mp4": "/media/a#1?.mp4",
    "file:///~/a.mp4": "~/a.mp4",
    "/media/a%20b.mp4": "/media/a%20b.mp4",
    "/dev/video0\n": "/dev/video0",
}


@pytest.mark.parametrize("given", ADDRESSES, ids=range(len(ADDRESSES)))
def test_an_address_is_what_was_meant_at_every_door(given: str, tmp_path: Path) -> None:
    expected = ADDRESSES[given]
    body = {"id": "a", "source": given}
    file = tmp_path / "cameras.json"
    file.write_text(httpx.Request("POST", "http://x", json={"cameras": [body]}).content.decode())
    options = dict.fromkeys(param.name for param in camera_options(lambda: None).__click_params__)  # type: ignore[attr-defined]
    doors = {
        "API and console": CameraRequest.model_validate(body).source,
        "command line": camera_request(options, id="a", source=given).source,
        "start": parse_camera_entries([f"a={given}"], "--camera")[0].source,
        "file": read_camera_file(file)[0].source,
    }
    assert doors == dict.fromkeys(doors, expected)
    assert normalised_source(expected) == expected
    assert parse_source(given) == parse_source(expected) if "*" not in given else True


def test_quotes_that_an_engine_keeps_in_an_env_file_belong_to_no_camera() -> None:
    for text in ('"a=rtsp://h/1 b=RTSP://h/2"', "a=rtsp://h/1\n b='RTSP://h/2'\n"):
        cameras = cameras_from_environment({"XAIVA_CAMERAS": text})
        assert [(camera.id, camera.source) for camera in cameras] == [("a", "rtsp://h/1"), ("b", "rtsp://h/2")]


REFUSED = {  # what cannot be known for certain: what is said
    "192.168.1.5:554/stream": "has no scheme",
    "192.168.1.5/stream": "has no scheme",
    "admin:hidden@192.168.1.5:554/stream": "has no scheme",
    "camera.local:554/stream": "has no scheme",
    "[::1]:554/1": "has no scheme",
    "//192.168.1.5/stream": "has no scheme",
    "2001:db8::5": "has no scheme",
    "fe80::1%eth0/1": "has no scheme",
    "camera.local/stream": "has no scheme",
    "rtsp//192.168.1.5/1": "has no :// after its scheme",
    "rtsp:/192.168.1.5/1": "has no :// after its scheme",
    "rtsp:h/1": "has no :// after its scheme",
    "rtsp: //h/1": "has no :// after its scheme",
    "rtsp;//h/1": "has no :// after its scheme",
    "rtsp:\\h\\1": "has no :// after its scheme",
    "rtsp:／／h/1": "has no :// after its scheme",
    "(rtsp://u:hidden@h/1)": "there is text before the address",
    '"rtsp://u:hidden@h/1': "there is text before the address",
    "- rtsp://u:hidden@h/1": "there is text before the address",
    "ffplay -i rtsp://u:hidden@h/1": "there is text before the address",
    "URL: http://h/1": "there is text before the address",
    "rtspsrc location=rtsp://u:hidden@h/1": "there is text before the address",
    "rtsp :// h/1": "there is text before the address, or its scheme contains special characters",
    "ｒｔｓｐ：//h/1": "its scheme contains special characters",
    "rtsp://h/1 rtsp://u:hidden@h/2": "contains two addresses",
    "rtsp://192,168,1,5/1": "a character that host names cannot have",
    "rtsp://<ip>:554/1": "a character that host names cannot have",
    "rtsp://{ip}/1": "a character that host names cannot have",
    "rtsp://$CAMERA/1": "a character that host names cannot have",
    "rtsp://h:0/1": "port is 0",
    "udp://@:5000": "has no host",
    "0": "the device is given without its full path",
    "video0": "the device is given without its full path",
    "dev/video0": "the device is given without its full path",
    "C:\\videos\\a.mp4": "a Windows path",
    "\\\\nas\\videos\\a.mp4": "a Windows path",
    "file:///C:/videos/a.mp4": "a Windows path",
    "file://nas/a.mp4": "names another host",
    "rtsp://2001:db8::5:554/1": "where the IPv6 address ends",
    "rtsp://h\nx/1": "a control character",
    "rtsp://10.0.0.5/hidden@1": "has an @ after its host",
    "rtmp://h/1": "rtmp: is not supported",
    "rtsp://h:99999/1": "host or port of the URL is invalid",
    "rtsp://": "has no host",
}


@pytest.mark.parametrize("source", REFUSED, ids=range(len(REFUSED)))
def test_an_address_that_may_mean_two_things_is_refused_at_the_door(source: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_source(CameraRequest(id="a", source=source).source)
    assert REFUSED[source] in raised.value.why
    assert raised.value.remedy
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("source", ["", "  ", "\n", '""'])
def test_an_empty_address_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="source"):
        CameraRequest(id="a", source=source)
