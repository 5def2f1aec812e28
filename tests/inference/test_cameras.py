"""Cameras against a real RTSP server that freezes, dies and comes back; and sources that never were one."""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from core.api_schema import CameraRequest, CameraState, CameraStatus
from core.errors import InputError
from core.inference.cameras.camera import LeaseScorer
from core.inference.cameras.frames import Frame
from core.inference.cameras.manager import CameraExists, MultiCameraManager, TooManyCameras, UnknownCamera
from core.inference.cameras.recorder import ClipRecorder
from core.inference.cameras.source import CameraSource
from core.inference.cameras.source_address import parse_source
from tests.inference.conftest import QUICK_BACKOFF, UTC, Add, RecordingObserver
from tests.support import require, rtsp, until

pytestmark = pytest.mark.camera


def live(status: CameraStatus) -> bool:
    return status.state is CameraState.LIVE and status.score is not None


def lost(cause: str) -> Callable[[CameraStatus], bool]:
    return lambda status: status.state is CameraState.DISCONNECTED and status.cause == cause


def test_a_moving_picture_is_live_and_scores(server: rtsp.RtspServer, add: Add) -> None:
    probe = add(server.url("cam"))
    status = until(probe, lambda status: live(status) and (status.score or 0) > 0.05 and status.fps > 5)
    assert (status.width, status.height, status.codec) == (640, 360, "h264")
    assert status.last_frame_age is not None
    assert 0 <= status.last_frame_age < 30
    assert 0 < status.processed_fps < status.fps


def test_a_still_picture_scores_nothing(add: Add) -> None:
    require(rtsp.available(), "GStreamer's RTSP server")
    with rtsp.RtspServer({"cam": rtsp.Live(pattern="white")}) as still:
        probe = add(still.url("cam"))
        status = until(probe, lambda status: len(status.scores) >= 8)
        assert max(status.scores) < 0.01


def test_a_frozen_server_is_a_timeout_and_comes_back(server: rtsp.RtspServer, add: Add) -> None:
    probe = add(server.url("cam"), timeout=2)
    until(probe, live)
    server.freeze()
    status = until(probe, lost("timeout"))
    assert "2 s" in status.reason
    assert status.score is None
    server.thaw()
    assert until(probe, live).reconnects >= 1


def test_a_killed_server_is_lost_and_comes_back(server: rtsp.RtspServer, add: Add) -> None:
    probe = add(server.url("cam"))
    until(probe, live)
    server.kill()
    until(probe, lambda status: status.state is CameraState.DISCONNECTED and status.cause in ("end", "refused"))
    server.start()
    assert until(probe, live).reconnects >= 1


def test_the_first_connection_is_retried_like_any_other(server: rtsp.RtspServer, add: Add) -> None:
    server.kill()
    probe = add(server.url("cam"))
    until(probe, lost("refused"))
    server.start()
    until(probe, live)


def test_a_missing_stream_is_not_found(server: rtsp.RtspServer, add: Add) -> None:
    until(add(server.url("no-such")), lost("not_found"))


def test_a_port_that_never_answers_is_a_timeout(add: Add) -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        until(add(f"rtsp://127.0.0.1:{hole.getsockname()[1]}/cam", timeout=2), lost("timeout"))


def test_a_wrong_password_is_told_and_never_shown(add: Add, caplog: pytest.LogCaptureFixture) -> None:
    require(rtsp.available(), "GStreamer's RTSP server")
    with rtsp.RtspServer({"cam": rtsp.Live()}, user="gate", password="right-secret") as guarded:
        bad = add(guarded.url("cam", "gate:wrong-secret"), "bad")
        good = add(guarded.url("cam"), "good")
        until(good, live)
        status = until(bad, lost("auth"))
        text = status.model_dump_json() + good().model_dump_json() + caplog.text
        assert "secret" not in text
        assert "***@" in status.source


def test_garbage_is_no_video(add: Add, tmp_path: Path) -> None:
    file = tmp_path / "noise.mp4"
    file.write_bytes(bytes(range(256)) * 400)
    until(add(str(file)), lost("codec"))


