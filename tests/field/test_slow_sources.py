"""A rule that catches normal input, a loop without a floor: a slow source is hurried, or taken for a broken one.

Applies to files at their end, pictures that are asked for one by one, and every rule over time: paces, time-outs,
rates, tamper detection, the times of clips.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from core.api_schema import AlertKind, CameraRequest, CameraState, CameraStatus, Transport
from core.cli.cameras import format_connection_test as connection_test_words
from core.inference.cameras import decoder, source, web_client
from core.inference.cameras.connecting import connect
from core.inference.cameras.decoder import SHORTEST_PASS, Connection, Pacer
from core.inference.cameras.failures import SourceError
from core.inference.cameras.frames import RateMeter, StallTimeout
from core.inference.cameras.manager import MultiCameraManager
from core.inference.cameras.snapshots import SnapshotConnection
from core.inference.cameras.source_address import parse_source
from core.inference.cameras.tamper_detection import HEIGHT, MIN_PICTURES, WIDTH, TamperDetector, TamperTimes
from core.inference.events.clips import clip_seconds
from tests.inference.conftest import Add, RecordingObserver
from tests.support import rtsp, until
from tests.support.clock_camera import ClockCamera, bare_jpegs
from tests.support.snapshot_camera import SnapshotCamera

pytestmark = pytest.mark.media

H264 = ("-pix_fmt", "yuv420p", "-c:v", "libx264", "-threads", "1")


# -- files ---

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


# -- live ---


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


# -- tamper detection ---

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


# -- snapshot cameras ---


def still(number: int, format: str = "mjpeg") -> bytes:
    """A picture, another one for each number."""
    grey = np.full((180, 320), 60, np.uint8)
    grey[:, number * 20 % 300 : number * 20 % 300 + 20] = 220
    file = io.BytesIO()
    with av.open(file, "w", format="image2pipe") as output:
        stream = output.add_stream(format, 1)
        stream.width, stream.height = 320, 180
        stream.pix_fmt = "yuvj420p" if format == "mjpeg" else "rgb24"
        output.mux(stream.encode(VideoFrame.from_ndarray(grey, format="gray").reformat(format=stream.pix_fmt)))
        output.mux(stream.encode(None))
    return file.getvalue()


def same(picture: bytes) -> bytes:
    return picture


def with_exif(picture: bytes) -> bytes:
    """As cameras and phones write them: the direction of the picture among other notes."""
    note = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0"
    return picture[:2] + b"\xff\xe1" + (len(note) + 2).to_bytes(2, "big") + note + picture[2:]


# name: (the camera's settings, the format of its pictures, what the camera makes of each)
SNAPSHOTS: dict[str, tuple[dict[str, object], str, Callable[[bytes], bytes]]] = {
    "jpeg": ({}, "mjpeg", same),
    "basic": ({"login": ("Basic", "admin", "right")}, "mjpeg", same),
    "digest": ({"login": ("Digest", "admin", "right")}, "mjpeg", same),
    "png": ({"kind": "image/png"}, "png", same),
    "type with a parameter": ({"kind": "Image/JPEG; charset=binary"}, "mjpeg", same),
    "no type": ({"kind": "application/octet-stream"}, "mjpeg", same),
    "declared as text": ({"kind": "text/plain"}, "mjpeg", same),
    "declared as a web page": ({"kind": "text/html; charset=utf-8"}, "mjpeg", same),
    "with exif": ({}, "mjpeg", with_exif),
    "behind an empty line": ({}, "mjpeg", lambda picture: b"\r\n" + picture),
    "with its preview behind it": ({}, "mjpeg", lambda picture: picture + picture),
    "before an empty line": ({}, "mjpeg", lambda picture: picture + b"\r\n"),
    "large": ({}, "mjpeg", lambda picture: picture + bytes(8 << 20)),
    "one that fails": ({"statuses": {4: 503, 6: 404}}, "mjpeg", same),
}


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_pictures_are_asked_for_one_by_one(name: str, add: Add, witness: RecordingObserver) -> None:
    settings, format, transform = SNAPSHOTS[name]
    pictures = [still(number, format) for number in range(16)]
    with SnapshotCamera(lambda number: transform(pictures[number % 16]), **settings) as camera:  # type: ignore[arg-type]
        probe = add(camera.url(), poll_interval=0.1)
        status = until(probe, lambda one: one.frames >= 8)
        assert (status.state, status.cause, status.reason, status.reconnects) == (CameraState.LIVE, "", "", 0)
        assert (status.width, status.height, status.codec, status.damaged) == (320, 180, format, 0)
        assert camera.connections <= 3, "libav looks once, and one connection is kept"
        assert camera.requests - camera.pictures <= 2, "a login is asked for once"
    assert witness.alerts == []


def test_between_two_pictures_a_camera_is_live(add: Add) -> None:
    """However long that is, and however short the time-out."""
    with SnapshotCamera(still) as camera:
        probe = add(camera.url("snapshot.jpg"), poll_interval=3, timeout=1)
        statuses: list[CameraStatus] = []

        def look() -> int:
            statuses.append(probe())
            return statuses[-1].frames

        until(look, lambda frames: frames >= 3)
        live = [status for status in statuses if status.frames]
        assert {status.state for status in live} == {CameraState.LIVE}
        assert statuses[-1].reconnects == 0


def test_a_picture_that_did_not_change_is_shown_again(add: Add, witness: RecordingObserver) -> None:
    picture = still(1)
    for etag in (True, False):
        with SnapshotCamera(lambda _: picture, etag=etag) as camera:
            status = until(add(camera.url(), f"cam-{etag}", poll_interval=0.1), lambda one: one.frames >= 6)
            assert (status.state, status.reconnects) == (CameraState.LIVE, 0)
            assert camera.unchanged >= (3 if etag else 0)
            assert camera.connections <= 3


def test_a_picture_that_is_cut_short_is_not_judged() -> None:
    with SnapshotCamera(lambda number: still(number)[: 1000 if number % 2 else None]) as camera:
        address = parse_source(camera.url())
        connection = connect(address, 30, Transport.TCP, threading.Event(), silence=30, poll_interval=0.1)
        assert isinstance(connection, SnapshotConnection)
        trusted = [connection.is_trusted(connection.decode(packet)[0]) for packet in islice(connection.packets(), 4)]
        connection.close()
    assert (trusted, connection.damaged) == ([True, False] * 2, 2)


def test_jpegs_one_behind_the_other_are_a_stream(tmp_path: Path, add: Add, witness: RecordingObserver) -> None:
    clip = rtsp.encode(tmp_path / "clip.avi", "-c:v", "mjpeg", frames=20, pixels="")
    with ClockCamera({"jpeg": partial(bare_jpegs, clip)}, 0.1) as camera:
        status = until(add(camera.url("jpeg")), lambda one: one.frames > 20)
    assert (status.state, status.reason, status.reconnects, status.damaged) == (CameraState.LIVE, "", 0, 0)
    assert camera.callers["jpeg"] == 2, "the first one looks whether more than one comes"


def test_what_is_larger_than_a_picture_is_said_to_be(
    manager: MultiCameraManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_client, "MAX_ANSWER_BYTES", 1000)
    with SnapshotCamera(still) as camera:
        result = manager.test(CameraRequest(id="x", source=camera.url(), timeout=30))
    assert (result.cause, result.reason) == (
        "codec",
        "the address answers with more than 32 MiB, too large for a picture",
    )


def test_a_picture_leads_to_no_other_address(manager: MultiCameraManager) -> None:
    with SnapshotCamera(still) as other:
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{other.url()}\n#EXT-X-ENDLIST\n".encode()
        with SnapshotCamera(lambda number: still(number) if number < 3 else playlist) as camera:
            connection = connect(
                parse_source(camera.url()), 1, Transport.TCP, threading.Event(), silence=1, poll_interval=0.1
            )
            with pytest.raises(SourceError, match="a picture that cannot be decoded"):
                list(connection.packets())
            connection.close()
        assert other.requests == 0


def test_a_clip_of_pictures_has_the_times_at_which_they_came(add: Add, witness: RecordingObserver) -> None:
    always = {"threshold": 0.0, "minimum_seconds": 0.0, "cooldown": 0.0}
    late = 6

    def picture(number: int) -> bytes:
        if number == late:
            threading.Event().wait(1)  # the camera takes its time
        return still(number)

    with SnapshotCamera(picture) as camera:
        settings = {"detection": always, "longest_clip": 3.0, "pre_roll": 0.0}
        add(camera.url(), poll_interval=0.25, **settings)
        (event,) = until(lambda: list(witness.clips), bool)
    seconds, _, why = witness.clips[event]
    assert why == ""
    assert seconds == pytest.approx(3.0, abs=0.6)
    assert clip_seconds(witness.clip_path(event)) == pytest.approx(seconds, abs=0.05)
    with av.open(str(witness.clip_path(event))) as clip:
        stamps = {number_of(frame): frame.time for frame in clip.decode(video=0)}
    gaps = {number: stamps[number] - stamps[number - 1] for number in stamps if number - 1 in stamps}  # type: ignore[operator]
    assert gaps[late] >= 0.9
    assert gaps[late] == max(gaps.values())
    assert all(gap > 0 for gap in gaps.values())


def number_of(frame: VideoFrame) -> int:
    """The number of the `still` in a frame."""
    return int(frame.to_ndarray(format="gray")[90].argmax()) // 20


def test_a_refused_login_waits_and_an_unanswered_camera_is_lost(add: Add) -> None:
    with SnapshotCamera(still, login=("Digest", "admin", "right")) as camera:
        status = until(add(camera.url(password="wrong"), "login"), lambda one: bool(one.cause))
        assert status.cause == "auth"
        probe = add(camera.url(), "gone", timeout=1, poll_interval=0.1)
        until(probe, lambda one: one.frames > 2)
    status = until(probe, lambda one: one.state is not CameraState.LIVE)
    assert status.cause in ("end", "refused", "timeout")


def test_a_connection_test_says_what_kind_it_is(manager: MultiCameraManager) -> None:
    with SnapshotCamera(still) as camera:
        result = manager.test(CameraRequest(id="x", source=camera.url()))
    assert (result.ok, result.snapshot, result.width, result.height, result.codec) == (True, True, 320, 180, "mjpeg")
    assert connection_test_words(result).startswith("it works: one picture at a time, 320x180 mjpeg")


def test_a_stop_does_not_wait_for_the_next_picture(add: Add, manager: MultiCameraManager) -> None:
    with SnapshotCamera(still) as camera:
        until(add(camera.url(), poll_interval=3600), lambda one: one.frames == 1)
        manager.stop_camera("a")
        assert manager.get("a").ended
