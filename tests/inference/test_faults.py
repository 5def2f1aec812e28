"""What cameras and networks do to a service, on live streams: each is told, healed, and costs the others no frame.

The times to "offline" and to the first frame after the return are recorded as properties of the tests (and printed).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from core.api_schema import AlertKind, CameraState, CameraStatus
from core.inference.cameras.frames import Frame
from core.inference.cameras.manager import MultiCameraManager
from core.inference.cameras.recorder import ClipRecorder
from core.inference.cameras.restart_budget import CameraTimes
from core.inference.cameras.source import CameraSource
from core.inference.cameras.source_address import parse_source
from tests.inference.conftest import QUICK_BACKOFF, Add, RecordingObserver
from tests.support import require, rtsp, until
from tests.support.streams import Proxy

pytestmark = pytest.mark.camera

Probe = Callable[[], CameraStatus]
Record = Callable[[str, object], None]
TICKS = 9000  # of RTP's 90 kHz clock, between two frames of a camera with 10 a second


def live(status: CameraStatus) -> bool:
    return status.state is CameraState.LIVE and status.frames > 0


def offline(status: CameraStatus) -> bool:
    return status.state is CameraState.DISCONNECTED


def timed(record: Record, name: str, probe: Probe, condition: Callable[[CameraStatus], bool]) -> CameraStatus:
    """Wait, and record how long that took."""
    began = time.monotonic()
    status = until(probe, condition)
    seconds = round(time.monotonic() - began, 2)
    record(name, seconds)
    print(f"{name}: {seconds} s")
    return status


@pytest.mark.parametrize("fault", ["frozen", "killed"])
def test_offline_and_back(server: rtsp.RtspServer, add: Add, record_property: Record, fault: str) -> None:
    probe = add(server.url("cam"), timeout=2)
    until(probe, live)
    if fault == "frozen":
        server.freeze()
    else:
        server.kill()
    status = timed(record_property, f"{fault}: seconds to offline", probe, offline)
    assert status.cause in ("timeout", "end", "refused")
    if fault == "frozen":
        server.thaw()
    else:
        server.start()
    status = timed(record_property, f"{fault}: seconds from its return to the first frame", probe, live)
    assert status.reconnects >= 1


def test_a_camera_that_stays_away_is_an_alert_until_it_is_back_or_stopped(
    server: rtsp.RtspServer, add: Add, manager: MultiCameraManager, witness: RecordingObserver
) -> None:
    manager.context = replace(manager.context, times=CameraTimes(disconnected_alert=1))
    probe = add(server.url("cam"), "gate")
    add("rtsp://127.0.0.1:9/none", "never")
    until(probe, live)
    until(lambda: witness.alerts, lambda alerts: alerts == [("never", AlertKind.DISCONNECTED, True)])
    server.kill()
    until(lambda: witness.alerts, lambda alerts: alerts[1:] == [("gate", AlertKind.DISCONNECTED, True)])
    server.start()
    until(lambda: witness.alerts, lambda alerts: alerts[2:] == [("gate", AlertKind.DISCONNECTED, False)])
    manager.stop_camera("never")
    until(lambda: witness.alerts, lambda alerts: alerts[3:] == [("never", AlertKind.DISCONNECTED, False)])


def test_a_damaging_network_is_counted_and_overcome(server: rtsp.RtspServer, add: Add) -> None:
    with Proxy(server.port) as network:
        probe = add(server.url("cam").replace(str(server.port), str(network.port)), "through")
        direct = add(server.url("cam"), "direct")
        until(probe, live)
        until(direct, live)
        network.damaging = True
        until(lambda: network.damaged, lambda count: count > 40)
        until(probe, lambda status: status.damaged > 0 or status.reconnects > 0 or offline(status))
        network.damaging = False
        frames_before = probe().frames
        until(probe, lambda status: live(status) and status.frames > frames_before + 20)
        assert (direct().damaged, direct().reconnects) == (0, 0)


def test_a_smeared_picture_is_not_scored(server: rtsp.RtspServer) -> None:
    frames: list[Frame] = []
    with Proxy(server.port) as network:
        url = server.url("cam").replace(str(server.port), str(network.port))
        source = CameraSource("a", parse_source(url), frames.append, ClipRecorder(1), timeout=2, backoff=QUICK_BACKOFF)
        source.start()
        until(lambda: len(frames), lambda count: count > 5)
        network.damaging = True
        until(lambda: source.status().damaged, lambda count: count > 10)
        network.damaging = False
        count = len(frames)
        until(lambda: len(frames), lambda now: now > count + 10)
        source.stop()
    assert not any(frame.image.is_corrupt for frame in frames)
    assert len(frames) < source.status().frames


class WatchedSource:
    """A camera whose every frame's time stamp is kept."""

    def __init__(self, name: str, url: str) -> None:
        self.stamps: list[int] = []
        self.source = CameraSource(
            name, parse_source(url), self._keep, ClipRecorder(1), timeout=15, backoff=QUICK_BACKOFF
        )
        self.source.start()

    def _keep(self, frame: Frame) -> None:
        if frame.image.pts is not None:  # the first frame of a connection has none
            self.stamps.append(frame.image.pts)


def test_three_of_six_fail_and_the_others_lose_no_frame(server: rtsp.RtspServer, add: Add) -> None:
    require(rtsp.available(), "GStreamer's RTSP server")
    with rtsp.RtspServer({"cam": rtsp.Live()}) as weak, Proxy(server.port) as network, socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        good = [WatchedSource(f"good{index}", server.url("cam")) for index in range(3)]
        dies = add(weak.url("cam"), "dies")
        spoilt = add(server.url("cam").replace(str(server.port), str(network.port)), "spoilt", timeout=10)
        silent = add(f"rtsp://127.0.0.1:{hole.getsockname()[1]}/cam", "silent", timeout=2)
        for probe in (dies, spoilt):
            until(probe, live)
        for one in good:
            until(lambda one=one: len(one.stamps), lambda count: count > 5)
        starts = [len(one.stamps) for one in good]
        weak.kill()
        network.damaging = True
        until(dies, offline)
        until(silent, lambda status: offline(status) and status.cause == "timeout")
        until(spoilt, lambda status: status.damaged > 0 or status.reconnects > 0 or offline(status))
        weak.start()
        network.damaging = False
        until(dies, live)
        seen = spoilt().frames
        until(spoilt, lambda status: live(status) and status.frames > seen + 10)
        for one, start in zip(good, starts, strict=True):
            until(lambda one=one: len(one.stamps), lambda count, start=start: count > start + 20)
            one.source.stop()
            assert (one.source.status().damaged, one.source.status().connection.connections) == (0, 1)
            steps = {after - before for before, after in pairwise(one.stamps)}
            assert max(steps) < 1.5 * TICKS
            assert min(steps) > 0


def test_a_stop_does_not_wait_for_a_camera_that_hangs(
    server: rtsp.RtspServer, add: Add, manager: MultiCameraManager
) -> None:
    probe = add(server.url("cam"), timeout=60)
    until(probe, live)
    server.freeze()
    camera = manager.get("a")
    began = time.monotonic()
    manager.remove("a")
    assert time.monotonic() - began < 30  # not the camera's 60 s
    assert manager.statuses() == []
    server.thaw()
    until(lambda: camera.ended, bool)
