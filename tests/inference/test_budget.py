"""What the service refuses or gives up, with which words: broken models, missing memory, missing cores."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.api_schema import CameraRequest, CameraState, Detection
from core.errors import XaivaError
from core.inference.cameras.admission import NoCores, admit
from core.inference.cameras.camera import LeaseScorer
from core.inference.cameras.manager import MultiCameraManager
from core.inference.cameras.restart_budget import CameraTimes
from core.inference.model_pool.load_errors import NoRoom
from core.inference.model_pool.pool import ModelPool, ModelSpec
from core.inference.models.detector import Sample
from core.inference.models.motion_detector import MotionDetector
from core.inference.models.scorer import Scorer
from tests.inference.conftest import Manage, RecordingObserver
from tests.support import require, rtsp, until


@dataclass
class FlakyDetector(MotionDetector):
    """A detector that fails, hangs or refuses to load when told to."""

    failing: bool = False
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__()
        self.gate.set()

    def score(self, batch: Sequence[Sample]) -> list[float]:
        """As the motion score, when in the mood."""
        self.gate.wait(20)
        if self.failing:
            raise RuntimeError("illegal memory access")
        return super().score(batch)


@dataclass
class HangingObserver(RecordingObserver):
    """Its disk takes no clip until somebody reads it."""

    def clip_path(self, event: str) -> Path:
        path = super().clip_path(event)
        if not path.exists():
            os.mkfifo(path)
        return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A camera that is a file."""
    require(rtsp.has_ffmpeg(), "ffmpeg")
    return rtsp.make_clip(tmp_path / "clip.mp4", seconds=2)


@pytest.fixture
def flaky() -> FlakyDetector:
    """The one detector of these tests."""
    return FlakyDetector()


@pytest.fixture
def cameras(
    flaky: FlakyDetector, pool: ModelPool, manage: Manage, request: pytest.FixtureRequest
) -> Iterator[MultiCameraManager]:
    """A manager whose cameras use the flaky detector, with short times."""
    broken = getattr(request, "param", 0.3)
    spec = ModelSpec(lambda: flaky, 0)
    times = CameraTimes(broken=broken, restart_delays=(0.1, 0.1, 0.1))
    yield manage(lambda _: pool.lease("flaky", spec), times=times)
    flaky.gate.set()


@pytest.mark.parametrize("cameras", [60], indirect=True)  # seconds until the pipeline counts as broken
def test_a_model_that_fails_for_a_moment_is_shown_and_forgiven(
    cameras: MultiCameraManager, flaky: FlakyDetector, clip: Path
) -> None:
    cameras.add(CameraRequest(id="a", source=str(clip)))
    probe = cameras.get("a").status
    until(probe, lambda status: len(status.scores) > 2)
    flaky.failing = True
    assert "scoring failed" in until(probe, lambda status: bool(status.error)).error
    flaky.failing = False
    status = until(probe, lambda status: not status.error)
    assert (status.state, status.restarts) == (CameraState.LIVE, 0)


def test_a_pipeline_that_keeps_failing_is_given_up_and_started_by_hand(
    cameras: MultiCameraManager, flaky: FlakyDetector, clip: Path, pool: ModelPool
) -> None:
    cameras.add(CameraRequest(id="a", source=str(clip)))
    cameras.add(CameraRequest(id="stopped", source=str(clip), enabled=False))
    probe = cameras.get("a").status
    until(probe, lambda status: len(status.scores) > 2)
    flaky.failing = True
    status = until(probe, lambda status: status.state is CameraState.FAILED)
    assert status.restarts == 3
    assert "scoring failed" in status.reason
    assert "3 restarts" in status.reason
    assert [model.leases for model in pool.status().models] == [0]
    assert cameras.get("stopped").status().state is CameraState.STOPPED
    flaky.failing = False
    cameras.start_camera("a")
    until(probe, lambda status: status.state is CameraState.LIVE and len(status.scores) > 2)


def test_a_stop_while_the_model_hangs(cameras: MultiCameraManager, flaky: FlakyDetector, clip: Path) -> None:
    cameras.add(CameraRequest(id="a", source=str(clip)))
    probe = cameras.get("a").status
    until(probe, lambda status: len(status.scores) > 2)
    flaky.gate.clear()
    frames_before = probe().frames
    until(probe, lambda status: status.frames > frames_before + 15)  # the camera goes on, the newest frame waits
    assert probe().dropped > 0
    assert cameras.stop_camera("a").state is CameraState.STOPPED


def test_a_stop_while_the_disk_hangs(lease: LeaseScorer, manage: Manage, clip: Path, tmp_path: Path) -> None:
    witness = HangingObserver(tmp_path)
    manager = manage(lease, observer=witness)
    quiet = Detection(threshold=1, minimum_seconds=0, cooldown=0)
    request = CameraRequest(id="a", source=str(clip), fps=10, post_roll=60, detection=quiet)
    manager.add(request)
    loud = request.model_copy(update={"detection": quiet.model_copy(update={"threshold": 0.0})})
    for number in range(1, 7):  # events whose clips go on
        manager.update(loud)
        until(lambda: len(witness.decisions), lambda count, number=number: count == number)
        manager.update(request)
        until(lambda: len(witness.ends), lambda count, number=number: count == number)
    camera, began = manager.get("a"), time.monotonic()
    assert manager.stop_camera("a").state is CameraState.STOPPED
    assert time.monotonic() - began < 30  # not the 60 s of the clips
    for decision in witness.decisions:
        witness.clip_path(decision.event).read_bytes()
    until(lambda: len(witness.clips), lambda count: count == 6)
    assert camera.ended


