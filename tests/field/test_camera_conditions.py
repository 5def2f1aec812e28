"""Two conditions under one word: no key frame yet is "no frame", sound or a codec without a decoder a "broken stream".

Applies to everything that comes from a camera or file and cannot be shown yet, or not at all.
"""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import av
import pytest
from av.packet import Packet

from core.api_schema import CameraRequest, CameraState, CameraStatus
from core.inference.cameras.manager import MultiCameraManager
from tests.inference.conftest import Add, RecordingObserver, running_manager
from tests.support import require, rtsp, until
from tests.support.clock_camera import ClockCamera, ident, mpeg_ts
from tests.support.streams import try_connection

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
        assert until(probe, lambda status: status.frames > 3).reconnects == 0


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
        status = until(add(camera.url("cam"), timeout=1), lambda status: status.frames > 0 and bool(status.cause))
    assert (status.cause, status.reason) == ("timeout", "no frame within 1 s")


def test_a_codec_without_a_decoder_is_named(tmp_path: Path, manager: MultiCameraManager) -> None:
    clip = encode(tmp_path / "clip.mp4", *GROUPS["closed"], seconds=1)
    clip.write_bytes(clip.read_bytes().replace(b"avc1", b"evc1").replace(b"avcC", b"evcC"))
    result = manager.test(CameraRequest(id="x", source=str(clip)))
    assert (result.cause, result.reason) == ("codec", "there is no decoder for its video codec")


def test_a_file_that_is_none_or_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "sound.ts").write_bytes(sound(tmp_path))
    assert try_connection(str(tmp_path / "empty.mp4")).reason == "the file is empty"
    assert try_connection(str(tmp_path / "sound.ts")).reason == "the file contains only sound"
    assert try_connection(str(tmp_path / "none.mp4")).reason == "there is no such file"
    assert try_connection(str(tmp_path / "notes.mp4")).reason == "the file contains no video that can be decoded"
