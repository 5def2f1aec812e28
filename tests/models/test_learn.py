"""Learning a live camera: what is kept, what is refused, and how it scores afterwards."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.api_schema import CameraRequest, CameraState, Detection
from core.inference.cameras.manager import MultiCameraManager, UnknownCamera
from core.inference.cameras.pipeline import FrameListener, SampledFrame
from core.inference.jobs import learn
from core.inference.jobs.learn import AlreadyLearning, Learner, NotRunning, with_memory_bank
from core.inference.model_pool.pool import ModelPool
from core.inference.models import registry
from core.inference.settings import ServiceSettings
from tests.inference.conftest import QUICK_BACKOFF, UTC, RecordingObserver
from tests.support import PATIENCE, require, rtsp, until

FPS = 15
SHORT = 0.05  # minutes: some 45 pictures, twice what is needed


class Cameras(MultiCameraManager):
    """The real manager. It passes on a frame while `flowing`, once the learner has taken the one before.

    Of these frames every seventh cannot be converted when `spoilt`.
    """

    spoilt = False
    passed = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.flowing = threading.Event()
        self.flowing.set()

    def add_frame_listener(self, camera: str, callback: FrameListener) -> Callable[[], None]:
        job = callback.__self__  # type: ignore[attr-defined]

        def pass_on(look: SampledFrame) -> None:
            assert self.flowing.wait(PATIENCE)
            until(lambda: job.over or job._pictures.empty())
            if not job.over:
                self.passed += 1
                callback(BrokenFrame(look.frame, look.regions) if self.spoilt and self.passed % 7 == 0 else look)

        return super().add_frame_listener(camera, pass_on)


class BrokenFrame(SampledFrame):
    def sample(self, width: int, height: int, pixel_format: str) -> object:  # type: ignore[override]
        raise ValueError("a frame that cannot be converted")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(rtsp.has_ffmpeg(), "ffmpeg")
    return rtsp.make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", fps=FPS)


@pytest.fixture
def cameras(tmp_path: Path, pool: ModelPool, settings: ServiceSettings) -> Iterator[Cameras]:
    """Cameras that score by what the catalogue makes."""

    def lease(request: CameraRequest) -> object:
        return pool.lease(registry.model_key(request.detection), registry.detector_spec(request.detection, settings))

    running = Cameras(RecordingObserver(tmp_path), lease, time_zone=UTC, backoff=QUICK_BACKOFF, cores=64)
    running.start()
    yield running
    until(running.stop, lambda hanging: hanging == [])


@pytest.fixture(autouse=True)
def time_by_frames(cameras: Cameras, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a learner watches is counted in frames: a machine under load may stand still."""
    monkeypatch.setattr(learn, "time", SimpleNamespace(monotonic=lambda: cameras.passed / FPS))


@pytest.fixture
def start_learner(cameras: Cameras, pool: ModelPool, settings: ServiceSettings) -> Iterator[Callable[[], Learner]]:
    """Learners of those cameras, one after the other as of a service that starts again; they have them scored by it."""
    learners: list[Learner] = []

    def learned(camera: str) -> None:
        cameras.update(with_memory_bank(cameras.get(camera).request))

    def start() -> Learner:
        for before in learners:
            before.stop()
        learners.append(Learner(cameras, pool, settings, learned))
        learners[-1].resume()
        return learners[-1]

    yield start
    cameras.flowing.set()
    learners[-1].stop()
    ended()


def ended() -> None:
    """Wait until no learning is under way any more: a stop waits for a second only."""
    until(threading.enumerate, lambda all_of_them: not any(one.name.startswith("learn-") for one in all_of_them))


@pytest.fixture
def learner(start_learner: Callable[[], Learner]) -> Learner:
    return start_learner()


def add(cameras: Cameras, source: Path | str, **detection: object) -> None:
    settings = {"id": "gate", "source": str(source), "fps": FPS, "timeout": 15, "detection": detection}
    cameras.add(CameraRequest.model_validate(settings))
    until(lambda: cameras.get("gate").status().state, lambda state: state is not CameraState.CONNECTING)


def test_camera_is_learned_and_scored_by_its_memory(
    cameras: Cameras, learner: Learner, settings: ServiceSettings, clip: Path
) -> None:
    cameras.spoilt = True  # some frames cannot be learned, and the rest is
    add(cameras, clip, threshold=0.9, minimum_seconds=2)
    cameras.flowing.clear()
    first = learner.start("gate", SHORT)
    assert (first.done, first.wanted) == (0, 3)
    request = cameras.get("gate").request
    assert learner.status(request) is not None
    with pytest.raises(AlreadyLearning, match="already being learned"):
        learner.start("gate", SHORT)
    cameras.flowing.set()
    progress = until(lambda: learner.status(cameras.get("gate").request), lambda now: now is None or now.done > 1)
    assert progress is not None
    assert progress.done <= progress.wanted
    until(lambda: learner.status(request), lambda now: now is None)
    detection = cameras.get("gate").request.detection
    assert (detection.detector, detection.threshold, detection.minimum_seconds) == ("memory", 0.5, 2)
    bank = registry.bank_store(settings).load("gate")
    assert 20 <= bank.frames <= 45
    assert bank.seconds == pytest.approx(3, abs=0.5)
    until(  # the same clip again: as it always is
        lambda: cameras.get("gate").status(), lambda now: now.model == "memory" and 0 < max(now.scores[-5:]) < 0.5
    )


