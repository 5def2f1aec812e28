"""A rule that catches normal input, a loop without a floor: a slow source is hurried, or taken for a broken one.

Applies to files at their end, pictures that are asked for one by one, and every rule over time: paces, time-outs,
rates, tamper detection, the times of clips.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame

from core.api_schema import AlertKind, CameraRequest, CameraState
from core.inference.cameras import decoder, source
from core.inference.cameras.connecting import connect
from core.inference.cameras.decoder import SHORTEST_PASS, Connection, Pacer
from core.inference.cameras.frames import RateMeter, StallTimeout
from core.inference.cameras.manager import MultiCameraManager
from core.inference.cameras.source_address import parse_source
from core.inference.cameras.tamper_detection import HEIGHT, MIN_PICTURES, WIDTH, TamperDetector, TamperTimes
from tests.inference.conftest import RecordingObserver
from tests.support import rtsp, until

pytestmark = pytest.mark.media


H264 = ("-pix_fmt", "yuv420p", "-c:v", "libx264", "-threads", "1")


# name: (the file's ending, its rate, what else ffmpeg is told, seconds from one picture to the next as it is played)
LAPSES: dict[str, tuple[str, str, tuple[str, ...], float]] = {
    "a picture in 5 s": ("mp4", "1/5", H264, 5),
    "a picture in 5 s, with b-frames": ("mp4", "1/5", (*H264, "-bf", "2"), 5),
    "a picture in 5 s, Matroska": ("mkv", "1/5", H264, 5),
    "a picture in 5 s, AVI": ("avi", "1/5", ("-c:v", "mjpeg"), 5),
    "a picture in 5 s, its encoder says 25 a second": (
        "mp4", "25", (*H264, "-vf", "setpts=N*5/TB", "-fps_mode", "passthrough"), 5,
    ),
    "a picture in 30 s": ("mp4", "1/30", H264, 30),
    "a picture in a minute": ("mp4", "1/60", H264, 60),
    "a picture in an hour": ("mp4", "1/3600", H264, 60),
    "a picture in 2.5 s": ("mp4", "2/5", H264, 2.5),
    "25 a second": ("mp4", "25", H264, 0.04),
}  # fmt: skip


@pytest.mark.parametrize("name", LAPSES)
def test_a_file_is_played_at_its_own_pace(name: str, tmp_path: Path) -> None:
    ending, rate, options, gap = LAPSES[name]
    film = rtsp.encode(tmp_path / f"film.{ending}", *options, rate=rate, frames=6, pixels="")
    waits: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            waits.append(timeout)
            return False

    connection = Connection(parse_source(str(film)), 5)
    assert connection.pace is not None
    pacer = Pacer(Stop(), connection.pace)
    frames = [image for packet in packets(connection) for image in connection.decode(packet)]
    assert all(pacer.wait(frame) for frame in frames)
    # Nobody waited: each wait is the time until a frame is due, from the first one on.
    assert [after - before for before, after in pairwise(waits)] == pytest.approx([gap] * 5, abs=0.05)
    assert connection.silence > gap
    connection.close()


# name: (the stamps of a file's pictures, when each is played); it has ten pictures a second mostly
MIXED: dict[str, tuple[list[float], list[float]]] = {
    "rare pictures for a while": ([0, 0.1, 0.2, 5.2, 10.2, 15.2, 15.3], [0, 0.1, 0.2, 0.3, 5.3, 10.3, 10.4]),
    "a picture in an hour for a while": ([0, 0.1, 3600, 7200, 10800], [0, 0.1, 0.2, 60.2, 120.2]),
    "rare pictures alone, against its rate": ([0, 5, 10, 15], [0, 0.1, 5.1, 10.1]),
    "one pause": ([0, 0.1, 8.1, 8.2, 8.3], [0, 0.1, 0.2, 0.3, 0.4]),
    "a jump and back": ([0, 0.1, 8.1, 0.2, 0.3], [0, 0.1, 0.2, 0.3, 0.4]),
    "two pauses": ([0, 0.1, 8.1, 8.2, 16.2, 16.3], [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_file_whose_rate_changes_is_played_as_it_was_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stamps, played = MIXED[name]
    now = 0.0

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal now
            now += timeout or 0.0
            return False

    monkeypatch.setattr("core.inference.cameras.decoder.time.monotonic", lambda: now)
    pacer, times = Pacer(Stop(), Fraction(10)), []
    for stamp in stamps:
        frame = VideoFrame(16, 16)
        frame.time_base, frame.pts = Fraction(1, 1000), round(stamp * 1000)
        pacer.wait(frame)
        times.append(now)
    assert times == pytest.approx(played)


def packets(connection: Connection) -> Iterator[decoder.VideoPacket]:
    try:
        yield from connection.packets()
    except source.StreamEnded:
        pass


PICTURES = {  # of a file: how ffmpeg makes it
    "one-frame.mp4": H264,
    "one-frame.mkv": H264,
    "picture.jpg": (),
    "picture.png": (),
    "picture.gif": (),
    "picture.bmp": (),
    "picture.webp": (),
    "picture.tiff": (),
    "three-frames.mp4": H264,
}


def test_a_file_of_a_picture_begins_once_a_second_at_most(
    tmp_path: Path, manager: MultiCameraManager, monkeypatch: pytest.MonkeyPatch, witness: RecordingObserver
) -> None:
    opened: list[str] = []

    def counted(address: source.SourceAddress, *rest: object, **named: object) -> source.AnyConnection:
        opened.append(Path(address.redacted).name)
        return connect(address, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(source, "connect", counted)
    for name, options in PICTURES.items():
        rtsp.encode(tmp_path / name, *options, rate="25", frames=3 if "three" in name else 1, pixels="")
    for name in PICTURES:
        manager.add(CameraRequest(id=name, source=str(tmp_path / name), timeout=30))
    statuses = until(manager.statuses, lambda found: all(status.frames >= 3 for status in found))
    for status in statuses:
        assert (status.state, status.reason, status.reconnects) == (CameraState.LIVE, "", 0)
        passes = status.frames // (3 if "three" in status.id else 1)
        assert opened.count(status.id) <= passes + 2
    assert all(opened.count(name) < 60 / SHORTEST_PASS for name in PICTURES)  # the test's own longest time


def test_how_long_a_silence_is_normal() -> None:
    silence = StallTimeout(5)
    for number in range(100):
        silence.mark(number / 25)
    assert silence.limit == 5
    silence.stalled()
    assert silence.limit == 5, "a camera of 25 frames a second that stalls is lost as soon as before"
    silence.connected()
    silence.mark(0)
    silence.stalled()
    assert silence.limit == 10, "after a single frame nobody knows"
    silence.connected()
    for arrived in (0, 0.01, 0.02):
        silence.mark(arrived)
    silence.stalled()
    assert silence.limit == 20, "nor after those that lay in the buffer"
    silence.connected()
    for arrived in (0, 0.01, 0.02, 8.02):
        silence.mark(arrived)
    assert silence.limit == 24, "and they do not make the rest look quicker than it is"
    silence.connected()
    for number in range(4):
        silence.mark(number * 8.0)
    assert silence.limit == 24
    silence.connected()
    for number in range(4):
        silence.mark(number * 300.0)
    assert silence.limit == 60


@pytest.mark.parametrize("gap", [0.04, 1.0, 5.0, 60.0])
def test_a_rate_is_counted_however_rare_the_frames_are(gap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("core.inference.cameras.frames.time.monotonic", lambda: now)
    rate = RateMeter()
    for _ in range(200):
        now += gap
        rate.tick()
    assert rate.value() == pytest.approx(1 / gap, rel=0.02)
    now += gap * 0.9
    assert rate.value() == pytest.approx(1 / gap, rel=0.02)
    now += max(5.0, 3 * gap)
    assert rate.value() == 0


STILL = np.tile(np.linspace(60, 200, WIDTH).astype(np.uint8), (HEIGHT, 1))


BLACK = np.zeros((HEIGHT, WIDTH), np.uint8)


# name: (seconds from one picture to the next, how many show the same, whether one at a time, raised after how many)
TAMPER = {
    "frozen, 25 a second": (STILL, AlertKind.FROZEN, 1.0, False, 32),
    "frozen, a picture in 5 s": (STILL, AlertKind.FROZEN, 5.0, False, 8),
    "frozen, a picture in a minute": (STILL, AlertKind.FROZEN, 60.0, False, MIN_PICTURES + 1),
    "frozen, asked every second": (STILL, AlertKind.FROZEN, 1.0, True, 302),
    "frozen, asked every minute": (STILL, AlertKind.FROZEN, 60.0, True, 7),
    "frozen, asked every hour": (STILL, AlertKind.FROZEN, 3600.0, True, MIN_PICTURES + 1),
    "black, a picture in a minute": (BLACK, AlertKind.BLACK, 60.0, False, MIN_PICTURES),
    "black, 25 a second": (BLACK, AlertKind.BLACK, 1.0, False, 11),
}


@pytest.mark.parametrize("name", TAMPER)
def test_an_alert_needs_time_and_pictures(name: str) -> None:
    picture, kind, gap, snapshot, raised = TAMPER[name]
    watch = TamperDetector()
    for number in range(1, raised + 1):
        assert kind not in [alert.kind for alert in watch.alerts], number
        watch.feed_picture(picture, number * gap, snapshot=snapshot)
    assert kind in [alert.kind for alert in watch.alerts]


def test_a_camera_that_renews_its_picture_once_a_minute_is_not_frozen() -> None:
    watch = TamperDetector()
    for second in range(700):
        watch.feed_picture(np.roll(STILL, second // 60 * 7, axis=1), float(second), snapshot=True)
        assert AlertKind.FROZEN not in [alert.kind for alert in watch.alerts]


def test_the_zone_of_a_change_is_found_however_rare_the_pictures_are() -> None:
    for gap in (1.0, 60.0):
        watch = TamperDetector(TamperTimes())
        changed = STILL.copy()
        changed[:, :40] = 0
        for number in range(4):
            watch.feed_picture(STILL, number * gap)
        watch.feed_picture(changed, 4 * gap)
        assert watch.difference()[:, :40].mean() > 10 * (watch.difference()[:, 40:].mean() + 0.1)