def test_a_stop_while_another_model_is_loaded_for_it_wins(
    lease: LeaseScorer, manage: Manage, clip: Path, pool: ModelPool
) -> None:
    requested, loaded = threading.Event(), threading.Event()

    def ask(request: CameraRequest) -> Scorer:
        if request.detection.detector == "memory":
            requested.set()
            assert loaded.wait(20)
        return lease(request)

    manager = manage(ask)
    manager.add(CameraRequest(id="a", source=str(clip)))
    changed = CameraRequest.model_validate({"id": "a", "source": f"file:{clip}", "detection": {"detector": "memory"}})
    changing = threading.Thread(target=manager.update, args=(changed,))
    changing.start()
    assert requested.wait(20)
    camera = manager.get("a")
    manager.remove("a")
    loaded.set()
    changing.join(20)
    assert camera.status().state is CameraState.STOPPED
    assert camera.ended
    assert [model.leases for model in pool.status().models] == [0]


def test_one_camera_whose_start_breaks_keeps_no_other_from_starting(
    lease: LeaseScorer, manage: Manage, clip: Path
) -> None:
    def ask(request: CameraRequest) -> Scorer:
        if request.id == "broken":
            raise OSError(5, "Input/output error")
        return lease(request)

    times = CameraTimes(restart_delays=(0.1,))
    manager = manage(ask, start=False, times=times)
    for name in ("broken", "good"):
        manager.add(CameraRequest(id=name, source=str(clip)))
    manager.start()
    until(manager.get("good").status, lambda status: status.state is CameraState.LIVE)
    status = until(manager.get("broken").status, lambda status: status.state is CameraState.FAILED)
    assert "unexpected error (OSError)" in status.reason


def refusing(calls: list[str], refusals: int, lease: LeaseScorer) -> LeaseScorer:
    """A lease that has no room at first."""

    def ask(request: CameraRequest) -> Scorer:
        calls.append(request.id)
        if len(calls) <= refusals:
            raise NoRoom("Model big", "it needs 900 MB and 100 MB are left of 6000 MB on cuda:0", "stop a camera")
        return lease(request)

    return ask


def test_a_camera_without_room_is_refused_with_the_numbers(lease: LeaseScorer, manage: Manage, clip: Path) -> None:
    manager = manage(refusing([], 1, lease))
    with pytest.raises(NoRoom, match="900 MB and 100 MB"):
        manager.add(CameraRequest(id="a", source=str(clip)))
    assert manager.statuses() == []
    manager.add(CameraRequest(id="a", source=str(clip)))


def test_a_kept_camera_without_room_waits_for_it(lease: LeaseScorer, manage: Manage, clip: Path) -> None:
    manager = manage(refusing([], 2, lease), start=False, times=CameraTimes(restart_delays=(0.1, 0.1)))
    for name in ("a", "b"):
        manager.add(CameraRequest(id=name, source=str(clip)))
    manager.start()
    until(manager.statuses, lambda found: all(one.state is CameraState.LIVE for one in found))


def test_another_detector_without_room_leaves_the_camera_as_it_was(
    lease: LeaseScorer, manage: Manage, clip: Path
) -> None:
    def ask(request: CameraRequest) -> Scorer:
        if request.detection.detector != "motion":
            raise NoRoom("Model big", "it needs 900 MB", "stop a camera")
        return lease(request)

    manager = manage(ask)
    request = CameraRequest(id="a", source=str(clip))
    manager.add(request)
    with pytest.raises(XaivaError, match="900 MB"):
        manager.update(CameraRequest.model_validate({**request.model_dump(), "detection": {"detector": "memory"}}))
    assert manager.get("a").request == request
    until(manager.get("a").status, lambda status: status.state is CameraState.LIVE)


def test_a_camera_that_cannot_be_enabled_stays_as_it_was(lease: LeaseScorer, manage: Manage, clip: Path) -> None:
    manager = manage(refusing([], 1, lease))
    request = CameraRequest(id="a", source=str(clip), enabled=False)
    manager.add(request)
    with pytest.raises(NoRoom):
        manager.update(CameraRequest(id="a", source=f"file:{clip}", name="Gate"))
    status = manager.get("a").status()
    assert (manager.get("a").request, status.name, status.state) == (request, "a", CameraState.STOPPED)


def test_one_camera_more_than_the_cores_can_decode_is_refused() -> None:
    admit("b", [], 2)
    admit("b", [0.4] * 3, 2)
    with pytest.raises(NoCores, match=r"4 cameras takes 1\.60 cores and one more about 0\.40; 1\.70 of 2"):
        admit("b", [0.4] * 4, 2)


def test_what_decoding_costs_is_measured_and_decides(lease: LeaseScorer, manage: Manage, clip: Path) -> None:
    manager = manage(lease, cores=1e-6)
    manager.add(CameraRequest(id="a", source=str(clip)))
    load = until(manager.get("a").load, lambda one: one is not None)
    assert load is not None
    assert 0 < load < 1
    with pytest.raises(NoCores):
        manager.add(CameraRequest(id="b", source=str(clip)))
