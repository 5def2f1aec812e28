"""A camera's own clock is wrong: it drifts, jumps, stands still or is invented by the library that reads it.

Applies to everything that measures a camera: whether it is alive, the age of its newest frame, time-outs, when an
anomaly begins and ends, the rate that a connection test tells, and how fast a file is played.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import av
import pytest
from av.packet import Packet
from av.video.frame import VideoFrame

from core.api_schema import CameraRequest, CameraState, ConnectionTest
from core.cli.cameras import format_connection_test as connection_test_words
from core.inference.cameras.decoder import LONGEST_GAP, Pacer
from core.inference.cameras.frames import ClockRate
from core.inference.cameras.manager import MultiCameraManager
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.pool import ModelPool, ModelSpec
from core.inference.models.motion_detector import MotionDetector
from tests.inference.conftest import QUICK_BACKOFF, UTC, RecordingObserver
from tests.model_pool.fakes import FakeCostStore
from tests.support import require, rtsp, until
from tests.support.clock_camera import TICKS, ClockCamera, Stamp, bare_h264, ident, mjpeg, mpeg_ts

pytestmark = pytest.mark.camera

FPS = 10
TIMEOUT = 3.0
ENOUGH = 75  # frames: more seconds than any of these clocks may be wrong by until it were taken for a silence
WRAP = 2**33 / TICKS - 10  # MPEG-TS counts 33 bits

# name: (what is sent, the stamp of each frame, how fast the status says the clock runs; None: that is not told)
CLOCKS: dict[str, tuple[str, Stamp, float | None]] = {
    "right": ("ts", lambda n: n / FPS, 1.0),
    "at 21/25": ("ts", lambda n: n / FPS * 21 / 25, 0.84),
    "at 0.9": ("ts", lambda n: n / FPS * 0.9, 0.9),
    "at a tenth": ("ts", lambda n: n / FPS * 0.1, 0.1),
    "twice as fast": ("ts", lambda n: n / FPS * 2, 2.0),
    "stands still": ("ts", lambda n: 1.0, 0.0),
    "set back once": ("ts", lambda n: n / FPS - (5 if n >= 20 else 0), None),
    "set forward once": ("ts", lambda n: n / FPS + (8 if n >= 20 else 0), None),
    "set forward and back": ("ts", lambda n: n / FPS + (8 if 20 <= n < 40 else 0), None),
    "wraps": ("ts", lambda n: WRAP - 1 + n / FPS, None),
    "mjpeg, 25 a second invented": ("mjpeg", lambda n: n / FPS, None),
    "no stamps at all": ("h264", lambda n: n / FPS, None),
}
SENDERS = {"ts": mpeg_ts, "mjpeg": mjpeg, "h264": bare_h264}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two seconds as H.264 and as JPEG pictures."""
    require(rtsp.has_ffmpeg(), "ffmpeg")
    folder = tmp_path_factory.mktemp("clip")
    h264 = rtsp.make_clip(folder / "clip.mp4", seconds=2, size="320x180", fps=FPS)
    jpeg = folder / "clip.avi"
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(h264), "-c:v", "mjpeg", str(jpeg)], check=True)
    return {"ts": h264, "h264": h264, "mjpeg": jpeg}


@pytest.fixture(scope="module")
def site(
    clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[MultiCameraManager, RecordingObserver, ClockCamera]]:
    """All these cameras at once, watched for long enough; each frame of them is an anomaly."""
    streams = {ident(name): partial(SENDERS[kind], clips[kind], stamp) for name, (kind, stamp, _) in CLOCKS.items()}
    witness = RecordingObserver(tmp_path_factory.mktemp("media"))
    with (
        ClockCamera(streams, 1 / FPS) as server,
        closing(ModelPool(DeviceBudget(HostMemory(0), 0), costs=FakeCostStore())) as pool,
    ):
        spec = ModelSpec(MotionDetector, 0)
        manager = MultiCameraManager(
            witness, lambda _: pool.lease("motion", spec), time_zone=UTC, backoff=QUICK_BACKOFF, cores=64
        )
        manager.start()
        for name in streams:
            detection = {"threshold": 0.0, "minimum_seconds": 0.0, "cooldown": 0.0}
            settings = {"id": name, "source": server.url(name), "timeout": TIMEOUT, "detection": detection}
            manager.add(CameraRequest.model_validate(settings))
        until(manager.statuses, lambda statuses: all(status.frames >= ENOUGH for status in statuses))
        yield manager, witness, server
        until(manager.stop, lambda hanging: hanging == [])


@pytest.mark.parametrize("name", CLOCKS)
def test_a_camera_whose_frames_arrive_is_alive(
    name: str, site: tuple[MultiCameraManager, RecordingObserver, ClockCamera]
) -> None:
    manager, witness, server = site
    status = manager.get(ident(name)).status()
    assert (status.state, status.reason, status.reconnects) == (CameraState.LIVE, "", 0)
    assert server.callers[ident(name)] == 1
    assert status.last_frame_age is not None
    assert status.last_frame_age < TIMEOUT
    (event,) = (decision.event for decision in witness.decisions if decision.camera.id == ident(name))
    assert event not in witness.ends
    assert ident(name) not in [camera for camera, _, _ in witness.alerts]


