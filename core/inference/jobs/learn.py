"""Learning: watch a camera for a while, build its memory bank, and score by it from then on."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

import numpy as np

from core.errors import InputError, XaivaError
from core.inference.cameras.manager import MultiCameraManager, UnknownCamera
from core.inference.cameras.pipeline import Look
from core.inference.jobs.gathered import Gathered, LessonStore, Notes
from core.inference.models.catalogue import MEMORY, bank_store, memory_spec
from core.inference.models.detector import Picture
from core.inference.models.features import network_sha256
from core.inference.models.memory import MemoryDetector
from core.inference.models.normal import Kept, learn
from core.inference.resources.pool import Lease, ResourcePool
from core.inference.schemas import CameraRequest, CameraState, Detection, Learning
from core.inference.settings import ServiceSettings

logger = logging.getLogger(__name__)

MOST_PICTURES = 600  # spread over the time: 60 MB of features, and seconds to build a bank from
LONGEST_GAP = 5.0  # seconds between two frames that count as watched
STOP_SECONDS = 1.0  # what was gathered is on disk: a lesson that does not end by then loses nothing


class AlreadyLearning(InputError):
    """The camera is being learned."""


class NotRunning(InputError):
    """The camera shows nothing that could be learned."""


def scored_by_memory(request: CameraRequest) -> CameraRequest:
    """The camera as it is set once it was learned: by its bank, with the threshold where normal ends."""
    changes = {"detector": MEMORY, "model": "", "threshold": Detection().threshold, "release": None}
    return request.model_copy(update={"detection": request.detection.model_copy(update=changes)})


class Learner:
    """Learns any number of cameras at once. Every method may be called from any thread.

    While a camera is lost its learning waits, and a restart of the service goes on where it was.
    `learned` is told of a camera whose bank is ready; it sets the camera to be scored by it.
    """

    def __init__(
        self,
        cameras: MultiCameraManager,
        pool: ResourcePool,
        settings: ServiceSettings,
        learned: Callable[[str], None],
    ) -> None:
        self._cameras = cameras
        self._pool = pool
        self._settings = settings
        self._learned = learned
        self._banks = bank_store(settings)
        self._store = LessonStore(settings.data / "lessons", network_sha256())
        self._lessons: dict[str, _Lesson] = {}
        self._changes = threading.Lock()

    def go_on(self) -> None:
        """Take up what an earlier run of the service was learning. Call it once, after the cameras were started."""
        for camera in self._store.cameras():
            found = self._store.go_on(camera) if self._knows(camera) else None
            if found is None:
                logger.warning("camera %s: what was learned of it before the restart is of no use any more", camera)
                self._store.drop(camera)
                continue
            logger.info("camera %s: its learning goes on after %.0f of %.0f s", camera, found[0].done, found[0].wanted)
            with self._changes:
                self._begin(_Lesson(camera, *found))

    def start(self, camera: str, minutes: float) -> Learning:
        """Begin to learn. Raises UnknownCamera, AlreadyLearning, NotRunning."""
        state = self._cameras.get(camera).status().state
        if state in (CameraState.STOPPED, CameraState.FAILED):
            why = f"it is {state.value}, and only a camera that runs can be learned"
            raise NotRunning(f"Camera {camera}", why, f"start it first: xaiva camera start {camera}")
        with self._changes:
            running = self._lessons.get(camera)
            if running is not None and running.running:
                remedy = f"wait for it, or end it: xaiva camera learn {camera} --minutes 0"
                raise AlreadyLearning(f"Camera {camera}", "it is being learned already", remedy)
            wanted = minutes * 60
            return self._begin(_Lesson(camera, Gathered(wanted), self._store.begin(camera, wanted)))

    def cancel(self, camera: str) -> None:
        """End its learning, if it is being learned; the bank it had before stays. Forget why the last one failed."""
        with self._changes:
            lesson = self._lessons.pop(camera, None)
            self._store.drop(camera)
        if lesson is not None:
            lesson.cancelled.set()

    def drop(self, camera: str) -> None:
        """The camera is gone: end its learning and forget its bank."""
        self.cancel(camera)
        self._banks.drop(camera)

    def status(self, request: CameraRequest) -> Learning | None:
        """How far it is, or why it failed; for a camera that should be scored by a bank and cannot be, why not."""
        lesson = self._lessons.get(request.id)
        if lesson is not None:
            return lesson.status()
        if request.detection.detector != MEMORY:
            return None
        trouble = self._banks.trouble(request.id)
        return Learning(done=0, wanted=0, error=trouble) if trouble else None

    def stop(self) -> None:
        """End every learning until `go_on`, within a second."""
        with self._changes:
            lessons = list(self._lessons.values())
        for lesson in lessons:
            lesson.cancelled.set()
        deadline = time.monotonic() + STOP_SECONDS
        for lesson in lessons:
            lesson.join(deadline - time.monotonic())

    def _knows(self, camera: str) -> bool:
        try:
            self._cameras.get(camera)
        except UnknownCamera:
            return False
        return True

    def _begin(self, lesson: _Lesson) -> Learning:
        self._lessons[lesson.camera] = lesson
        lesson.start(self._run)
        return lesson.status()

    def _run(self, lesson: _Lesson) -> None:
        """The lesson's thread."""
        done = False
        try:
            with self._pool.lease(MEMORY, memory_spec(self._settings)) as lease:
                done = self._teach(lesson, lease)
                if done:
                    self._learned(lesson.camera)
        except XaivaError as error:
            lesson.error = f"{error.what}: {error.why}"
        except Exception as error:
            logger.exception("camera %s: a fault in learning", lesson.camera)
            lesson.error = f"learning failed: {type(error).__name__}"
        finally:
            lesson.notes.close()
        if lesson.error:
            logger.warning("camera %s was not learned: %s", lesson.camera, lesson.error)
            return
        with self._changes:
            if done and self._lessons.get(lesson.camera) is lesson:
                del self._lessons[lesson.camera]
                self._store.drop(lesson.camera)

    def _teach(self, lesson: _Lesson, lease: Lease[MemoryDetector]) -> bool:
        """Watch, build, save; False when it was cancelled."""
        features = lease.model.features
        close = self._cameras.tap(lesson.camera, lesson.see)
        try:
            while not lesson.over:
                picture = lesson.next()
                if picture is not None:
                    lesson.keep(features.of([picture])[0].astype(np.float16))
        finally:
            close()
        if lesson.cancelled.is_set():
            return False
        try:
            bank = learn(lesson.kept, features, lesson.done, lesson.cancelled.is_set)
        except InterruptedError:
            return False
        with self._changes:  # so that a camera that is removed now leaves no bank behind
            if lesson.cancelled.is_set():
                return False
            self._banks.save(lesson.camera, bank)
        lease.forget(lesson.camera)
        logger.info("camera %s: learned from %d pictures of %g s", lesson.camera, bank.frames, bank.seconds)
        return True


