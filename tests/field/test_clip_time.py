"""A clip's time is the camera's: squeezed, stretched, out of order, longer or shorter than what came, or on its side.

Applies to everything that is kept as evidence: the clip's frames and their order, its length and its longest length,
what the event says of it after a kill, and which way up snapshots, zones and detectors see the picture.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import cast

import av
import pytest
from av.packet import Packet

from core.inference.cameras.packet_clock import PacketClock
from core.inference.cameras.recorder import ClipRecorder
from core.inference.events.clip_timestamps import VideoPacket
from core.inference.events.clips import Footage, clip_seconds, footage_of
from tests.inference.conftest import Add, RecordingObserver
from tests.support import require, rtsp, until
from tests.support.clock_camera import TICKS, ClockCamera, mjpeg, packets_of

pytestmark = pytest.mark.media


FPS = 10


FRAME = 1 / FPS


encode = partial(rtsp.encode, seconds=10)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Ten seconds, by what is special about them."""
    folder = tmp_path_factory.mktemp("media")
    kinds = {
        "plain": ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10"),
        "b-frames": ("-c:v", "libx264", "-bf", "2", "-g", "10"),
        "open groups": ("-c:v", "libx264", "-bf", "2", "-g", "10", "-x264-params", "open-gop=1"),
        "h265": ("-c:v", "libx265", "-x265-params", "log-level=error:keyint=10:bframes=3"),
        "long group": ("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "1000"),
    }

    def one(kind: str) -> Path:
        path = folder / f"{kind.replace(' ', '-')}.mp4"
        return path if path.exists() else encode(path, *kinds[kind])

    return one


Stamps = Callable[[int], float | None]


Arrival = Callable[[int], float]


def restamped(packets: list[VideoPacket], stamp: Stamps) -> list[VideoPacket]:
    """The packets as a camera with that clock sends them."""
    out = []
    for number, packet in enumerate(packets):
        copy = cast("VideoPacket", Packet(bytes(packet)))
        copy.is_keyframe, copy.time_base = packet.is_keyframe, Fraction(1, TICKS)
        seconds = stamp(number)
        copy.pts = copy.dts = None if seconds is None else round(seconds * TICKS)
        out.append(copy)
    return out


def steadily(number: int) -> float:
    return 500 + number / FPS


def in_bunches(number: int) -> float:
    """A network that holds packets back for half a second, now and then."""
    return max(steadily(number), 500 + (number // 20) * 2 + (0.5 if number % 20 < 5 else 0))


def after_a_buffer(number: int) -> float:
    """What lay in a buffer comes at once: two seconds."""
    return steadily(max(number, 20))


def record(
    footage: Footage, packets: list[VideoPacket], arrival: Arrival, path: Path, *, first: int = 0, longest: float = 600
) -> tuple[float, list[float]]:
    """Feed a recorder as a camera does, with a clip from packet `first` on; its length, and its frames' times."""
    recorder = ClipRecorder(30)
    recorder.connected(footage)
    outcomes: list[tuple[float, int, str]] = []
    recording = None
    for number, packet in enumerate(packets):
        recorder.keep(packet, arrival(number))
        if number == first:
            recording = recorder.begin(arrival(number), longest, arrival(number))
            assert recording is not None
            recording.clip.start(path, lambda *outcome: outcomes.append(outcome))
        recorder.decoded(arrival(number), None)
    recorder.disconnected()
    assert recording is not None
    assert recording.clip.join(30)
    ((seconds, _, why),) = outcomes
    assert why == ""
    with av.open(str(path)) as container:
        decoding = [packet.dts for packet in container.demux(video=0) if packet.dts is not None]
        assert all(before < after for before, after in pairwise(decoding))
        assert min(decoding) >= 0
    with av.open(str(path)) as container:
        return seconds, [frame.time or 0.0 for frame in container.decode(video=0)]


# name: (the camera's stamps, how its packets arrive); what arrives in ten seconds shall play in ten
CLOCKS: dict[str, tuple[Stamps, Arrival]] = {
    "right": (lambda n: n / FPS, steadily),
    "set back by 5 s once": (lambda n: 100 + n / FPS - (5 if n >= 50 else 0), steadily),
    "set forward by 8 s once": (lambda n: n / FPS + (8 if n >= 50 else 0), steadily),
    "set forward by 1 s once": (lambda n: n / FPS + (1 if n >= 50 else 0), steadily),
    "set forward and back": (lambda n: n / FPS + (86400 if 30 <= n < 60 else 0), steadily),
    "runs backwards": (lambda n: 100 - n / FPS, steadily),
    "set back by half a second after a key frame": (lambda n: 100 + n / FPS - (0.5 if n >= 41 else 0), steadily),
    "set back at every key frame": (lambda n: n % 10 / FPS, steadily),
    "wraps": (lambda n: (2**33 / TICKS - 5 + n / FPS) % (2**33 / TICKS), steadily),
    "all equal": (lambda n: 1.0, steadily),
    "in pairs": (lambda n: n // 2 * 2 / FPS, steadily),
    "none": (lambda n: None, steadily),
    "none at first": (lambda n: None if n < 3 else n / FPS, steadily),
    "25 a second, of 10": (lambda n: n / 25, steadily),
    "at 21/25": (lambda n: n / FPS * 21 / 25, steadily),
    "at 0.9": (lambda n: n / FPS * 0.9, steadily),
    "twice as fast": (lambda n: n / FPS * 2, steadily),
    "five times as fast": (lambda n: n / FPS * 5, steadily),
    "a microsecond apart": (lambda n: n * 1e-5, steadily),
    "right, over a network that bunches": (lambda n: n / FPS, in_bunches),
    "right, two seconds in a buffer": (lambda n: n / FPS, after_a_buffer),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_a_clip_lasts_as_long_as_its_frames_took_to_arrive(
    name: str, media: Callable[[str], Path], tmp_path: Path
) -> None:
    footage, packets = packets_of(media("plain"))
    stamp, arrival = CLOCKS[name]
    seconds, times = record(footage, restamped(packets, stamp), arrival, tmp_path / "clip.mp4")
    gaps = [after - before for before, after in pairwise(times)]
    assert len(times) == 100
    span = pytest.approx(100 * FRAME, abs=2 * FRAME)
    assert seconds == span
    assert times[-1] + FRAME == span
    assert clip_seconds(tmp_path / "clip.mp4") == pytest.approx(seconds, abs=0.02)
    assert min(gaps) > 0.2 * FRAME
    assert max(gaps) < 3 * FRAME


@pytest.mark.parametrize("name", CLOCKS)
def test_a_clip_of_a_camera_that_has_run_for_a_while_is_right_to_the_frame(
    name: str, media: Callable[[str], Path], tmp_path: Path
) -> None:
    footage, packets = packets_of(media("plain"))
    stamp, arrival = CLOCKS[name]
    seconds, times = record(footage, restamped(packets, stamp), arrival, tmp_path / "clip.mp4", first=40)
    assert len(times) == 60
    assert seconds == pytest.approx(60 * FRAME, abs=1.5 * FRAME)
    assert all(0.4 * FRAME < after - before < 2.1 * FRAME for before, after in pairwise(times))


def with_a_stall(number: int) -> float:
    """A network that stands still for three seconds, and then brings all of them at once."""
    return max(steadily(number), 507 if 40 <= number < 70 else 0)


def slower_at_dusk(number: int) -> float:
    """A camera that goes from 10 frames a second to 2."""
    return steadily(number) + max(0, number - 50) * 0.4


def faster_in_motion(number: int) -> float:
    """A camera that goes from 2.5 frames a second to 25."""
    return 500 + (number * 0.4 if number < 50 else 20 + (number - 50) * 0.04)


def in_pairs(number: int) -> float:
    """A network that brings two at a time."""
    return steadily(number // 2 * 2)


# name: (the camera's stamps, whether its format has a clock, how its packets arrive, the longest still in the clip)
CHANGES: dict[str, tuple[Stamps, bool, Arrival, float]] = {
    "at 0.9, with a stall": (lambda n: n / FPS * 0.9, True, with_a_stall, 1),
    "none, with a stall": (lambda n: None, False, with_a_stall, 1),
    "right, slower": (slower_at_dusk, True, slower_at_dusk, 0.6),
    "still at the old rate, slower": (lambda n: n / FPS, True, slower_at_dusk, 0.7),
    "none, slower": (lambda n: None, False, slower_at_dusk, 0.7),
    "right, faster": (faster_in_motion, True, faster_in_motion, 0.45),
    "none, faster": (lambda n: None, False, faster_in_motion, 0.45),
    "in pairs, as they arrive": (lambda n: n // 2 * 2 / FPS, True, in_pairs, 0.3),
    "set forward in a buffer": (lambda n: n / FPS + (8 if n >= 10 else 0), True, after_a_buffer, 0.2),
}


@pytest.mark.parametrize("first", [0, 40])
@pytest.mark.parametrize("name", CHANGES)
def test_a_clip_follows_a_rate_that_changes_and_no_stall(
    name: str, first: int, media: Callable[[str], Path], tmp_path: Path
) -> None:
    footage, packets = packets_of(media("plain"))
    stamp, stamped, arrival, still = CHANGES[name]
    footage = replace(footage, stamped=stamped)
    seconds, times = record(footage, restamped(packets, stamp), arrival, tmp_path / "clip.mp4", first=first)
    filmed = {with_a_stall: steadily, after_a_buffer: steadily, in_pairs: steadily}.get(arrival, arrival)
    gaps = [after - before for before, after in pairwise(times)]
    assert len(times) == 100 - first
    assert seconds == pytest.approx(filmed(99) - filmed(first) + FRAME, abs=0.8)
    assert min(gaps) >= 0.02
    assert max(gaps) < still


def test_a_silence_is_a_still_of_that_length(media: Callable[[str], Path], tmp_path: Path) -> None:
    footage, packets = packets_of(media("plain"))
    for stamp in (lambda n: n / FPS, lambda n: None, lambda n: n / FPS + (4 if n >= 50 else 0)):
        arrival = lambda n: steadily(n) + (4 if n >= 50 else 0)  # noqa: E731
        seconds, _ = record(footage, restamped(packets, stamp), arrival, tmp_path / "clip.mp4")
        assert seconds == pytest.approx(14, abs=0.3)


@pytest.mark.parametrize("longest", [1.0, 2.5, 5.0])
@pytest.mark.parametrize("name", ["right", "all equal", "25 a second, of 10", "set forward by 8 s once"])
def test_the_longest_clip_holds_to_the_frame(
    name: str, longest: float, media: Callable[[str], Path], tmp_path: Path
) -> None:
    footage, packets = packets_of(media("plain"))
    stamp, arrival = CLOCKS[name]
    path = tmp_path / "clip.mp4"
    seconds, _ = record(footage, restamped(packets, stamp), arrival, path, first=40, longest=longest)
    assert seconds == pytest.approx(longest, abs=FRAME * 1.01)


def test_a_long_group_is_added_only_where_the_clip_would_end_before_the_anomaly(
    media: Callable[[str], Path], tmp_path: Path
) -> None:
    footage, packets = packets_of(media("long group"))
    path = tmp_path / "clip.mp4"
    assert record(footage, packets, steadily, path, first=20, longest=5)[0] == pytest.approx(5, abs=FRAME)
    assert record(footage, packets, steadily, path, first=60, longest=2)[0] == pytest.approx(6 + 2, abs=2 * FRAME)


REORDERED = ["b-frames", "open groups", "h265"]


def shown(path: Path) -> list[bytes]:
    """The pictures of a file in the order in which a player shows them."""
    with av.open(str(path)) as container:
        frames = sorted(container.decode(video=0), key=lambda frame: frame.pts or 0)
        return [frame.to_ndarray().tobytes() for frame in frames]


@pytest.mark.parametrize("first", [0, 50])
@pytest.mark.parametrize("rate", ["1", "2/5"])
@pytest.mark.parametrize("kind", REORDERED)
def test_reordered_pictures_stay_in_order(
    kind: str, rate: str, first: int, media: Callable[[str], Path], tmp_path: Path
) -> None:
    footage, packets = packets_of(media(kind))
    for packet in packets:
        assert packet.time_base
        packet.time_base *= Fraction(rate)
    path = tmp_path / "clip.mp4"
    _, times = record(footage, packets, steadily, path, first=first)
    copied, whole = shown(path), shown(media(kind))
    assert copied == whole[-len(copied) :]
    assert len(copied) >= 100 - first - 10
    assert times == sorted(times)
    assert times[0] < 0.5
    assert all(after - before < 2.5 * FRAME for before, after in pairwise(times))


@pytest.mark.camera
def test_reordered_pictures_over_rtsp_have_no_decoding_times_at_first(
    media: Callable[[str], Path], tmp_path: Path
) -> None:
    require(rtsp.available(), "GStreamer's RTSP server")
    server = rtsp.RtspServer({"cam": rtsp.Clip(media("b-frames"))})
    with server, av.open(server.url("cam"), options={"rtsp_transport": "tcp"}) as container:
        stream = container.streams.video[0]
        footage, packets = footage_of(stream), list(islice(container.demux(stream), 25))
    assert packets[1].dts is None
    path = tmp_path / "clip.mp4"
    _, times = record(footage, packets, steadily, path)
    copied = shown(path)[:20]
    assert copied == shown(media("b-frames"))[:20]
    assert all(0.3 * FRAME < after - before < 2.5 * FRAME for before, after in pairwise(times[:20]))


def test_a_files_seam_is_neither_a_gap_nor_a_knot(media: Callable[[str], Path], tmp_path: Path) -> None:
    footage, packets = packets_of(media("b-frames"))
    _, times = record(footage, packets + packets_of(media("b-frames"))[1], steadily, tmp_path / "clip.mp4")
    assert len(times) == 200
    assert all(0.4 * FRAME < after - before < 1.6 * FRAME for before, after in pairwise(times))


def test_h265_has_the_tag_that_every_player_knows(media: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    record(*packets_of(media("h265")), steadily, path)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


def test_mjpeg_plays_at_the_speed_at_which_it_came(
    media: Callable[[str], Path], tmp_path: Path, add: Add, witness: RecordingObserver
) -> None:
    jpeg = tmp_path / "clip.avi"
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(media("plain")), "-c:v", "mjpeg", str(jpeg)], check=True)
    with ClockCamera({"mjpeg": lambda: mjpeg(jpeg, float)}, FRAME) as server:
        add(server.url("mjpeg"), detection={"threshold": 0.0, "minimum_seconds": 0.0}, longest_clip=3)
        ((event, (seconds, _, why)),) = until(lambda: list(witness.clips.items()))
    assert why == ""
    with av.open(str(witness.clip_path(event))) as container:
        frames = sum(1 for _ in container.decode(video=0))
    assert seconds == pytest.approx(3, abs=0.15)
    assert frames * FRAME < 3 + 3 * FRAME  # fewer under load, never squeezed


@pytest.mark.parametrize("damage", ["whole", "cut in the middle", "its head alone", "empty", "missing"])
def test_the_length_of_a_clip_that_was_cut_off_is_measured(
    damage: str, media: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    seconds, _ = record(*packets_of(media("plain")), steadily, path)
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        cut = {
            "whole": len(data),
            "cut in the middle": len(data) // 2,
            "its head alone": data.index(b"moof") - 4,
            "empty": 0,
        }
        path.write_bytes(data[: cut[damage]])
    expected = {"whole": seconds, "cut in the middle": pytest.approx(seconds / 2, abs=1)}
    assert clip_seconds(path) == expected.get(damage, 0)


def test_the_clock_only_grows() -> None:
    clock = PacketClock(0.1, stamped=True)
    times = [clock.at(stamp, arrived) for stamp, arrived in [(0, 0), (5, 0.1), (-5, 0.1), (None, 0.1), (0, 9), (0, 9)]]
    assert all(before < after for before, after in pairwise(times))
