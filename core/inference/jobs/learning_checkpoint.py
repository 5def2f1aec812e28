"""The checkpoint of a camera's learning on disk, from which it continues after a restart of the service."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from core.errors import os_reason
from core.inference.models.fit_bank import StoredFeatures

logger = logging.getLogger(__name__)

CHECKPOINT_SUFFIX = ".lesson"


@dataclass
class LearningCheckpoint:
    """The progress of learning: the features of the pictures so far, in order."""

    target_seconds: float
    watched_seconds: float = 0.0
    features: list[StoredFeatures] = field(default_factory=list)


class CheckpointWriter:
    """An open file: a header, then for each picture its features and the seconds watched by then, as NumPy arrays.

    Writing never raises: with a full disk learning goes on, and a restart loses what is not on disk. A kill loses at
    most one picture, a power cut whatever the system had not written yet.
    """

    def __init__(self, file: BinaryIO | None, camera: str) -> None:
        self._file = file
        self._camera = camera

    def append(self, features: StoredFeatures, watched_seconds: float) -> None:
        """Append the features of one picture."""
        self._write(features, np.float64(watched_seconds))

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def write_header(self, target_seconds: float, model: str) -> None:
        """Write the header; `model` is the SHA-256 of the network that computes the features."""
        self._write(np.frombuffer(json.dumps({"wanted": target_seconds, "model": model}).encode(), np.uint8))

    def _write(self, *arrays: ArrayLike) -> None:
        if self._file is None:
            return
        try:
            for array in arrays:
                np.save(self._file, array, allow_pickle=False)
            self._file.flush()
        except OSError as error:
            _warn_unwritten(self._camera, error)
            self.close()


class CheckpointStore:
    """The checkpoints: `<camera>.lesson` in one folder. `model` is the SHA-256 of the network."""

    def __init__(self, folder: Path, model: str) -> None:
        self._folder = folder
        self._model = model

    def cameras(self) -> list[str]:
        """The cameras that have a checkpoint."""
        return sorted(path.name.removesuffix(CHECKPOINT_SUFFIX) for path in self._folder.glob(f"*{CHECKPOINT_SUFFIX}"))

    def create(self, camera: str, target_seconds: float) -> CheckpointWriter:
        """Start a new checkpoint, replacing an older one."""
        self.drop(camera)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            writer = CheckpointWriter(open(self._path(camera), "xb"), camera)  # noqa: SIM115 - open while learning
        except OSError as error:
            _warn_unwritten(camera, error)
            return CheckpointWriter(None, camera)
        writer.write_header(target_seconds, self._model)
        return writer

    def resume(self, camera: str) -> tuple[LearningCheckpoint, CheckpointWriter] | None:
        """The checkpoint, and the writer that continues it; None when it is missing or unusable."""
        try:
            file = open(self._path(camera), "r+b")  # noqa: SIM115 - open while learning
        except OSError:
            return None
        checkpoint = self._read(file)
        if checkpoint is None:
            file.close()
            return None
        return checkpoint, CheckpointWriter(file, camera)

    def drop(self, camera: str) -> None:
        """Delete a camera's checkpoint, if there is one."""
        with suppress(OSError):
            self._path(camera).unlink(missing_ok=True)

    def _read(self, file: BinaryIO) -> LearningCheckpoint | None:
        """Read up to where a kill or a full disk cut the file off, and truncate the incomplete rest."""
        try:
            header = json.loads(np.load(file, allow_pickle=False).tobytes())
            checkpoint = LearningCheckpoint(float(header["wanted"]))
            if header["model"] != self._model:
                return None
        except (ValueError, KeyError, TypeError, EOFError, OSError):
            return None
        end = file.tell()
        with suppress(ValueError, EOFError, OSError):
            while True:
                features = np.load(file, allow_pickle=False)
                checkpoint.watched_seconds = float(np.load(file, allow_pickle=False))
                checkpoint.features.append(features)
                end = file.tell()
        with suppress(OSError):
            file.seek(end)
            file.truncate()
        return checkpoint

    def _path(self, camera: str) -> Path:
        return self._folder / f"{camera}{CHECKPOINT_SUFFIX}"


def _warn_unwritten(camera: str, error: OSError) -> None:
    logger.warning("camera %s: a restart would lose what it learns now: %s", camera, os_reason(error))