class _Lesson:
    """One camera's learning: what its tap sees goes through a short queue to the thread that learns.

    It begins with what was `gathered` before; `notes` are where more of it is written. `cancelled` also by a stop.
    """

    def __init__(self, camera: str, gathered: Gathered, notes: Notes) -> None:
        self.camera = camera
        self.wanted = gathered.wanted
        self.done = gathered.done  # seconds watched
        self.kept = gathered.kept
        self.notes = notes
        self.error = ""
        self.cancelled = threading.Event()
        self._every = self.wanted / MOST_PICTURES
        self._seen: float | None = None  # when the newest frame came, monotonic
        self._spoilt = False
        self._due = self.done + self._every if self.kept else 0.0  # `done` from which on a picture is kept
        self._pictures: queue.Queue[Picture] = queue.Queue(maxsize=2)
        self._thread: threading.Thread | None = None

    def start(self, run: Callable[[_Lesson], None]) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=run, args=(self,), name=f"learn-{self.camera}", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))

    @property
    def running(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def over(self) -> bool:
        """Whether enough was watched, or it was cancelled."""
        return self.done >= self.wanted or self.cancelled.is_set()

    def status(self) -> Learning:
        """A snapshot."""
        return Learning(done=round(min(self.done, self.wanted), 1), wanted=round(self.wanted, 1), error=self.error)

    def see(self, look: Look) -> None:
        """A frame, in the pipeline's thread; one that cannot be converted is left out."""
        before, self._seen = self._seen, time.monotonic()
        if before is not None:
            self.done += min(self._seen - before, LONGEST_GAP)
        if self.done < self._due:
            return
        try:
            sample = look.sample(MemoryDetector.width, MemoryDetector.height, MemoryDetector.pixel_format)
            self._pictures.put_nowait(sample.picture)
            self._due = self.done + self._every
        except queue.Full:
            pass  # the network is busy with others: the next frame is as good
        except Exception:
            if not self._spoilt:
                logger.exception("camera %s: a frame could not be learned; it goes on with the others", self.camera)
            self._spoilt = True

    def next(self) -> Picture | None:
        """The next picture to learn; None when none came for a while."""
        try:
            return self._pictures.get(timeout=0.2)
        except queue.Empty:
            return None

    def keep(self, features: Kept) -> None:
        """What was found in a picture."""
        self.kept.append(features)
        self.notes.keep(features, self.done)
