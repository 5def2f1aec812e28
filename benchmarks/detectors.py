"""How well each detector finds anomalies composed into real video, and what it costs.

    python -m benchmarks.detectors [VIDEO ...]

The street is the Debian package opencv-doc's vtest.avi: it was looked at when the memory detector was made. A VIDEO of
another fixed camera, which was not, says what the detectors are worth elsewhere. One part of a video is learned,
another is the normal footage, and is composed into; twice. A kind's AUROC is the chance that a picture with the anomaly
scores higher than one without; beside it, the share of its pictures at or above the default threshold of 0.5.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from core.api_schema import Detection
from core.inference.models import fit_bank
from core.inference.models.camera_product_banks import ProductBanks
from core.inference.models.detector import Detector, Sample
from core.inference.models.execution_providers import select_provider
from core.inference.models.features import PatchFeatures, network_sha256
from core.inference.models.memory_bank import BankStore
from core.inference.models.motion_detector import MotionDetector
from core.inference.models.object_detector import ObjectDetector
from core.inference.models.patchcore import PatchCoreDetector
from core.inference.settings import ServiceSettings
from tests.support.anomalies import KINDS, Composer
from tests.support.street import FRAME, LAWN, PACKAGE, Rgb, find, pictures_of, scaled, street

EPISODE, BEGIN = 50, 15  # pictures of one episode, and the first with the anomaly: 3 s of calm, 7 s of anomaly
EPISODES = 3  # per kind and fold, each at another place and time
CAMERA = "measured"
NO_PRODUCTS = ProductBanks(ServiceSettings(data=Path("/nonexistent")))
LOWEST = 0.95  # mean AUROC of the memory detector over what a single picture can show
NOT_IN_ONE_PICTURE = ("running", "frozen picture")

Seconds = tuple[float, float]
Results = dict[str, dict[str, "Result"]]  # by detector and kind


@dataclass(frozen=True)
class Footage:
    """A fixed camera's video. `folds`: the seconds that are learned, and those that are looked at. `real`: seconds with
    an anomaly that nobody composed."""

    video: Path
    folds: Sequence[tuple[Seconds, Seconds]]
    real: dict[str, Seconds] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """One kind in one fold: scores with it and without it."""

    calm: NDArray[np.float64]
    odd: NDArray[np.float64]

    @property
    def auroc(self) -> float:
        """AUROC: the probability that an anomalous picture scores higher than a normal one; ties count half."""
        wins = (self.odd[:, None] > self.calm[None, :]) + 0.5 * (self.odd[:, None] == self.calm[None, :])
        return float(wins.mean())

    @property
    def found(self) -> float:
        """Fraction of the anomalous pictures at or above the default threshold."""
        return float((self.odd >= Detection().threshold).mean())


def main(videos: Sequence[str] = ()) -> int:
    """Print the tables. Returns 1 if the memory detector is worse than its recorded quality, 2 without the video."""
    path = find("vtest.avi")
    if path is None:
        print(f"the street video is missing: install the Debian package {PACKAGE}")
        return 2
    folds = (((0.0, 38.0), (38.0, 50.0)), ((18.0, 50.0), (0.0, 18.0)))
    results = _measure(Footage(path, folds, {"person on the lawn (real)": LAWN}))
    for video in videos:
        _measure(_halved(Path(video)))
    _print_costs()
    kinds = [kind for kind in results[0]["memory"] if kind not in NOT_IN_ONE_PICTURE]
    mean = float(np.mean([_mean(results, "memory", kind, "auroc") for kind in kinds]))
    print(f"memory, mean AUROC over what one picture can show: {mean:.3f} (at least {LOWEST})")
    return int(mean < LOWEST)


def _halved(video: Path) -> Footage:
    """Each half of a video is learned once, and the other looked at."""
    with av.open(str(video)) as container:
        end = (container.duration or 0) / av.time_base
    if end < 2 * EPISODE * FRAME:
        raise SystemExit(f"{video} is shorter than the {2 * EPISODE * FRAME:g} s that two episodes need")
    halves = ((0.0, end / 2), (end / 2, end))
    return Footage(video, (halves, halves[::-1]))


def _measure(footage: Footage) -> list[Results]:
    """Print and return the results of every fold."""
    print(f"== {footage.video.name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        store = BankStore(Path(folder), network_sha256())
        results = [_fold(footage, learned, scored, store) for learned, scored in footage.folds]
    _print_table(results)
    return results


def _fold(footage: Footage, learned: Seconds, scored: Seconds, store: BankStore) -> Results:
    network = PatchFeatures(select_provider("cpu"))
    network.load()
    pictures = scaled(pictures_of(footage.video, *learned), network.width, network.height, "rgb24")
    features = [network.extract([picture])[0].astype(np.float16) for picture in pictures]
    began = time.perf_counter()
    store.save(CAMERA, fit_bank.fit_bank(features, network, len(features) * FRAME))
    print(f"{len(features)} pictures of {learned} s: bank built in {time.perf_counter() - began:.1f} s", flush=True)
    frames = pictures_of(footage.video, *scored)
    detectors: dict[str, Callable[[], Detector]] = {
        "motion": MotionDetector,
        "memory": lambda: PatchCoreDetector(network, store, NO_PRODUCTS),
    }
    calm = {name: _scores(make(), frames) for name, make in detectors.items()}
    results: Results = {name: {} for name in detectors}
    for kind, episodes in _shown(footage, frames):
        for name, make in detectors.items():
            odd = [_scores(make(), episode) for episode in episodes]
            results[name][kind] = Result(calm[name], np.concatenate(odd))
    return results


def _shown(footage: Footage, frames: Sequence[Rgb]) -> Iterator[tuple[str, list[list[Rgb]]]]:
    """Every kind with its episodes, one after another: a kind's pictures take 200 MB."""
    for kind, compose in KINDS.items():
        yield kind, _episodes(frames, compose)
    for kind, (first, last) in footage.real.items():
        yield kind, [pictures_of(footage.video, first - BEGIN * FRAME, last)]


