"""The checkpoint of a camera's learning, on disk: it goes on after a restart of the service."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from core.inference.models.normal import Kept

logger = logging.getLogger(__name__)

SUFFIX = ".lesson"


@dataclass
class Gathered:
    """The features of the pictures so far, in order. `wanted` and `done` are seconds of watching."""

    wanted: float
    done: float = 0.0
    kept: list[Kept] = field(default_factory=list)


class Notes:
    """An open file: what is wanted, then each picture's features with how much was done by then, as NumPy arrays.

    Writing never raises: without room for it the learning goes on, and what is not on disk a restart loses. A kill
    loses one picture at most, a power cut what the system had not written yet.
    """

    def __init__(self, file: BinaryIO | None, camera: str) -> None:
        self._file = file
        self._camera = camera

    def keep(self, features: Kept, done: float) -> None:
        """One more picture."""
        self._write(features, np.float64(done))

    def close(self) -> None:
        """No more comes."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def begin(self, wanted: float, model: str) -> None:
        """Say what follows; `model` is the SHA-256 of the network whose features they are."""
        self._write(np.frombuffer(json.dumps({"wanted": wanted, "model": model}).encode(), np.uint8))

    def _write(self, *arrays: ArrayLike) -> None:
        if self._file is None:
            return
        try:
            for array in arrays:
                np.save(self._file, array, allow_pickle=False)
            self._file.flush()
        except OSError as error:
            _tell(self._camera, error)
            self.close()


class LessonStore:
    """`<camera>.lesson` in one folder. `model` is the SHA-256 of the network that makes features."""

    def __init__(self, folder: Path, model: str) -> None:
        self._folder = folder
        self._model = model

    def cameras(self) -> list[str]:
        """Those whose learning is not over."""
        return sorted(path.name.removesuffix(SUFFIX) for path in self._folder.glob(f"*{SUFFIX}"))

    def begin(self, camera: str, wanted: float) -> Notes:
        """A new file, in place of an older one."""
        self.drop(camera)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            notes = Notes(open(self._path(camera), "xb"), camera)  # noqa: SIM115 - open as long as it is learned
        except OSError as error:
            _tell(camera, error)
            return Notes(None, camera)
        notes.begin(wanted, self._model)
        return notes

    def go_on(self, camera: str) -> tuple[Gathered, Notes] | None:
        """What there is, and where more of it goes; None when it is of no use any more."""
        try:
            file = open(self._path(camera), "r+b")  # noqa: SIM115 - open as long as it is learned
        except OSError:
            return None
        gathered = self._read(file)
        if gathered is None:
            file.close()
            return None
        return gathered, Notes(file, camera)

    def drop(self, camera: str) -> None:
        """Forget it; nothing happens when there is none."""
        with suppress(OSError):
            self._path(camera).unlink(missing_ok=True)

    def _read(self, file: BinaryIO) -> Gathered | None:
        """Everything up to where a kill or a full disk cut it off; the rest is cut away."""
        try:
            said = json.loads(np.load(file, allow_pickle=False).tobytes())
            gathered = Gathered(float(said["wanted"]))
            if said["model"] != self._model:
                return None
        except (ValueError, KeyError, TypeError, EOFError, OSError):
            return None
        end = file.tell()
        with suppress(ValueError, EOFError, OSError):
            while True:
                features = np.load(file, allow_pickle=False)
                gathered.done = float(np.load(file, allow_pickle=False))
                gathered.kept.append(features)
                end = file.tell()
        with suppress(OSError):
            file.seek(end)
            file.truncate()
        return gathered

    def _path(self, camera: str) -> Path:
        return self._folder / f"{camera}{SUFFIX}"


def _tell(camera: str, error: OSError) -> None:
    logger.warning("camera %s: a restart would lose what it learns now: %s", camera, error.strerror or error)
