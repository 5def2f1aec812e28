"""A camera's memory bank (PatchCore): the features of normal pictures, the score of a picture, and the bank's file."""

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

from core.errors import XaivaError, os_reason
from core.files import read_regular, write_atomic, write_remedy
from core.inference.models.features import Features
from core.memory_bank_format import BANK_VERSION

WORST_PATCHES = 3  # patches whose mean distance counts: a single one is noise, a small object covers more

Values = NDArray[np.float32]


@dataclass(frozen=True)
class DistanceLimit:
    """Distances of normal pictures to the bank."""

    typical: float  # the median
    limit: float  # where normal ends

    def excess(self, distance: float) -> float:
        """0 for a typical distance, 1 at the limit."""
        return (distance - self.typical) / (self.limit - self.typical)


@dataclass(frozen=True)
class MemoryBank:
    """A coreset of normal patches, and the limits of their distances."""

    mean: Values  # of each channel
    spread: Values  # standard deviation of each channel
    patches: Values  # n x channels, standardised
    place: DistanceLimit  # of the WORST_PATCHES of a picture
    whole: DistanceLimit | None  # of all patches of a picture; None: only the worst place counts
    model: str  # SHA-256 of the network
    frames: int
    seconds: float  # of footage
    learned: float  # Unix time

    def standardise(self, features: Features) -> Values:
        """A picture's features, standardised as `patches` are."""
        standardised: Values = (features - self.mean) / self.spread
        return standardised

    def score(self, nearest: Values) -> float:
        """0 to 1, from the distance of each patch to the nearest one of the bank; normal ends at 0.5."""
        return self.score_distances(*picture_distances(nearest))

    def score_distances(self, place: float, whole: float) -> float:
        """0 to 1, from the distances of a picture's worst place and of the whole picture."""
        excess = self.place.excess(place)
        return score_from_excess(excess if self.whole is None else max(excess, self.whole.excess(whole)))

    def place_scores(self, nearest: Values) -> Values:
        """The score of each patch by itself, from the same distances."""
        excess = (nearest - self.place.typical) / (self.place.limit - self.place.typical)
        scores: Values = (0.5 + 0.5 * np.tanh(excess - 1)).astype(np.float32)
        return scores


def picture_distances(nearest: Values) -> tuple[float, float]:
    """The distance of a picture's worst place, and of the whole picture, from those of its patches."""
    return float(np.partition(nearest, -WORST_PATCHES)[-WORST_PATCHES:].mean()), float(nearest.mean())


def score_from_excess(excess: float) -> float:
    """Between 0 and 1: 0.12 for a typical distance, 0.5 at the limit, 0.88 as far beyond it again."""
    return 0.5 + 0.5 * math.tanh(excess - 1)


def excess_from_score(score: float) -> float:
    """The opposite of `score_from_excess`, to 19 limits at most: from there on, scores are 1."""
    return 1 + math.atanh(2 * min(score, 1 - 1e-16) - 1)


class NotLearned(XaivaError):
    """The camera has no memory bank."""


class BrokenBank(XaivaError):
    """The camera's memory bank cannot be used."""


class BankStore:
    """The banks of all cameras: `<camera>.npz` in one folder. `model` is the SHA-256 of the network they must match."""

    def __init__(self, folder: Path, model: str) -> None:
        self._folder = folder
        self._model = model
        self._unusable: dict[
            str, tuple[tuple[int, ...] | None, str]
        ] = {}  # by camera: signature of the file, and reason

    def save(self, camera: str, bank: MemoryBank) -> None:
        """Write a camera's bank, replacing an older one. Raises XaivaError when it cannot be written."""
        path = self._path(camera)
        try:
            write_atomic(path, encode_bank(bank))
        except OSError as error:
            why = os_reason(error)
            raise XaivaError(f"{path}", f"it cannot be written: {why}", write_remedy(error)) from error

    def load(self, camera: str) -> MemoryBank:
        """The camera's bank. Raises NotLearned, or BrokenBank with the reason."""
        path = self._path(camera)
        remedy = f"learn again: xaiva camera learn {camera}"
        try:
            raw = read_regular(path)
        except FileNotFoundError:
            raise NotLearned(f"Camera {camera}", "not learned yet", f"xaiva camera learn {camera}") from None
        except OSError as error:
            raise BrokenBank(f"{path}", f"it cannot be read: {os_reason(error)}", remedy) from error
        try:
            bank = decode_bank(raw)
        except Exception as error:  # readers of damaged zip files raise anything
            raise BrokenBank(f"{path}", "the file is damaged", remedy) from error
        if bank is None:
            raise BrokenBank(f"{path}", f"it is of another version; this xaiva reads {BANK_VERSION}", remedy)
        if bank.model != self._model:
            raise BrokenBank(f"{path}", "it was learned with a different network than this version uses", remedy)
        return bank

    def why_unusable(self, camera: str) -> str:
        """Why the bank cannot be used, as a sentence; empty when it can. Cheap until the file changes."""
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
        """Delete a camera's bank, if there is one."""
        self._path(camera).unlink(missing_ok=True)

    def _path(self, camera: str) -> Path:
        return self._folder / f"{camera}.npz"


def _signature(path: Path) -> tuple[int, ...] | None:
    """A value that changes whenever the file does; None without a file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def encode_bank(bank: MemoryBank) -> bytes:
    """The bank as a file."""
    metadata: dict[str, Any] = {
        "place": asdict(bank.place),
        "whole": None if bank.whole is None else asdict(bank.whole),
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
    return file.getvalue()


def decode_bank(raw: bytes) -> MemoryBank | None:
    """Parse a file; None for another version. Raises NumPy's errors, and ValueError for a wrong digest."""
    with np.load(io.BytesIO(raw), allow_pickle=False) as file:
        arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
    digest = arrays.pop("sha256").tobytes()
    metadata = json.loads(arrays["said"].tobytes())
    if metadata.pop("version") != BANK_VERSION:
        return None
    if digest != _digest(arrays):
        raise ValueError("its digest is another one")
    place, whole = DistanceLimit(**metadata.pop("place")), metadata.pop("whole")
    patches = arrays["patches"].astype(np.float32)
    return MemoryBank(
        mean=arrays["mean"],
        spread=arrays["spread"],
        patches=patches,
        place=place,
        whole=None if whole is None else DistanceLimit(**whole),
        **metadata,
    )


def _digest(arrays: dict[str, NDArray[Any]]) -> bytes:
    """SHA-256 over the names, types, shapes and values of all arrays."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        digest.update(values.tobytes())
    return digest.digest()
