"""Every kind of source: live, or refused with the right word."""

from __future__ import annotations

import errno
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.api_schema import CameraRequest, CameraState, CameraStatus
from core.inference.cameras.failures import Cause, classify
from core.inference.cameras.manager import MultiCameraManager
from core.inference.cameras.source_address import SourceKind, parse_source
from tests.inference.conftest import Add
from tests.support import require, rtsp, until
from tests.support.ports import HeldPort
from tests.support.streams import Proxy, Sender, certificate

pytestmark = pytest.mark.camera


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of moving picture."""
    require(rtsp.has_ffmpeg(), "ffmpeg")
    return rtsp.make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=2)


@pytest.fixture
def port() -> Iterator[int]:
    """A port of the test's own."""
    with HeldPort() as held:
        yield held.number


def live(status: CameraStatus) -> bool:
    return status.state is CameraState.LIVE and status.frames > 5


def test_mpeg_ts_over_http(clip: Path, add: Add, port: int) -> None:
    url = f"http://127.0.0.1:{port}/cam.ts"
    with Sender(clip, url, listen=True):
        status = until(add(url), live)
    assert (status.width, status.height, status.codec) == (640, 360, "h264")


def test_mpeg_ts_over_https_with_a_certificate_of_the_cameras_own(
    clip: Path, add: Add, tmp_path: Path, port: int
) -> None:
    with Sender(clip, f"http://127.0.0.1:{port}/cam.ts", listen=True), Proxy(port, certificate(tmp_path)) as tls:
        until(add(f"https://127.0.0.1:{tls.port}/cam.ts"), live)


@pytest.mark.parametrize("way", ["tcp", "udp"])
def test_bare_mpeg_ts(clip: Path, add: Add, way: str, port: int) -> None:
    target = f"tcp://127.0.0.1:{port}?listen=1" if way == "tcp" else f"udp://127.0.0.1:{port}?pkt_size=1316"
    with Sender(clip, target):
        until(add(f"{way}://127.0.0.1:{port}", timeout=2), live)


def test_another_codec_in_mid_stream(tmp_path: Path, add: Add) -> None:
    require(rtsp.has_ffmpeg(), "ffmpeg")
    streams = []
    for codec in ("libx264", "mpeg2video"):
        file = tmp_path / f"{codec}.ts"
        picture = ["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=10:duration=2", "-pix_fmt", "yuv420p", "-g", "10"]
        subprocess.run(["ffmpeg", "-v", "error", *picture, "-c:v", codec, "-f", "mpegts", str(file)], check=True)
        streams.append(file.read_bytes())

    def serve(listener: socket.socket, over: threading.Event) -> None:
        parts = [streams[0], *[streams[1]] * 100]  # the first one once: then the codec is another one for good
        while not over.is_set():
            try:
                with listener.accept()[0] as caller:
                    while not over.is_set():
                        part = parts.pop(0)
                        for at in range(0, len(part), len(part) // 20):
                            caller.sendall(part[at : at + len(part) // 20])
                            over.wait(0.1)
            except OSError:
                pass

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, over), daemon=True).start()
        probe = add(f"tcp://127.0.0.1:{listener.getsockname()[1]}", timeout=1)
        assert until(probe, live).codec == "h264"
        until(probe, lambda one: live(one) and one.codec == "mpeg2video")
        over.set()
        listener.shutdown(socket.SHUT_RDWR)


def test_udp_without_a_sender_is_a_timeout(add: Add, port: int) -> None:
    status = until(add(f"udp://127.0.0.1:{port}", timeout=1), lambda status: bool(status.cause))
    assert status.cause == "timeout"


def test_rtsp_over_udp_and_its_silence(server: rtsp.RtspServer, add: Add) -> None:
    probe = add(server.url("cam"), transport="udp", timeout=2)
    until(probe, live)
    server.freeze()
    until(probe, lambda status: status.state is CameraState.DISCONNECTED and status.cause == "timeout")
    server.thaw()
    until(probe, lambda status: live(status) and status.reconnects >= 1)


def test_a_file_that_is_played_once_ends_and_can_be_started_again(
    clip: Path, add: Add, manager: MultiCameraManager
) -> None:
    probe = add(str(clip), loop=False)
    status = until(probe, lambda status: status.state is CameraState.STOPPED)
    assert "to its end" in status.reason
    assert status.frames == 20
    manager.start_camera("a")
    until(probe, live)


@pytest.fixture
def plain() -> Iterator[int]:
    """A port that speaks no TLS: it answers each caller with a line of text."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller:
                    caller.sendall(b"220 mail.example ready\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("scheme", ["https", "rtsps"])
def test_a_port_without_tls_is_told_apart_from_an_unknown_host(scheme: str, plain: int, add: Add) -> None:
    port = add(f"{scheme}://127.0.0.1:{plain}/cam", "port")
    host = add(f"{scheme}://no-such-host.invalid/cam", "host")
    assert until(port, lambda status: bool(status.cause)).cause == "tls"
    assert until(host, lambda status: bool(status.cause)).cause == "unreachable"


def test_a_device_that_is_not_there_or_is_no_camera(add: Add, tmp_path: Path) -> None:
    require(not Path("/dev/video77").exists(), "no device of that name")
    status = until(add("/dev/video77"), lambda status: bool(status.cause))
    assert (status.cause, status.reason) == ("not_found", "there is no such device")
    device = parse_source("/dev/video0")
    assert device.kind is SourceKind.DEVICE
    for number, cause in (
        (errno.EBUSY, Cause.REFUSED),
        (errno.ENOTTY, Cause.CODEC),
        (errno.ENXIO, Cause.NOT_FOUND),
        (errno.EACCES, Cause.AUTH),
    ):
        failure = classify(OSError(number, "x"), device, opening=True, elapsed=0, timeout=5)
        assert failure.cause is cause
        assert "device" in failure.reason
    unplugged = classify(OSError(errno.ENODEV, "x"), device, opening=False, elapsed=0, timeout=5)
    assert unplugged.cause is Cause.END


def test_a_connection_test_tells_what_is_there(
    server: rtsp.RtspServer, clip: Path, manager: MultiCameraManager
) -> None:
    result = manager.test(CameraRequest(id="x", source=server.url("cam")))
    assert (result.ok, result.width, result.height, result.codec) == (True, 640, 360, "h264")
    assert result.fps == pytest.approx(10, rel=0.2)
    assert manager.test(CameraRequest(id="x", source=str(clip))).fps == pytest.approx(10, rel=0.2)
    missing = manager.test(CameraRequest(id="x", source=server.url("none")))
    assert (missing.ok, missing.cause) == (False, "not_found")
    refused = manager.test(CameraRequest(id="x", source="rtsp://user:hidden@127.0.0.1:9/x"))
    assert refused.cause == "refused"
    assert "hidden" not in refused.model_dump_json()
    assert manager.statuses() == []