def test_a_file_is_played_again_and_again(add: Add, tmp_path: Path) -> None:
    require(rtsp.has_ffmpeg(), "ffmpeg")
    clip = rtsp.make_clip(tmp_path / "clip.mp4", seconds=1)
    status = until(add(str(clip)), lambda status: status.frames > 25)
    assert status.state is CameraState.LIVE
    assert status.reconnects == 0


def test_another_picture_size_in_mid_stream(server: rtsp.RtspServer, add: Add) -> None:
    probe = add(server.url("cam"))
    until(probe, live)
    server.resize("cam", 320, 240)
    status = until(probe, lambda status: (status.width, status.height) == (320, 240) and live(status))
    assert status.error == ""


def test_cameras_that_fail_cost_the_others_no_frame(server: rtsp.RtspServer, add: Add) -> None:
    good = [add(server.url("cam"), f"good{i}") for i in range(2)]
    for probe in good:
        until(probe, live)
    bad = [add("rtsp://127.0.0.1:9/none", "refused"), add(server.url("no-such"), "missing")]
    before = [probe().frames for probe in good]
    until(bad[0], lost("refused"))
    until(bad[1], lost("not_found"))
    for probe, count in zip(good, before, strict=True):
        status = until(probe, lambda one, count=count: one.frames > count + 20)
        assert status.state is CameraState.LIVE
        assert status.reconnects == 0
        assert status.damaged == 0


def test_no_frame_of_a_stream_is_lost_while_others_fail(server: rtsp.RtspServer, add: Add) -> None:
    stamps: list[int] = []

    def keep(frame: Frame) -> None:
        if frame.image.pts is not None:  # the first frame of a connection has none
            stamps.append(frame.image.pts)

    source = CameraSource("good", parse_source(server.url("cam")), keep, ClipRecorder(1), backoff=QUICK_BACKOFF)
    source.start()
    until(lambda: len(stamps), lambda count: count > 10)
    refused = add("rtsp://127.0.0.1:9/none", "refused")
    missing = add(server.url("no-such"), "missing")
    until(refused, lost("refused"))
    until(missing, lost("not_found"))
    frames_before = len(stamps)
    until(lambda: len(stamps), lambda count: count > frames_before + 20)
    source.stop()
    steps = {after - before for before, after in pairwise(stamps)}
    assert max(steps) < 1.5 * 9000, "at 90 kHz and 10 frames a second a frame is 9000 ticks after the one before"


@pytest.mark.parametrize("state", ["connecting", "live", "disconnected"])
def test_stop_works_from_every_state(
    server: rtsp.RtspServer, manager: MultiCameraManager, add: Add, state: str
) -> None:
    if state == "connecting":
        server.freeze()
        probe = add(server.url("cam"), timeout=1)
        until(probe, lambda status: status.state is CameraState.CONNECTING)
    elif state == "live":
        probe = add(server.url("cam"))
        until(probe, live)
    else:
        until(add("rtsp://127.0.0.1:9/none"), lost("refused"))
    pipeline = manager.get("a")
    manager.remove("a")
    assert pipeline.status().state is CameraState.STOPPED
    until(lambda: pipeline.ended, bool, 5)


def test_the_manager_refuses_with_a_reason(
    manager: MultiCameraManager, witness: RecordingObserver, lease: LeaseScorer
) -> None:
    manager.add(CameraRequest(id="a", source="rtsp://127.0.0.1:9/a"))
    with pytest.raises(CameraExists):
        manager.add(CameraRequest(id="a", source="rtsp://127.0.0.1:9/a"))
    with pytest.raises(UnknownCamera):
        manager.remove("b")
    with pytest.raises(InputError, match="not supported"):
        manager.add(CameraRequest(id="c", source="gopher://host/x"))
    small = MultiCameraManager(witness, lease, time_zone=UTC, maximum=1)
    small.add(CameraRequest(id="a", source="rtsp://127.0.0.1:9/a"))
    with pytest.raises(TooManyCameras):
        small.add(CameraRequest(id="b", source="rtsp://127.0.0.1:9/a"))
