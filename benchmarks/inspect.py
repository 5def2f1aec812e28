"""How long an inspection takes over HTTP, and how many are done a second: one caller, and eight.

    python -m benchmarks.inspect [SECONDS]

The service, its callers and the pictures (1920x1440 JPEG) are on this machine. Beside the whole answer, the steps that
the service reports: decode, features and score, neighbours. The baseline is the same work without the service: decode,
score and embed in one thread, so that what the service adds can be seen.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import numpy as np

from core.inference.inspection.banks import BankShelf
from core.inference.inspection.encoder import ImageEncoder, find_encoder
from core.inference.inspection.pictures import decode
from core.inference.models.features import AveragedFeatures
from core.inference.models.product_bank import least_size
from core.inference.settings import ServiceSettings
from tests.api.serving import TOKEN, Running, served
from tests.support import until
from tests.support.inspected import build_bank, build_indexes, encoded, fill_storage
from tests.support.parts import plates

PRODUCT = "plate"
SIZE = (1920, 1440)
CALLERS = (1, 8)
SECONDS = 10.0
MOST = 3.0  # times the baseline, p50 of one caller: it also keeps the picture and the row, with fsync


def main(arguments: Sequence[str] = ()) -> int:
    """Print the figures. Returns 1 when one caller waits much longer than the work itself takes."""
    seconds = float(arguments[0]) if arguments else SECONDS
    pictures = [encoded(picture) for picture in plates(8, 5, size=SIZE)]
    print(f"{len(pictures)} pictures of {SIZE[0]}x{SIZE[1]}, {sum(map(len, pictures)) // len(pictures) >> 10} KiB each")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        settings = ServiceSettings(data=data, onnx_provider="cpu")
        fill_storage(data / "images", PRODUCT)
        build_bank(settings, PRODUCT)
        build_indexes(settings)
        baseline = _baseline(settings, pictures)
        print(f"the work itself: {baseline * 1e3:.0f} ms")
        with served(data, onnx_provider="cpu") as running:
            until(lambda: running.client().products.all().counted, bool)
            running.client().products.inspect(PRODUCT, pictures[0])  # loads the models
            medians = [_measure(running, pictures, callers, seconds) for callers in CALLERS]
    print(f"one caller, p50: {medians[0] / baseline:.2f} times the work itself (at most {MOST})")
    return int(medians[0] > MOST * baseline)


def _baseline(settings: ServiceSettings, pictures: list[bytes]) -> float:
    """The median seconds of decoding, scoring and embedding a picture."""
    network, encoder = AveragedFeatures(), ImageEncoder(find_encoder(settings))
    network.load()
    encoder.load()
    bank = BankShelf(settings).load(PRODUCT).content
    size = least_size(bank.facts.region, bank.facts.tiles, (network.width, network.height))

    def work(picture: bytes) -> None:
        pixels = decode(picture, at_least=size)
        bank.score(pixels, network)
        encoder.embed([pixels])

    taken = [_timed(lambda picture=picture: work(picture)) for _ in range(5) for picture in pictures]  # type: ignore[misc]
    network.close()
    encoder.close()
    return float(np.median(taken))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _measure(running: Running, pictures: list[bytes], callers: int, seconds: float) -> float:
    """Print what this many callers see; returns the median."""
    taken: list[float] = []
    steps: list[dict[str, float]] = []
    refused: list[int] = []
    until_ = time.perf_counter() + seconds

    def call(caller: int) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=running.url, headers=headers, timeout=60) as client:
            number = caller
            while time.perf_counter() < until_:
                began = time.perf_counter()
                answer = client.post("/inspect", params={"product": PRODUCT}, content=pictures[number % len(pictures)])
                if answer.status_code == 429:
                    refused.append(number)
                    continue
                assert answer.status_code == 200, answer.text
                taken.append(time.perf_counter() - began)
                steps.append(answer.json()["seconds"])
                number += 1

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(taken) / (time.perf_counter() - began)
    p50, p99 = np.percentile(taken, [50, 99])
    means = {name: float(np.mean([step.get(name, 0.0) for step in steps])) for name in steps[0]}
    print(f"{callers} caller{'s' if callers > 1 else ''}: p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms, ", end="")
    print(f"{rate:.1f} a second, {len(refused)} refused")
    print("  " + ", ".join(f"{name} {value * 1e3:.1f} ms" for name, value in means.items()))
    return float(p50)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