def test_what_was_learned_survives_a_restart(
    cameras: Cameras, learner: Learner, settings: ServiceSettings, pool: ModelPool, clip: Path
) -> None:
    add(cameras, clip)
    learner.start("gate", SHORT)
    request = until(lambda: cameras.get("gate").request, lambda now: now.detection.detector == "memory")
    again = Learner(cameras, pool, settings, lambda camera: None)
    until(lambda: again.status(request), lambda now: now is None)
    path = settings.data / "banks" / "gate.npz"
    path.write_bytes(path.read_bytes()[:-99])
    trouble = again.status(request)
    assert trouble is not None
    assert "damaged" in trouble.error
    again.drop("gate")
    assert not path.exists()


def test_camera_by_memory_that_was_never_learned_says_so(cameras: Cameras, learner: Learner, clip: Path) -> None:
    add(cameras, clip, detector="memory")
    status = learner.status(cameras.get("gate").request)
    assert status is not None
    assert status.error == "not learned yet; xaiva camera learn gate"
    status = until(lambda: cameras.get("gate").status(), lambda now: len(now.scores) > 3)
    assert set(status.scores) == {0}
    assert status.error == ""
    assert learner.status(cameras.get("gate").request.model_copy(update={"detection": Detection()})) is None


def test_camera_that_uses_a_product_says_why_its_bank_cannot_be_used(
    cameras: Cameras, learner: Learner, clip: Path
) -> None:
    add(cameras, clip, detector="memory", product="bolt")
    status = learner.status(cameras.get("gate").request)
    assert status is not None
    assert status.error == "The memory bank of bolt: it has not been built yet; rebuild it: xaiva job start banks"
    assert until(lambda: cameras.get("gate").status(), lambda now: len(now.scores) > 3).product == "bolt"
    assert with_memory_bank(cameras.get("gate").request).detection.product == ""


def test_cancelled_learning_changes_nothing(
    cameras: Cameras, learner: Learner, settings: ServiceSettings, clip: Path
) -> None:
    add(cameras, clip)
    learner.start("gate", 10)
    until(lambda: learner.status(cameras.get("gate").request), lambda now: now is not None and now.done > 0.3)
    learner.cancel("gate")
    assert learner.status(cameras.get("gate").request) is None
    ended()
    assert cameras.get("gate").request.detection.detector == "motion"
    assert "not learned" in registry.bank_store(settings).why_unusable("gate")
    assert list((settings.data / "lessons").iterdir()) == []
    learner.start("gate", 10)  # and it can be started again


def watched(cameras: Cameras, learner: Learner, seconds: float) -> float:
    """Wait until so much is watched; how much it is."""
    now = until(lambda: learner.status(cameras.get("gate").request), lambda now: now is None or now.done >= seconds)
    assert now is not None
    return now.done


def test_a_restart_goes_on_where_it_was(
    cameras: Cameras, start_learner: Callable[[], Learner], settings: ServiceSettings, clip: Path
) -> None:
    add(cameras, clip)
    first = start_learner()
    first.start("gate", SHORT)
    watched(cameras, first, 1)
    cameras.flowing.clear()
    first.stop()
    ended()
    stopped = first.status(cameras.get("gate").request)
    assert stopped is not None
    lesson = settings.data / "lessons" / "gate.lesson"
    lesson.write_bytes(lesson.read_bytes()[:-50_000])  # as when it is killed while it writes
    again = start_learner()
    progress = again.status(cameras.get("gate").request)
    assert progress is not None
    assert progress.wanted == 3
    assert progress.done == pytest.approx(stopped.done, abs=0.3)
    cameras.flowing.set()
    until(lambda: cameras.get("gate").request, lambda now: now.detection.detector == "memory")
    bank = registry.bank_store(settings).load("gate")
    assert bank.seconds == pytest.approx(3, abs=0.5)
    assert 30 <= bank.frames <= 50  # those of the first run among them
    until(lesson.exists, lambda there: not there)


def test_what_is_gathered_of_a_camera_that_is_gone_or_with_another_network_is_dropped(
    cameras: Cameras, start_learner: Callable[[], Learner], settings: ServiceSettings, clip: Path
) -> None:
    add(cameras, clip)
    start_learner().start("gate", 10)
    lesson = settings.data / "lessons" / "gate.lesson"
    until(lambda: lesson.stat().st_size, lambda size: size > 100_000)
    start_learner().stop()
    ended()
    shutil.copy(lesson, lesson.with_name("yard.lesson"))
    lesson.write_bytes(lesson.read_bytes().replace(b'"model": "', b'"model": "x', 1))
    again = start_learner()
    assert again.status(cameras.get("gate").request) is None
    assert list(lesson.parent.iterdir()) == []


def test_without_room_for_what_is_gathered_it_learns_all_the_same(
    cameras: Cameras, learner: Learner, settings: ServiceSettings, clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add(cameras, clip)
    settings.data.mkdir()
    (settings.data / "lessons").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        learner.start("gate", SHORT)
    assert "a restart would lose what it learns" in caplog.text
    watched(cameras, learner, 1)


def test_a_camera_that_is_lost_is_waited_for(cameras: Cameras, learner: Learner, clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "gate.mp4"
    add(cameras, source)
    learner.start("gate", SHORT)
    until(lambda: cameras.get("gate").status().cause, lambda cause: cause == "not_found")
    shutil.copy(clip, source)
    watched(cameras, learner, 1)


def test_too_short_a_time_is_told(cameras: Cameras, learner: Learner, clip: Path) -> None:
    add(cameras, clip)
    learner.start("gate", 0.01)
    failed = until(lambda: learner.status(cameras.get("gate").request), lambda now: now is None or bool(now.error))
    assert failed is not None
    assert "20 are needed" in failed.error


def test_cameras_that_do_not_run_are_refused(cameras: Cameras, learner: Learner, clip: Path) -> None:
    with pytest.raises(UnknownCamera):
        learner.start("yard", 1)
    add(cameras, clip)
    cameras.stop_camera("gate")
    with pytest.raises(NotRunning, match="it is stopped"):
        learner.start("gate", 1)
