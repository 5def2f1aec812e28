"""Learning: watches a camera for a while, fits its memory bank, and then scores the camera with it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

import numpy as np

from core.api_schema import CameraRequest, CameraState, Detection, Learning
from core.errors import InputError, XaivaError
from core.inference.cameras.manager import MultiCameraManager, UnknownCamera
from core.inference.cameras.pipeline import SampledFrame
from core.inference.jobs.learning_checkpoint import CheckpointStore, CheckpointWriter, LearningCheckpoint
from core.inference.model_pool.pool import Lease, ModelPool
from core.inference.models.camera_product_banks import ProductBanks
from core.inference.models.detector import Picture
from core.inference.models.features import network_sha256
from core.inference.models.fit_bank import StoredFeatures, fit_bank
from core.inference.models.patchcore import PatchCoreDetector
from core.inference.models.registry import MEMORY, bank_store, patchcore_spec
from core.inference.settings import ServiceSettings

logger = logging.getLogger(__name__)

MAX_PICTURES = 600  # spread over the time: 60 MB of features, and seconds to fit a bank
MAX_WATCHED_GAP = 5.0  # seconds between two frames that count as watched, at most
STOP_SECONDS = 1.0  # the checkpoint is on disk: a job that does not end by then loses nothing


class AlreadyLearning(InputError):
    """The camera is already being learned."""


class NotRunning(InputError):
    """The camera is not running."""


def with_memory_bank(request: CameraRequest) -> CameraRequest:
    """The camera's settings after learning: scored with its memory bank, with the threshold where normal ends."""
    changes = {"detector": MEMORY, "model": "", "product": "", "threshold": Detection().threshold, "release": None}
    return request.model_copy(update={"detection": request.detection.model_copy(update=changes)})


class Learner:
    """Learns any number of cameras at once. Thread-safe.

    Learning pauses while the camera is disconnected, and continues after a restart of the service. `learned` is called
    with the id of a camera whose bank is ready; it must change the camera's settings.
    """

    def __init__(
        self, cameras: MultiCameraManager, pool: ModelPool, settings: ServiceSettings, learned: Callable[[str], None]
    ) -> None:
        self._cameras = cameras
        self._pool = pool
        self._settings = settings
        self._learned = learned
        self._banks = bank_store(settings)
        self._product_banks = ProductBanks(settings)
        self._checkpoints = CheckpointStore(settings.data / "lessons", network_sha256())
        self._jobs: dict[str, _LearningJob] = {}
        self._change_lock = threading.Lock()

    def resume(self) -> None:
        """Continue what an earlier run of the service was learning. Call it once, after the cameras were started."""
        for camera in self._checkpoints.cameras():
            saved = self._checkpoints.resume(camera) if self._camera_exists(camera) else None
            if saved is None:
                logger.warning("camera %s: its learning cannot continue after the restart", camera)
                self._checkpoints.drop(camera)
                continue
            watched, target = saved[0].watched_seconds, saved[0].target_seconds
            logger.info("camera %s: its learning continues after %.0f of %.0f s", camera, watched, target)
            with self._change_lock:
                self._begin(_LearningJob(camera, *saved))

    def start(self, camera: str, minutes: float) -> Learning:
        """Start learning a camera. Raises UnknownCamera, AlreadyLearning, NotRunning."""
        state = self._cameras.get(camera).status().state
        if state in (CameraState.STOPPED, CameraState.FAILED):
            why = f"it is {state.value}, and only a running camera can be learned"
            raise NotRunning(f"Camera {camera}", why, f"start it first: xaiva camera start {camera}")
        with self._change_lock:
            running = self._jobs.get(camera)
            if running is not None and running.running:
                remedy = f"wait until it is done, or cancel it: xaiva camera learn {camera} --minutes 0"
                raise AlreadyLearning(f"Camera {camera}", "it is already being learned", remedy)
            checkpoint = LearningCheckpoint(target_seconds=minutes * 60)
            return self._begin(_LearningJob(camera, checkpoint, self._checkpoints.create(camera, minutes * 60)))

    def cancel(self, camera: str) -> None:
        """Cancel a camera's learning and forget an earlier failure; an existing bank stays."""
        with self._change_lock:
            job = self._jobs.pop(camera, None)
            self._checkpoints.drop(camera)
        if job is not None:
            job.cancelled.set()

    def drop(self, camera: str) -> None:
        """The camera was removed: cancel its learning and delete its bank."""
        self.cancel(camera)
        self._banks.drop(camera)

    def status(self, request: CameraRequest) -> Learning | None:
        """The progress or the error of learning, or why the camera's bank cannot be used; None without any of them."""
        job = self._jobs.get(request.id)
        if job is not None:
            return job.status()
        if request.detection.detector != MEMORY:
            return None
        product = request.detection.product
        why = self._product_banks.why_unusable(product) if product else self._banks.why_unusable(request.id)
        return Learning(done=0, wanted=0, error=why) if why else None

    def stop(self) -> None:
        """Pause all learning until `resume`, within a second."""
        with self._change_lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancelled.set()
        deadline = time.monotonic() + STOP_SECONDS
        for job in jobs:
            job.join(deadline - time.monotonic())

    def _camera_exists(self, camera: str) -> bool:
        try:
            self._cameras.get(camera)
        except UnknownCamera:
            return False
        return True

    def _begin(self, job: _LearningJob) -> Learning:
        self._jobs[job.camera] = job
        job.start(self._run)
        return job.status()

    def _run(self, job: _LearningJob) -> None:
        """The main function of a job's thread."""
        done = False
        try:
            with self._pool.lease(MEMORY, patchcore_spec(self._settings)) as lease:
                done = self._watch_and_fit(job, lease)
                if done:
                    self._learned(job.camera)
        except XaivaError as error:
            job.error = error.summary
        except Exception as error:
            logger.exception("camera %s: a fault in learning", job.camera)
            job.error = f"learning failed: {type(error).__name__}"
        finally:
            job.writer.close()
        if job.error:
            logger.warning("camera %s was not learned: %s", job.camera, job.error)
            return
        with self._change_lock:
            if done and self._jobs.get(job.camera) is job:
                del self._jobs[job.camera]
                self._checkpoints.drop(job.camera)

    def _watch_and_fit(self, job: _LearningJob, lease: Lease[PatchCoreDetector]) -> bool:
        """Watch the camera, fit and save its bank. Returns False when cancelled."""
        features = lease.model.features
        close = self._cameras.add_frame_listener(job.camera, job.on_frame)
        try:
            while not job.over:
                picture = job.next()
                if picture is not None:
                    job.add_features(features.extract([picture])[0].astype(np.float16))
        finally:
            close()
        if job.cancelled.is_set():
            return False
        try:
            bank = fit_bank(job.features, features, job.watched_seconds, job.cancelled.is_set)
        except InterruptedError:
            return False
        with self._change_lock:  # so that no bank of a camera that is being removed stays behind
            if job.cancelled.is_set():
                return False
            self._banks.save(job.camera, bank)
        lease.forget(job.camera)
        logger.info("camera %s: learned from %d pictures of %g s", job.camera, bank.frames, bank.seconds)
        return True


