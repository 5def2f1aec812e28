"""A camera's memory bank: features of what is normal, the score of a picture against them, and the bank's file."""

from __future__ import annotations

import hashlib
import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import XaivaError
from core.files import read_regular, write_atomic, write_remedy
from core.inference.models.features import Features

BANK_VERSION = 1  # of the file; raised when an older one can no longer be read
WORST_PATCHES = 3  # patches whose mean is the distance of a place: one alone is noise, a small thing covers more

Values = NDArray[np.float32]


@dataclass(frozen=True)
class DistanceLimit:
    """Distances as they were while all was normal: `typical` the middle one, `limit` where normal ends."""

    typical: float
    limit: float

    def excess(self, distance: float) -> float:
        """0 for what is typical, 1 at the limit."""
        return (distance - self.typical) / (self.limit - self.typical)


@dataclass(frozen=True)
class MemoryBank:
    """`patches` (n x channels) stand for everything seen, each channel less `mean` and over `spread`.

    A picture is far from normal when one `place` of it is, or when the `whole` of it is a little: both have a limit.
    `model` is the SHA-256 of the network, `seconds` of footage and `frames` it was learned from, `learned` a Unix time.
    """

    mean: Values
    spread: Values
    patches: Values
    place: DistanceLimit
    whole: DistanceLimit
    model: str
    frames: int
    seconds: float
    learned: float

    def standardise(self, features: Features) -> Values:
        """A picture's features as `patches` are."""
        standardised: Values = (features - self.mean) / self.spread
        return standardised

    def score(self, nearest: Values) -> float:
        """0 to 1 for a picture whose patches are that far from the nearest of the bank; 0.5 is where normal ends."""
        place, whole = picture_distances(nearest)
        return score_from_excess(max(self.place.excess(place), self.whole.excess(whole)))


def picture_distances(nearest: Values) -> tuple[float, float]:
    """The distances of a picture's patches: at its worst place, and as a whole."""
    return float(np.partition(nearest, -WORST_PATCHES)[-WORST_PATCHES:].mean()), float(nearest.mean())


def score_from_excess(excess: float) -> float:
    """Between 0 and 1: 0.12 for what is typical, 0.5 at the limit, 0.88 as far beyond it again."""
    return 0.5 + 0.5 * math.tanh(excess - 1)


class NotLearned(XaivaError):
    """The camera has no bank."""


class BrokenBank(XaivaError):
    """The camera's bank cannot be used."""


class BankStore:
    """The banks of all cameras: `<camera>.npz` in one folder. `model` is the SHA-256 of the network they must be of."""

    def __init__(self, folder: Path, model: str) -> None:
        self._folder = folder
        self._model = model
        self._unusable: dict[str, tuple[tuple[int, ...] | None, str]] = {}  # by camera, with the file it was found in

    def save(self, camera: str, bank: MemoryBank) -> None:
        """Keep a camera's bank, in place of an older one. Raises XaivaError when it cannot be written."""
        metadata = {
            "place": asdict(bank.place),
            "whole": asdict(bank.whole),
            "model": bank.model,
            "version": BANK_VERSION,
        }
        metadata |= {"frames": bank.frames, "seconds": bank.seconds, "learned": bank.learned}
        arrays: dict[str, NDArray[Any]] = {
            "said": np.frombuffer(json.dumps(metadata).encode(), np.uint8),
            "mean": bank.mean,
            "spread": bank.spread,
            "patches": bank.patches.astype(np.float16),
        }
        arrays["sha256"] = np.frombuffer(_digest(arrays), np.uint8)
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        path = self._path(camera)
        try:
            write_atomic(path, file.getvalue())
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise XaivaError(f"{path}", f"it cannot be written: {why}", write_remedy(error)) from error

    def load(self, camera: str) -> MemoryBank:
        """The camera's bank. Raises NotLearned, and BrokenBank saying why."""
        path = self._path(camera)
        remedy = f"learn again: xaiva camera learn {camera}"
        try:
            raw = read_regular(path)
        except FileNotFoundError:
            raise NotLearned(f"Camera {camera}", "not learned yet", f"xaiva camera learn {camera}") from None
        except OSError as error:
            raise BrokenBank(f"{path}", f"it cannot be read: {error.strerror}", remedy) from error
        try:
            bank = _parse_bank(raw)
        except Exception as error:  # a byte of a zip file that says something else makes its readers raise anything
            raise BrokenBank(f"{path}", "the file is damaged", remedy) from error
        if bank is None:
            raise BrokenBank(f"{path}", f"it is of another version; this xaiva reads {BANK_VERSION}", remedy)
        if bank.model != self._model:
            raise BrokenBank(f"{path}", "it was learned with a different network than this version uses", remedy)
        return bank

    def why_unusable(self, camera: str) -> str:
        """Why the camera cannot be scored by a bank, as a sentence; empty when it can. Cheap until the file changes."""
        signature = _signature(self._path(camera))
        before, reason = self._unusable.get(camera, (None, ""))
        if signature is not None and signature == before:
            return reason
        try:
            self.load(camera)
            reason = ""
        except XaivaError as error:
            reason = f"{error.why}; {error.remedy}"
        self._unusable[camera] = (signature, reason)
        return reason

    def drop(self, camera: str) -> None:
        """Forget a camera's bank; nothing happens when there is none."""
        self._path(camera).unlink(missing_ok=True)

    def _path(self, camera: str) -> Path:
        return self._folder / f"{camera}.npz"


def _signature(path: Path) -> tuple[int, ...] | None:
    """Changes whenever the file does; None when there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _parse_bank(raw: bytes) -> MemoryBank | None:
    """A file's bank; None when it is of another version. Raises what NumPy does, and ValueError for a wrong digest."""
    with np.load(io.BytesIO(raw), allow_pickle=False) as file:
        arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
    digest = arrays.pop("sha256").tobytes()
    metadata = json.loads(arrays["said"].tobytes())
    if metadata.pop("version") != BANK_VERSION:
        return None
    if digest != _digest(arrays):
        raise ValueError("its digest is another one")
    place, whole = DistanceLimit(**metadata.pop("place")), DistanceLimit(**metadata.pop("whole"))
    patches = arrays["patches"].astype(np.float32)
    return MemoryBank(
        mean=arrays["mean"], spread=arrays["spread"], patches=patches, place=place, whole=whole, **metadata
    )


def _digest(arrays: dict[str, NDArray[Any]]) -> bytes:
    """SHA-256 over names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        digest.update(values.tobytes())
    return digest.digest()
