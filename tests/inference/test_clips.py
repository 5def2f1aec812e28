"""Clips: copied packets that play, whatever happened to their writer, the camera or the disk."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from itertools import pairwise
from pathlib import Path

import av
import pytest

from core.inference.cameras.packet_ring import PacketRing
from core.inference.cameras.recorder import ClipRecorder
from core.inference.events.clip_timestamps import TimedPacket, VideoPacket
from core.inference.events.clips import ClipWriter, Footage
from tests.support import require, rtsp, until
from tests.support.clock_camera import packets_of
from tests.support.disks import read_only, small_disk
from tests.support.service import ROOT

pytestmark = pytest.mark.camera

RATE = 10


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Footage, list[VideoPacket]]:
    """The packets of four seconds: four groups of ten."""
    require(rtsp.has_ffmpeg(), "ffmpeg")
    return packets_of(rtsp.make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=4))


def record(path: Path, footage: Footage, packets: list[VideoPacket]) -> tuple[float, int, str]:
    """Write a clip of these packets; returns the arguments of `done`."""
    outcomes: list[tuple[float, int, str]] = []
    clip = ClipWriter(footage, timed(packets))
    clip.start(path, lambda *outcome: outcomes.append(outcome))
    clip.finish()
    assert clip.join(10)
    return outcomes[0]


def timed(packets: list[VideoPacket]) -> list[TimedPacket]:
    """The packets as they come from a camera at `RATE`."""
    return [TimedPacket(packet, index / RATE) for index, packet in enumerate(packets)]


def frames_of(path: Path) -> list[float]:
    """The times of all frames that decode, in seconds."""
    with av.open(str(path)) as container:
        return [frame.time or 0.0 for frame in container.decode(video=0)]


def test_a_disk_that_cannot_be_written_is_told_too(source: tuple[Footage, list[VideoPacket]], tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk, read_only(disk):
        assert record(disk / "clip.mp4", source[0], [])[2]
        assert record(disk / "clip.mp4", *source)[2] == "Read-only file system"


def test_a_clip_is_the_packets_themselves(source: tuple[Footage, list[VideoPacket]], tmp_path: Path) -> None:
    footage, packets = source
    path = tmp_path / "clip.mp4"
    seconds, size, why = record(path, footage, packets)
    assert (seconds, size, why) == (4.0, path.stat().st_size, "")
    copied = packets_of(path)[1]
    assert [bytes(packet) for packet in copied] == [bytes(packet) for packet in packets]
    assert frames_of(path) == pytest.approx([index / RATE for index in range(40)])


def test_a_killed_recording_plays(tmp_path: Path) -> None:
    require(rtsp.available(), "GStreamer's RTSP server")
    code = f"""
