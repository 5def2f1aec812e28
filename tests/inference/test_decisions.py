"""From scores to events: hysteresis, zones, schedules, and a real camera whose event is told once, with a clip."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from core.api_schema import CameraRequest, CameraState, Detection
from core.inference.cameras.frames import Frame
from core.inference.cameras.hysteresis import AnomalyTrigger, Transition
from core.inference.cameras.manager import MultiCameraManager
from core.inference.cameras.pipeline import SampledFrame
from core.inference.cameras.regions import RegionMask, polygon_area
from core.inference.models.motion_detector import MotionDetector
from tests.inference.conftest import Add, RecordingObserver
from tests.support import rtsp, until

STEP = 0.25  # seconds between two scores


def transitions(judge: AnomalyTrigger, scores: list[float], detection: Detection, start: float = 0.0) -> list[str]:
    """What each score led to, in one letter."""
    letters = {
        Transition.QUIET: ".",
        Transition.RISING: "r",
        Transition.STARTED: "B",
        Transition.ONGOING: "-",
        Transition.ENDED: "E",
    }
    return [letters[judge.feed(score, start + index * STEP, detection)] for index, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.1, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6], ".rrrB--"),  # long enough
        ([0.6, 0.6, 0.1, 0.6, 0.6, 0.6, 0.6], "rr.rrrB"),  # a spike is none
        ([0.6] * 4 + [0.45] * 5, "rrrB-----"),  # above the release it goes on
        ([0.6] * 4 + [0.1, 0.1, 0.45, 0.1, 0.1, 0.1, 0.1], "rrrB------E"),  # and must stay below it
        ([0.6] * 4 + [0.1] * 4 + [0.9] * 5, "rrrB---E....r"),  # then it rests for a second
    ],
)
def test_an_anomaly_begins_lasts_and_ends(scores: list[float], expected: str) -> None:
    detection = Detection(threshold=0.5, minimum_seconds=0.75, cooldown=1.25)
    assert "".join(transitions(AnomalyTrigger(), scores, detection)) == expected


def test_the_settings_of_now_decide() -> None:
    judge = AnomalyTrigger()
    loose = Detection(threshold=0.3, release=0.05, minimum_seconds=0, cooldown=0)
    assert "".join(transitions(judge, [0.4, 0.1, 0.1], loose)) == "B--"
    strict = Detection(threshold=0.3, release=0.3, minimum_seconds=0, cooldown=0)
    assert "".join(transitions(judge, [0.1, 0.4], strict, start=1)) == "EB"
    assert judge.end(2, strict)
    assert not judge.end(2, strict)


SQUARE = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5))
HOOK = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0), (0.5, 0.5), (0.0, 0.5))


def test_polygons_on_a_grid() -> None:
    square = polygon_area(SQUARE, 16, 8)
    assert square[:4, :8].all()
    assert square.sum() == 32
    hook = polygon_area(HOOK, 16, 8)
    assert hook.sum() == 96
    assert not hook[4:, :8].any()


def frame(grey: np.ndarray) -> Frame:
    """A frame of 320 x 180 from a small grey picture."""
    large = np.kron(grey, np.ones((2, 2), dtype=np.uint8))
    return Frame(VideoFrame.from_ndarray(large, format="gray").reformat(format="yuv420p"), 1.0, 1)


def test_what_lies_outside_the_zones_or_in_a_mask_does_not_count() -> None:
    zone = {"name": "gate", "polygon": SQUARE}
    request = CameraRequest(id="a", source="/x", zones=[zone], masks=[((0.0, 0.0), (0.25, 0.0), (0.25, 1), (0, 1))])
    scene = RegionMask(request)
    sample = scene.sample(frame(np.full((90, 160), 200, dtype=np.uint8)), 160, 90, "gray")
    assert sample.area is not None
    assert sample.area[:45, 40:80].all()
    assert sample.area.sum() == 45 * 40
    assert (sample.picture[sample.area] > 150).all()
    assert not sample.picture[~sample.area].any()
    colours = scene.sample(frame(np.full((90, 160), 200, dtype=np.uint8)), 32, 18, "rgb24")
    assert colours.picture.shape == (18, 32, 3)
    assert not colours.picture[9:].any()


def test_motion_in_a_zone_counts_and_light_or_motion_elsewhere_does_not() -> None:
    scene = RegionMask(CameraRequest(id="a", source="/x", zones=[{"name": "gate", "polygon": SQUARE}]))
    detector = MotionDetector()
    still = np.random.default_rng(1).integers(60, 120, (90, 160)).astype(np.uint8)

    def score(picture: np.ndarray) -> float:
        detector.forget("a")
        detector.score([scene.sample(frame(still), 160, 90, "gray")])
        return detector.score([scene.sample(frame(picture), 160, 90, "gray")])[0]

    within, without = still.copy(), still.copy()
    within[10:40, 20:40] = 250
    without[60:85, 100:140] = 250
    assert score(within) > 0.4
    assert score(without) == 0
    assert score(still + np.uint8(60)) < 0.01


def test_an_event_names_the_zone_where_it_happens() -> None:
    right = ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))
    zones = [{"name": "left", "polygon": SQUARE}, {"name": "right", "polygon": right}]
    difference = np.zeros((90, 160), dtype=np.float32)
    difference[:, 120:] = 50
    assert RegionMask(CameraRequest(id="a", source="/x", zones=zones)).zone_of(difference) == "right"
    assert RegionMask(CameraRequest(id="a", source="/x", zones=zones[:1])).zone_of(difference) == "left"
    assert RegionMask(CameraRequest(id="a", source="/x")).zone_of(difference) == ""


# -- with a real camera ----------------------------------------------------------------------------------------------

SENSITIVE = {"threshold": 0.05, "minimum_seconds": 0.4, "cooldown": 0}
BLIND = {"threshold": 1, "minimum_seconds": 0.4, "cooldown": 0}


@pytest.mark.camera
def test_an_event_from_camera_to_clip(
    server: rtsp.RtspServer, add: Add, manager: MultiCameraManager, witness: RecordingObserver
) -> None:
    probe = add(server.url("cam"), pre_roll=1, post_roll=1, detection=BLIND)
    quiet = until(probe, lambda status: status.frames > 40)  # the ring is full
    assert witness.decisions == []
    request = manager.get("a").request
    loud = request.model_copy(update={"detection": Detection.model_validate(SENSITIVE), "name": "Gate 1"})
    manager.update(loud)
    status = until(probe, lambda status: bool(status.anomaly))
    (decision,) = witness.decisions
    assert status.anomaly == decision.event
    assert (status.name, status.threshold, status.reconnects) == ("Gate 1", 0.05, 0)
    assert (decision.camera, decision.detector, decision.type) == (loud, "motion", "motion")
    assert decision.score >= 0.05
    assert timedelta(seconds=0.4) <= decision.decided - decision.started < timedelta(seconds=5)
    assert decision.picture.startswith(b"\xff\xd8")

    manager.update(request)
    until(lambda: witness.ends, lambda ends: decision.event in ends)
    until(lambda: witness.clips, lambda clips: decision.event in clips)
    ended, peak, _ = witness.ends[decision.event]
    assert ended > decision.decided
    assert peak >= decision.score
    seconds, size, why = witness.clips[decision.event]
    path = witness.clip_path(decision.event)
    assert (why, size) == ("", path.stat().st_size)
    with av.open(str(path)) as clip:
        frames = list(clip.decode(video=0))
    # From a key frame at or before the pre-roll to the post-roll: what lasted at least 0.8 s takes at least 2.8 s.
    assert len(frames) == pytest.approx(seconds * 10, abs=2)
    assert seconds >= 2.6
    status = until(probe, lambda status: status.frames > quiet.frames + 30)
    assert (status.anomaly, status.reconnects, len(witness.decisions)) == ("", 0, 1)
    assert status.latency is not None
    assert status.latency_p99 is not None
    assert status.latency_p99 >= status.latency
    assert status.decode_ms


@pytest.mark.camera
def test_a_camera_that_dies_ends_its_event_and_its_clip(
    server: rtsp.RtspServer, add: Add, witness: RecordingObserver
) -> None:
    probe = add(server.url("cam"), detection=SENSITIVE)
    event = until(probe, lambda status: bool(status.anomaly)).anomaly
    server.kill()
    until(lambda: witness.ends, lambda ends: event in ends)
    seconds, _, why = until(lambda: witness.clips, lambda clips: event in clips)[event]
    assert why == ""
    assert seconds > 0.5
    assert witness.ends[event][0] <= datetime.now(timezone.utc)
    assert probe().anomaly == ""


@pytest.mark.camera
def test_a_recording_survives_another_picture_size(
    server: rtsp.RtspServer, add: Add, manager: MultiCameraManager, witness: RecordingObserver
) -> None:
    probe = add(server.url("cam"), detection=SENSITIVE)
    event = until(probe, lambda status: bool(status.anomaly)).anomaly
    server.resize("cam", 320, 240)
    until(lambda: witness.clips, lambda clips: event in clips)
    assert witness.clips[event][2] == ""
    with av.open(str(witness.clip_path(event))) as clip:
        assert {one.width for one in clip.decode(video=0)} == {640}
    manager.stop_camera("a")
    assert event in witness.ends


@pytest.fixture
def closed_now() -> list[dict[str, object]]:
    """A schedule that is closed today."""
    return [{"days": [(datetime.now(timezone.utc).weekday() + 3) % 7]}]


@pytest.mark.camera
def test_outside_its_schedule_a_camera_is_live_and_not_scored(
    server: rtsp.RtspServer, add: Add, manager: MultiCameraManager, closed_now: list[dict[str, object]]
) -> None:
    probe = add(server.url("cam"), schedule=closed_now)
    status = until(probe, lambda status: status.frames > 20)
    assert (status.scheduled, status.scores, status.score) == (False, [], None)
    assert manager.get("a").snapshot()[0].startswith(b"\xff\xd8")
    manager.update(manager.get("a").request.model_copy(update={"schedule": ()}))
    until(probe, lambda status: status.scheduled and len(status.scores) > 3)


@pytest.mark.camera
def test_one_camera_changes_and_no_other_notices(
    server: rtsp.RtspServer, add: Add, manager: MultiCameraManager
) -> None:
    other, probe = add(server.url("cam"), "other"), add(server.url("cam"), "a", fps=1)
    until(other, lambda status: status.frames > 10)
    until(probe, lambda status: status.frames > 10)
    request = manager.get("a").request
    manager.update(request.model_copy(update={"fps": 10.0}))
    until(probe, lambda one: one.processed_fps > 4)
    assert probe().reconnects == 0
    manager.update(request.model_copy(update={"source": "rtsp://127.0.0.1:9/gone"}))
    until(probe, lambda status: status.cause == "refused")
    manager.update(request.model_copy(update={"enabled": False}))
    assert probe().state is CameraState.STOPPED
    manager.update(request)
    until(probe, lambda status: status.state is CameraState.LIVE)
    assert (other().reconnects, other().state) == (0, CameraState.LIVE)


@pytest.mark.camera
def test_a_tap_sees_what_a_detector_would(server: rtsp.RtspServer, add: Add, manager: MultiCameraManager) -> None:
    add(server.url("cam"), zones=[{"name": "gate", "polygon": SQUARE}])
    sampled: list[SampledFrame] = []
    close = manager.add_frame_listener("a", sampled.append)
    until(lambda: len(sampled), lambda count: count > 3)
    close()
    sample = sampled[-1].sample(64, 64, "rgb24")
    assert sample.picture.shape == (64, 64, 3)
    assert not sample.picture[32:].any()
    count = len(sampled)
    frames = manager.get("a").status().frames
    until(lambda: manager.get("a").status().frames, lambda now: now > frames + 10)
    assert len(sampled) <= count + 1
