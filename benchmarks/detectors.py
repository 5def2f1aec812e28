"""How well each detector tells anomalies composed into real street video from the street as it is, and what it costs.

Two folds of the Debian package opencv-doc's vtest.avi: one part is learned, the other is the normal footage, and is
composed into. A kind's AUROC is the chance that a picture with the anomaly scores higher than one without; `found` is
the share of its pictures at or above the default threshold of 0.5, `false` that of the normal ones.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.inference.models import normal
from core.inference.models.bank import BankStore
from core.inference.models.detector import Detector, Sample
from core.inference.models.features import PatchFeatures, network_sha256
from core.inference.models.memory import MemoryDetector
from core.inference.models.motion import MotionDetector
from core.inference.models.persons import FactFinder
from core.inference.models.providers import choose
from core.inference.schemas import Detection
from tests.support.anomalies import KINDS, Composer
from tests.support.street import FRAME, LAWN, PACKAGE, Rgb, find, scaled, street

FOLDS = (((0.0, 38.0), (38.0, 50.0)), ((18.0, 50.0), (0.0, 18.0)))  # seconds: learned, and looked at
EPISODE, BEGIN = 50, 15  # pictures of one episode, and the first with the anomaly: 3 s of calm, 7 s of anomaly
EPISODES = 3  # a kind and fold, each at another place and time
REAL = "person on the lawn (real)"
CAMERA = "street"
LOWEST = 0.95  # mean AUROC of the memory detector over what a single picture can show
NOT_IN_ONE_PICTURE = ("running", "frozen picture")


@dataclass(frozen=True)
class Result:
    """One kind in one fold: scores with it and without it."""

    calm: NDArray[np.float64]
    odd: NDArray[np.float64]

    @property
    def auroc(self) -> float:
        """The chance that an odd picture scores higher than a calm one; half of the draws count."""
        wins = (self.odd[:, None] > self.calm[None, :]) + 0.5 * (self.odd[:, None] == self.calm[None, :])
        return float(wins.mean())

    @property
    def found(self) -> float:
        """Share of the odd pictures at the default threshold or above."""
        return float((self.odd >= Detection().threshold).mean())


def main() -> int:
    """Print the tables; 1 when the memory detector is worse than it was measured to be, 2 without the video."""
    if find("vtest.avi") is None:
        print(f"the street video is missing: install the Debian package {PACKAGE}")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        results = [_fold(learned, seen, BankStore(Path(folder), network_sha256())) for learned, seen in FOLDS]
    _print_table(results)
    _print_costs()
    shown = [kind for kind in results[0]["memory"] if kind not in NOT_IN_ONE_PICTURE]
    mean = float(np.mean([_mean(results, "memory", kind, "auroc") for kind in shown]))
    print(f"memory, mean AUROC over what one picture can show: {mean:.3f} (at least {LOWEST})")
    return int(mean < LOWEST)


def _fold(learned: tuple[float, float], seen: tuple[float, float], store: BankStore) -> dict[str, dict[str, Result]]:
    """Results by detector and kind."""
    network = PatchFeatures(choose("cpu"))
    network.load()
    pictures = scaled(street(*learned), network.WIDTH, network.HEIGHT, "rgb24")
    kept = [network.of([picture])[0].astype(np.float16) for picture in pictures]
    began = time.perf_counter()
    store.save(CAMERA, normal.learn(kept, network, len(kept) * FRAME))
    print(f"{len(kept)} pictures of {learned} s: bank built in {time.perf_counter() - began:.1f} s", flush=True)
    frames = street(*seen)
    shown = {kind: _episodes(frames, compose) for kind, compose in KINDS.items()}
    shown[REAL] = [street(LAWN[0] - BEGIN * FRAME, LAWN[1])]
    detectors: dict[str, Callable[[], Detector]] = {
        "motion": MotionDetector,
        "memory": lambda: MemoryDetector(network, store),
    }
    results: dict[str, dict[str, Result]] = {}
    for name, make in detectors.items():
        calm = _scores(make(), frames)
        odd = {kind: [_scores(make(), one) for one in episodes] for kind, episodes in shown.items()}
        results[name] = {kind: Result(calm, np.concatenate(scores)) for kind, scores in odd.items()}
    return results


def _episodes(frames: Sequence[Rgb], compose: Composer) -> list[list[Rgb]]:
    """One kind's episodes, spread over the footage."""
    rng = np.random.default_rng(1)
    starts = np.linspace(0, len(frames) - EPISODE, EPISODES).astype(int)
    return [compose(frames[start : start + EPISODE], BEGIN, rng) for start in starts]


def _scores(detector: Detector, frames: Sequence[Rgb]) -> NDArray[np.float64]:
    """The scores from `BEGIN` on."""
    small = scaled(frames, detector.width, detector.height, detector.pixel_format)
    scores = [detector.score([Sample(CAMERA, one, at * FRAME)])[0] for at, one in enumerate(small)]
    return np.array(scores[BEGIN:])


def _mean(results: list[dict[str, dict[str, Result]]], detector: str, kind: str, figure: str) -> float:
    return float(np.mean([getattr(fold[detector][kind], figure) for fold in results]))


def _print_table(results: list[dict[str, dict[str, Result]]]) -> None:
    names = list(results[0])
    heads = " | ".join(f"{name} AUROC | found" for name in names)
    print(f"| anomaly | {heads} |")
    print(f"| --- |{' --- | --- |' * len(names)}")
    for kind in results[0][names[0]]:
        cells = [
            f"{_mean(results, name, kind, 'auroc'):.2f} | {_mean(results, name, kind, 'found'):.0%}" for name in names
        ]
        print(f"| {kind} | {' | '.join(cells)} |")
    for name in names:
        calm = np.concatenate([next(iter(fold[name].values())).calm for fold in results])
        print(f"{name}: {(calm >= Detection().threshold).mean():.1%} of {len(calm)} normal pictures at 0.5 or above")


def _print_costs() -> None:
    """Milliseconds of CPU a picture, alone and in a batch of eight."""
    frames = street(0, 2)
    finder = FactFinder(choose("cpu"))
    finder.load()
    network = PatchFeatures(choose("cpu"))
    network.load()
    bank = np.random.default_rng(0).normal(size=(1500, network.CHANNELS)).astype(np.float32)
    small = scaled(frames, network.WIDTH, network.HEIGHT, "rgb24")
    features = network.of(small[:1])[0]
    motion = MotionDetector()
    grey = scaled(frames, motion.width, motion.height, motion.pixel_format)
    costs = {
        "motion": _cost(lambda: motion.score([Sample(CAMERA, grey[0], 0.0)])),
        "memory, the network": _cost(lambda: network.of(small[:1])),
        "memory, the network, 8 at once": _cost(lambda: network.of(small[:8])) / 8,
        "memory, the bank": _cost(lambda: network.distances(features, bank)),
        "persons and vehicles": _cost(lambda: finder.find(frames[0])),
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
    raise SystemExit(main())
