"""Rebuilding an index of 650 pictures of 1920 x 1440, from a folder and from a bucket, and asking it.

The pictures are parts of ten photos of the Debian package opencv-doc, enlarged. A stage takes as long as at least one
thread was at work for it; beside that stands how long it takes alone on this machine.
"""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from core.inference.inspection import index_job
from core.inference.inspection.encoder import ImageEncoder, find_encoder
from core.inference.inspection.index_files import IndexEntry, index_facts, index_generations, write_index
from core.inference.inspection.indexes import IndexReader
from core.inference.inspection.pictures import decode
from core.inference.jobs.context import JobContext
from core.inference.settings import ServiceSettings
from core.progress import NullProgress
from tests.support.object_storage import ENVIRONMENT, rclone_s3

PHOTOS = Path("/usr/share/doc/opencv-doc/examples/data")
NAMES = ("aloeL", "board", "building", "fruits", "home", "leuvenA", "starry_night", "stuff", "baboon", "squirrel_cls")
PICTURES, SIZE = 65, (1920, 1440)  # of each photo
MOST_SECONDS = 30.0
MOST_RATIO = 1.15  # of the whole time to that of the slowest stage
QUERIES = 2000
LARGE = 10_000  # entries of the second index that is asked


def main() -> int:
    """Print each figure; 1 when a budget is missed."""
    with TemporaryDirectory() as folder:
        bucket = Path(folder) / "served" / "pictures"
        size = make_pictures(bucket)
        print(f"     {len(NAMES) * PICTURES} pictures, {size / 1e6:.0f} MB; load {os.getloadavg()[0]:.1f}")
        missed = _measure(Path(folder) / "from-folder", f"file://{bucket}", "folder")
        os.environ.update(ENVIRONMENT)
        with rclone_s3(Path(folder) / "served") as server:
            missed += _measure(Path(folder) / "from-bucket", server.url("pictures"), "bucket")
        _measure_stages(Path(folder), bucket)
        _measure_queries(Path(folder) / "from-folder")
    return 1 if missed else 0


def _measure(data: Path, storage: str, name: str) -> int:
    """A first and a second rebuild. Returns how many budgets were missed."""
    settings = ServiceSettings(data=data, storage_url=storage, onnx_provider="cpu")
    begun = time.monotonic()
    result = index_job.run(JobContext(settings), "normal", {}, NullProgress())
    total = time.monotonic() - begun
    assert result["pictures"] == len(NAMES) * PICTURES, result
    seconds = result["seconds"]
    assert isinstance(seconds, dict)
    slowest = max(float(str(value)) for value in seconds.values())
    ratio = total / slowest
    late, uneven = total > MOST_SECONDS, ratio > MOST_RATIO
    print(f"{'FAIL' if late else 'ok  '} {name}: {total:.1f} s (budget {MOST_SECONDS:g})")
    print(f"{'FAIL' if uneven else 'ok  '} {name}: {ratio:.2f} of the slowest stage (budget {MOST_RATIO:g}): {seconds}")
    begun = time.monotonic()
    again = index_job.run(JobContext(settings), "normal", {}, NullProgress())
    print(f"     {name}: second run {time.monotonic() - begun:.2f} s, {again['embedded']} embedded")
    return late + uneven


def _measure_stages(folder: Path, bucket: Path) -> None:
    """Decoding and embedding, each alone with all cores."""
    encoder = ImageEncoder(find_encoder(ServiceSettings(data=folder, onnx_provider="cpu")))
    encoder.load()
    files = sorted(bucket.rglob("*.jpg"))
    begun = time.monotonic()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        prepared = list(pool.map(lambda path: _prepare(encoder, path), files))
    decoded = time.monotonic()
    encoder.embed_prepared(prepared)
    print(f"     alone: decode {decoded - begun:.1f} s, embed {time.monotonic() - decoded:.1f} s")
    encoder.close()


def _prepare(encoder: ImageEncoder, path: Path) -> np.ndarray:
    return encoder.prepare(decode(path.read_bytes(), at_least=encoder.size))


def _measure_queries(data: Path) -> None:
    """The time of a search, in the index that was built and in a larger one."""
    settings = ServiceSettings(data=data)
    reader = IndexReader(settings, "normal")
    index = reader.current()
    assert index is not None
    _ask(reader, "650")
    vectors = np.random.default_rng(0).normal(size=(LARGE, index.encoder.dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    entries = [IndexEntry(f"{row}", "normal", "part", "", "") for row in range(LARGE)]
    generations = index_generations(settings, "normal")
    with generations.write() as folder:
        write_index(folder, entries, vectors)
        generations.publish(folder, index_facts(index.encoder, LARGE, 1.0))
    _ask(reader, f"{LARGE}")


def _ask(reader: IndexReader, name: str) -> None:
    index = reader.current()
    assert index is not None
    dimension = index.encoder.dimension
    queries = np.random.default_rng(1).normal(size=(QUERIES, dimension)).astype(np.float32)
    index.search(queries[0], 5)
    times = []
    for query in queries:
        begun = time.perf_counter()
        index = reader.current()  # looks whether there is a newer generation, as every inspection does
        assert index is not None
        index.search(query, 5)
        times.append(time.perf_counter() - begun)
    p99 = statistics.quantiles(times, n=100)[98]
    print(f"     query of {name} entries: p50 {statistics.median(times) * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms")


def make_pictures(bucket: Path) -> int:
    """Write the pictures as a storage has them. Returns their bytes."""
    random = np.random.default_rng(0)
    total = 0
    for name in NAMES:
        photo = Image.open(PHOTOS / f"{name}.jpg").convert("RGB")
        folder = bucket / "normal" / name
        folder.mkdir(parents=True)
        for number in range(PICTURES):
            scale = random.uniform(0.6, 0.95)
            width, height = photo.width * scale, photo.height * scale
            left, top = random.uniform(0, photo.width - width), random.uniform(0, photo.height - height)
            picture = photo.resize(SIZE, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
            path = folder / f"{number:03}.jpg"
            picture.save(path, quality=90)
            total += path.stat().st_size
    return total


if __name__ == "__main__":
    raise SystemExit(main())