def _episodes(frames: Sequence[Rgb], compose: Composer) -> list[list[Rgb]]:
    """One kind's episodes, spread over the footage."""
    rng = np.random.default_rng(1)
    starts = np.linspace(0, len(frames) - EPISODE, EPISODES).astype(int)
    return [compose(frames[start : start + EPISODE], BEGIN, rng) for start in starts]


def _scores(detector: Detector, frames: Sequence[Rgb]) -> NDArray[np.float64]:
    """The scores from `BEGIN` on."""
    small = scaled(frames, detector.width, detector.height, detector.pixel_format)
    scores = [detector.score([Sample(CAMERA, picture, at * FRAME)])[0] for at, picture in enumerate(small)]
    return np.array(scores[BEGIN:])


def _mean(results: Sequence[Results], detector: str, kind: str, figure: str) -> float:
    return float(np.mean([getattr(fold[detector][kind], figure) for fold in results]))


def _print_table(results: Sequence[Results]) -> None:
    names = list(results[0])
    print(f"| anomaly | {' | '.join(names)} |")
    print(f"| --- |{' --- |' * len(names)}")
    for kind in results[0][names[0]]:
        cells = [
            f"{_mean(results, name, kind, 'auroc'):.2f}, {_mean(results, name, kind, 'found'):.0%}" for name in names
        ]
        print(f"| {kind} | {' | '.join(cells)} |")
    for name in names:
        calm = np.concatenate([next(iter(fold[name].values())).calm for fold in results])
        print(f"{name}: {(calm >= Detection().threshold).mean():.1%} of {len(calm)} normal pictures at 0.5 or above")


def _print_costs() -> None:
    """Milliseconds of CPU per picture, alone and in a batch of eight."""
    frames = street(0, 2)
    finder = ObjectDetector(select_provider("cpu"))
    finder.load()
    network = PatchFeatures(select_provider("cpu"))
    network.load()
    bank = np.random.default_rng(0).normal(size=(1500, network.channels)).astype(np.float32)
    small = scaled(frames, network.width, network.height, "rgb24")
    features = network.extract(small[:1])[0]
    motion = MotionDetector()
    grey = scaled(frames, motion.width, motion.height, motion.pixel_format)
    costs = {
        "motion": _cost(lambda: motion.score([Sample(CAMERA, grey[0], 0.0)])),
        "memory, the network": _cost(lambda: network.extract(small[:1])),
        "memory, the network, 8 at once": _cost(lambda: network.extract(small[:8])) / 8,
        "memory, the bank": _cost(lambda: network.distances(features, bank)),
        "persons and vehicles": _cost(lambda: finder.detect(frames[0])),
    }
    for name, cost in costs.items():
        print(f"{name}: {cost:.2f} ms of CPU a picture")


def _cost(work: Callable[[], object], times: int = 20) -> float:
    work()
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return 1000 * min(taken)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
