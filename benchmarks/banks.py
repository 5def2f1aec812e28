"""Rebuilding the memory banks of ten products with 65 pictures of 1920 x 1440 each, and once more with a few new ones.

The pictures are those of the benchmark of indexes. The second rebuild has three new pictures in one product.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.indexes import NAMES, make_pictures
from core.inference.inspection import bank_job
from core.inference.jobs.context import JobContext
from core.inference.settings import ServiceSettings
from core.progress import NullProgress

MOST_SECONDS = 60.0  # of the first rebuild, on two cores


def main() -> int:
    """Print the times; 1 when the budget is missed."""
    with TemporaryDirectory() as folder:
        data = Path(folder)
        size = make_pictures(data / "images")
        settings = ServiceSettings(data=data, onnx_provider="cpu")
        print(f"     650 pictures, {size / 1e6:.0f} MB; load {os.getloadavg()[0]:.1f}")
        product = data / "images" / "normal" / NAMES[0]
        late = sorted(product.iterdir())[:3]
        for path in late:
            path.rename(data / path.name)
        first = _rebuild(settings, "all are new")
        for path in late:
            (data / path.name).rename(path)
        _rebuild(settings, "three are new")
    return int(first > MOST_SECONDS)


def _rebuild(settings: ServiceSettings, what: str) -> float:
    begun, begun_cpu = time.monotonic(), time.process_time()
    result = bank_job.run(JobContext(settings), "", {}, NullProgress())
    seconds, cpu = time.monotonic() - begun, time.process_time() - begun_cpu
    products = result["products"]
    assert isinstance(products, dict)
    assert result["failed"] == 0, result
    built = sum(bool(product["published"]) for product in products.values() if isinstance(product, dict))
    print(f"     {what}: {built} banks in {seconds:.1f} s, {cpu:.1f} s of the processor")
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