class _LearningJob:
    """The learning of one camera: pictures go from the frame listener through a short queue to the job's thread.

    It continues `checkpoint` and appends to it with `writer`. A stop of the service sets `cancelled`, too.
    """

    def __init__(self, camera: str, checkpoint: LearningCheckpoint, writer: CheckpointWriter) -> None:
        self.camera = camera
        self.target_seconds = checkpoint.target_seconds
        self.watched_seconds = checkpoint.watched_seconds
        self.features = checkpoint.features
        self.writer = writer
        self.error = ""
        self.cancelled = threading.Event()
        self._picture_interval = self.target_seconds / MAX_PICTURES
        self._last_frame: float | None = None  # when the newest frame arrived, monotonic
        self._conversion_failed = False
        self._due = (
            self.watched_seconds + self._picture_interval if self.features else 0.0
        )  # when the next picture is due, in seconds watched
        self._pictures: queue.Queue[Picture] = queue.Queue(maxsize=2)
        self._thread: threading.Thread | None = None

    def start(self, run: Callable[[_LearningJob], None]) -> None:
        """Run `run` in the job's own thread."""
        self._thread = threading.Thread(target=run, args=(self,), name=f"learn-{self.camera}", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def over(self) -> bool:
        """Whether watching is complete or cancelled."""
        return self.watched_seconds >= self.target_seconds or self.cancelled.is_set()

    def status(self) -> Learning:
        done = min(self.watched_seconds, self.target_seconds)
        return Learning(done=round(done, 1), wanted=round(self.target_seconds, 1), error=self.error)

    def on_frame(self, frame: SampledFrame) -> None:
        """Take a frame, in the pipeline's thread; frames that cannot be converted are skipped."""
        before, self._last_frame = self._last_frame, time.monotonic()
        if before is not None:
            self.watched_seconds += min(self._last_frame - before, MAX_WATCHED_GAP)
        if self.watched_seconds < self._due:
            return
        try:
            sample = frame.sample(PatchCoreDetector.width, PatchCoreDetector.height, PatchCoreDetector.pixel_format)
            self._pictures.put_nowait(sample.picture)
            self._due = self.watched_seconds + self._picture_interval
        except queue.Full:
            pass  # the network is busy: the next frame is as good
        except Exception:
            if not self._conversion_failed:
                logger.exception("camera %s: a frame could not be learned; it goes on with the others", self.camera)
            self._conversion_failed = True

    def next(self) -> Picture | None:
        """The next picture to learn; None when none arrived for a while."""
        try:
            return self._pictures.get(timeout=0.2)
        except queue.Empty:
            return None

    def add_features(self, features: StoredFeatures) -> None:
        """Keep the features of a picture."""
        self.features.append(features)
        self.writer.append(features, self.watched_seconds)