@pytest.mark.parametrize("name", [name for name, row in CLOCKS.items() if row[2] is not None])
def test_a_clock_that_runs_wrong_is_information(
    name: str, site: tuple[MultiCameraManager, RecordingObserver, ClockCamera]
) -> None:
    probe = site[0].get(ident(name)).status
    rate = CLOCKS[name][2]
    until(probe, lambda status: status.clock_rate == pytest.approx(rate, rel=0.05))


@pytest.mark.parametrize("name", ["mjpeg, 25 a second invented", "no stamps at all"])
def test_what_has_no_clock_has_no_rate_of_one(
    name: str, site: tuple[MultiCameraManager, RecordingObserver, ClockCamera]
) -> None:
    assert site[0].get(ident(name)).status().clock_rate is None


@pytest.mark.parametrize("name", ["at a tenth", "stands still", "mjpeg, 25 a second invented"])
def test_a_connection_test_counts_what_arrives(
    name: str, site: tuple[MultiCameraManager, RecordingObserver, ClockCamera]
) -> None:
    manager, _, server = site
    result = manager.test(CameraRequest(id="x", source=server.url(ident(name))))
    assert result.ok
    assert result.fps < 2 * FPS


def test_a_rate_that_was_not_measured_is_not_told_as_none() -> None:
    result = ConnectionTest(ok=True, width=320, height=180, codec="h264", seconds=0.2)
    assert "its rate could not be measured" in connection_test_words(result)
    assert "10.0 frames per second" in connection_test_words(result.model_copy(update={"fps": 10}))


@pytest.mark.media
def test_a_file_is_not_lost_while_it_waits_for_its_own_next_frame(
    tmp_path: Path, site: tuple[MultiCameraManager, RecordingObserver, ClockCamera]
) -> None:
    film = tmp_path / "slow.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=2/3:duration=9", "-pix_fmt", "yuv420p", "-g", "3"]
    subprocess.run(["ffmpeg", "-v", "error", *picture, "-c:v", "libx264", str(film)], check=True)
    manager = site[0]
    manager.add(CameraRequest(id="slow", source=str(film), timeout=1))
    status = until(manager.get("slow").status, lambda status: status.frames >= 4 or status.reason)
    manager.remove("slow")
    assert (status.reason, status.reconnects) == ("", 0)


# name: the stamps of a file's frames, in seconds, at 10 frames a second
FILES: dict[str, list[float | None]] = {
    "right": [n / FPS for n in range(20)],
    "all equal": [1.0] * 20,
    "none": [None] * 20,
    "a microsecond apart": [n * 1e-6 for n in range(20)],
    "set forward by an hour": [n / FPS + (3600 if n >= 10 else 0) for n in range(20)],
    "set back by an hour": [3600 + n / FPS - (3600 if n >= 10 else 0) for n in range(20)],
    "set back at every frame": [100 - n / FPS for n in range(20)],
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_neither_hangs_nor_rushes(name: str) -> None:
    waits: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            return False

    pacer = Pacer(Stop(), Fraction(FPS))
    began = time.monotonic()
    for stamp in FILES[name]:
        frame = VideoFrame(16, 16, "gray")
        frame.time_base = Fraction(1, 1_000_000)
        frame.pts = None if stamp is None else round(stamp * 1e6)
        assert pacer.wait(frame)
    late = time.monotonic() - began
    expected = 19 * (1 / FPS)  # nobody waited: each wait is the time until a frame is due, from the first one on
    assert waits[-1] == pytest.approx(expected, abs=0.01 + late)
    assert max(waits[n + 1] - waits[n] for n in range(19)) < LONGEST_GAP


def test_a_clock_that_was_set_is_measured_from_there() -> None:
    clock = ClockRate()
    stamps = chain((n / FPS for n in range(100)), (900 + n / FPS * 0.5 for n in range(100)))
    for number, stamp in enumerate(stamps):
        clock.mark(stamp, 1000 + number / FPS)
    assert clock.value() == pytest.approx(0.5)
    silent = ClockRate()
    for number, stamp in enumerate(repeat(None, 100)):
        silent.mark(stamp, 1000 + number / FPS)
    assert silent.value() is None


@pytest.fixture
def broken_file(clips: dict[str, Path], tmp_path: Path) -> Path:
    """A file that says of itself that its frames are a microsecond apart."""
    path = tmp_path / "broken.mkv"
    with av.open(str(clips["h264"])) as source, av.open(str(path), "w") as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.size:
                copy = Packet(bytes(packet))
                copy.stream, copy.is_keyframe = stream, packet.is_keyframe
                copy.time_base, copy.pts, copy.dts = Fraction(1, 1000), number // 10, number // 10
                sink.mux(copy)
    return path


def test_a_file_with_wrong_stamps_is_played_at_a_pace(
    broken_file: Path, site: tuple[MultiCameraManager, RecordingObserver, ClockCamera]
) -> None:
    manager = site[0]
    manager.add(CameraRequest(id="file", source=str(broken_file)))
    probe = manager.get("file").status
    status = until(probe, lambda status: status.frames > 50)
    assert status.state is CameraState.LIVE
    assert status.fps < 60  # decoding as fast as this machine can would give hundreds
    manager.remove("file")
