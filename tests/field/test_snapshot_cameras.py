"""A camera that is asked for pictures one by one is taken for a broken stream, or its pictures for new ones.

Applies to addresses that answer with a single picture: how often they are asked, what counts as silence, pictures that
did not change or are cut short, and the times in clips.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from core.api_schema import CameraRequest, CameraState, CameraStatus, Transport
from core.cli.cameras import format_connection_test as connection_test_words
from core.inference.cameras import web_client
from core.inference.cameras.connecting import connect
from core.inference.cameras.failures import SourceError
from core.inference.cameras.manager import MultiCameraManager
from core.inference.cameras.snapshots import SnapshotConnection
from core.inference.cameras.source_address import parse_source
from core.inference.events.clips import clip_seconds
from tests.inference.conftest import Add, RecordingObserver
from tests.support import rtsp, until
from tests.support.clock_camera import ClockCamera, bare_jpegs
from tests.support.snapshot_camera import SnapshotCamera

pytestmark = pytest.mark.media


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
        status = until(probe, lambda status: status.frames >= 8)
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
            status = until(add(camera.url(), f"cam-{etag}", poll_interval=0.1), lambda status: status.frames >= 6)
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
        status = until(add(camera.url("jpeg")), lambda status: status.frames > 20)
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
        status = until(add(camera.url(password="wrong"), "login"), lambda status: bool(status.cause))
        assert status.cause == "auth"
        probe = add(camera.url(), "gone", timeout=1, poll_interval=0.1)
        until(probe, lambda status: status.frames > 2)
    status = until(probe, lambda status: status.state is not CameraState.LIVE)
    assert status.cause in ("end", "refused", "timeout")


def test_a_connection_test_says_what_kind_it_is(manager: MultiCameraManager) -> None:
    with SnapshotCamera(still) as camera:
        result = manager.test(CameraRequest(id="x", source=camera.url()))
    assert (result.ok, result.snapshot, result.width, result.height, result.codec) == (True, True, 320, 180, "mjpeg")
    assert connection_test_words(result).startswith("it works: one picture at a time, 320x180 mjpeg")


def test_a_stop_does_not_wait_for_the_next_picture(add: Add, manager: MultiCameraManager) -> None:
    with SnapshotCamera(still) as camera:
        until(add(camera.url(), poll_interval=3600), lambda status: status.frames == 1)
        manager.stop_camera("a")
        assert manager.get("a").ended