import sys, threading
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from core.inference.cameras.manager import MultiCameraManager
from core.inference.models.motion_detector import MotionDetector
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.pool import ModelPool, ModelSpec
from core.api_schema import CameraRequest
from tests.inference.conftest import UTC, RecordingObserver
from tests.model_pool.fakes import FakeCostStore
pool = ModelPool(DeviceBudget(HostMemory(0), 0), costs=FakeCostStore())
spec = ModelSpec(MotionDetector, 0)
manager = MultiCameraManager(RecordingObserver(Path(sys.argv[1])), lambda _: pool.lease("motion", spec), time_zone=UTC)
manager.start()
manager.add(CameraRequest(id="a", source=sys.argv[2], detection={{"threshold": 0, "minimum_seconds": 0}}))
threading.Event().wait()
"""
    with rtsp.RtspServer({"cam": rtsp.Live()}) as server:
        child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), server.url("cam")], cwd=ROOT)
        try:

            def written() -> int:
                assert child.poll() is None
                return sum(file.stat().st_size for file in tmp_path.glob("*.mp4"))

            first = until(written, lambda size: size > 5000)
            until(written, lambda size: size > first + 20000)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
    (clip,) = tmp_path.glob("*.mp4")
    times = frames_of(clip)
    assert len(times) > 10
    assert all(after - before == pytest.approx(1 / RATE, abs=0.05) for before, after in pairwise(times))
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", str(clip)]
    if rtsp.has_ffmpeg():
        assert subprocess.run(probe, capture_output=True, text=True, check=True).stdout.strip() == "h264"


def test_a_full_disk_fails_the_clip_with_a_reason(source: tuple[Footage, list[VideoPacket]]) -> None:
    full = Path("/dev/full")
    require(full.is_char_device(), "/dev/full")
    _, _, why = record(full, *source)
    assert "No space left" in why


def test_a_slow_disk_never_holds_up_the_reader(source: tuple[Footage, list[VideoPacket]], tmp_path: Path) -> None:
    footage, packets = source
    reasons: list[str] = []
    largest = sum(packet.size for packet in packets[:20])
    clip = ClipWriter(footage, [], backlog=largest)
    for packet in timed(packets):  # nobody writes yet: as when the disk hangs
        clip.write(packet)
    clip.start(tmp_path / "clip.mp4", lambda seconds, size, why: reasons.append(why))
    assert clip.join(10)
    assert "disk is too slow" in reasons[0]


def test_a_disk_that_hangs_holds_up_nobody_but_its_clip(
    source: tuple[Footage, list[VideoPacket]], tmp_path: Path
) -> None:
    hung = tmp_path / "clip.mp4"
    os.mkfifo(hung)  # opening it for writing waits until somebody reads
    clip = ClipWriter(source[0], timed(source[1]))
    clip.start(hung, lambda *outcome: None)
    clip.finish()
    assert not clip.join(0.2)  # this thread goes on meanwhile
    with open(hung, "rb") as reader:
        assert reader.read()[4:8] == b"ftyp"
        assert clip.join(10)


def test_clips_that_are_closed_are_forgotten_also_of_a_camera_that_flaps(
    source: tuple[Footage, list[VideoPacket]], tmp_path: Path
) -> None:
    footage, packets = source
    recorder = ClipRecorder(60)
    clips: list[weakref.ref[ClipWriter]] = []
    for number in range(5):
        recorder.connected(footage)
        recorder.keep(packets[0], number)
        recording = recorder.begin(number, 60, number)
        assert recording is not None
        recording.clip.start(tmp_path / f"{number}.mp4", lambda *outcome: None)
        recorder.disconnected()
        assert recording.clip.join(10)
        clips.append(weakref.ref(recording.clip))
        del recording
    gc.collect()
    assert [clip() for clip in clips[:-1]] == [None] * 4


def test_what_mp4_cannot_hold_is_told(tmp_path: Path) -> None:
    require(rtsp.has_ffmpeg(), "ffmpeg")
    raw = tmp_path / "raw.avi"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=1"]
    subprocess.run([*command, "-c:v", "rawvideo", str(raw)], check=True)
    seconds, _, why = record(tmp_path / "clip.mp4", *packets_of(raw))
    assert seconds == 0
    assert "cannot hold rawvideo" in why
    assert not (tmp_path / "clip.mp4").exists()


def test_the_ring_holds_whole_groups_for_so_long(source: tuple[Footage, list[VideoPacket]]) -> None:
    packets = timed(source[1])
    ring = PacketRing(1.5)
    for index, packet in enumerate(packets[3:], start=3):  # joined in the middle of a group
        ring.append(packet, index / RATE)
        kept_packets = ring.since(0)
        assert not kept_packets or kept_packets[0].packet.is_keyframe
    assert kept_packets == packets[20:]
    assert ring.since(3.2) == packets[30:]
    assert ring.size == sum(one.packet.size for one in packets[20:])


def test_the_ring_is_bounded_in_bytes_even_by_one_endless_group(source: tuple[Footage, list[VideoPacket]]) -> None:
    packets = timed(source[1])
    largest = sum(one.packet.size for one in packets[:15])
    ring = PacketRing(60, largest)
    for index, packet in enumerate(packets):
        ring.append(packet, index / RATE)
        assert ring.size <= largest
    endless = PacketRing(60, largest)
    for index in range(40):
        endless.append(packets[0] if index == 0 else packets[index % 9 + 1], index / RATE)
    assert endless.since(0) == []


def test_a_clip_begun_in_mid_stream_has_every_packet_once(
    source: tuple[Footage, list[VideoPacket]], tmp_path: Path
) -> None:
    footage, packets = source
    recorder = ClipRecorder(60)
    recorder.connected(footage)
    done = threading.Event()
    for index, packet in enumerate(packets):
        recorder.keep(packet, index / RATE)
        if index == 25:  # between a packet's arrival and its decoding
            recording = recorder.begin(1.25, 2.0, 1.5)
            assert recording is not None
            recording.clip.start(tmp_path / "clip.mp4", lambda *outcome: done.set())
        recorder.decoded(index / RATE, (640, 360))
    assert done.wait(10)
    copied = packets_of(tmp_path / "clip.mp4")[1]
    assert [bytes(packet) for packet in copied] == [bytes(packet) for packet in packets[10:30]]
    assert recorder.open_clips() == []


def test_another_size_ends_the_clip_and_the_next_has_it(
    source: tuple[Footage, list[VideoPacket]], tmp_path: Path
) -> None:
    require(rtsp.has_ffmpeg(), "ffmpeg")
    small = tmp_path / "small.h264"
    whole = rtsp.make_clip(tmp_path / "small.mp4", seconds=2, size="320x240")
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(whole), "-c", "copy", str(small)], check=True)
    footage, packets = source
    recorder = ClipRecorder(60)
    recorder.connected(footage)
    first = recorder.begin(0, 60, 0)
    assert first is not None
    with av.open(str(small)) as container:
        others = [packet for packet in container.demux(video=0) if packet.size]
    for index, (packet, size) in enumerate(
        [*((one, (640, 360)) for one in packets), *((one, (320, 240)) for one in others)]
    ):
        recorder.keep(packet, index / RATE)
        recorder.decoded(index / RATE, size)
    second = recorder.begin(0, 60, 0)
    assert second is not None
    for name, recording in (("first", first), ("second", second)):
        recording.clip.start(tmp_path / f"{name}.mp4", lambda *outcome: None)
    recorder.disconnected()
    assert all(recording.clip.join(10) for recording in (first, second))
    assert len(frames_of(tmp_path / "first.mp4")) == 40
    with av.open(str(tmp_path / "second.mp4")) as container:
        sizes = {(frame.width, frame.height) for frame in container.decode(video=0)}
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (320, 240)
    assert sizes == {(320, 240)}
    assert len(frames_of(tmp_path / "second.mp4")) == 20
