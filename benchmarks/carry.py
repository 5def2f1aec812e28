"""How fast a medium is written and checked, compared with `cp` + `sync` and with `sha256sum` on all cores.

Each pair runs in turn on the same medium, an exFAT one behind FUSE and a folder. Needs root for the exFAT medium. The
check reads the medium itself; `sha256sum` gets emptied memory, too. Scratch space: XAIVA_BENCH_DIR, else the machine's.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.artifacts import Row
from core.carry.medium import Medium
from core.carry.shipment import blob_path
from core.carry.target import UNFINISHED
from tests.support.media import EXFAT, MEBI, medium_of

FILES = 8
FILE_BYTES = 64 * MEBI
RUNS = 5
WRITE_OVER_CP = 0.9
CHECK_OVER_SHA256SUM = 0.9


def main() -> int:
    """Measure, print the table, and return 1 when a budget is missed."""
    base = os.environ.get("XAIVA_BENCH_DIR")
    rows = []
    with tempfile.TemporaryDirectory(prefix="xaiva-bench-", dir=base) as scratch:
        sources = make_sources(Path(scratch) / "sources")
        for name, medium in media(Path(scratch)):
            rows += measure(name, medium, sources)
    for row in rows:
        print(f"{'pass' if row.passed else 'MISS'}  {row.name:<58} {row.value:>18}  budget {row.budget}")
    return 0 if all(row.passed for row in rows) else 1


def make_sources(folder: Path) -> dict[Path, str]:
    """File → SHA-256."""
    folder.mkdir()
    sources = {}
    for number in range(FILES):
        data = random.Random(number).randbytes(FILE_BYTES)
        path = folder / f"{number}"
        path.write_bytes(data)
        sources[path] = hashlib.sha256(data).hexdigest()
    return sources


def media(scratch: Path) -> Iterator[tuple[str, Path]]:
    """The media, one after the other."""
    folder = scratch / "folder"
    folder.mkdir()
    yield "folder", folder
    with medium_of(EXFAT, scratch / "stick", 4 * FILES * FILE_BYTES, scratch / "backing") as stick:
        yield "exFAT", stick.mount


def measure(name: str, medium: Path, sources: dict[Path, str]) -> list[Row]:
    """Write and check by turns, so that both sides meet the same machine."""
    writes, copies, checks, sums = [], [], [], []
    for _ in range(RUNS):
        warm(sources)
        with emptied(medium) as folder:
            copies.append(seconds(lambda folder=folder: copy_and_sync(folder, sources)))
            forget(folder)
            sums.append(seconds(lambda folder=folder: sum_on_all_cores(folder)))
        warm(sources)
        with emptied(medium) as folder, ExitStack() as stack:
            target = stack.enter_context(Medium(folder))
            writes.append(seconds(lambda target=target: write(target, sources)))
            checks.append(seconds(lambda target=target: check(target, sources)))
    return [
        ratio(f"{name}: write, over cp + sync", copies, writes, WRITE_OVER_CP),
        ratio(f"{name}: check, over sha256sum on all cores", sums, checks, CHECK_OVER_SHA256SUM),
    ]


def ratio(name: str, theirs: list[float], ours: list[float], budget: float) -> Row:
    """How many times as fast as the other one, by the medians."""
    value = statistics.median(theirs) / statistics.median(ours)
    speed = FILES * FILE_BYTES / statistics.median(ours) / 1e6
    return Row(name, f"{value:.2f}x, {speed:.0f} MB/s", f">= {budget}x", value >= budget)


@contextmanager
def emptied(medium: Path) -> Iterator[Path]:
    """A new folder of the medium, removed afterwards."""
    folder = medium / "bench"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        os.sync()


def seconds(work: Callable[[], None]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def copy_and_sync(folder: Path, sources: dict[Path, str]) -> None:
    """What a person types."""
    subprocess.run(["cp", *sources, folder], check=True)
    subprocess.run(["sync", "--file-system", folder], check=True)


def sum_on_all_cores(folder: Path) -> None:
    """One `sha256sum` for each core."""
    names = "\0".join(os.fspath(path) for path in folder.iterdir()).encode()
    cores = str(len(os.sched_getaffinity(0)))
    command = ["xargs", "--null", "--max-procs", cores, "--max-args", "1", "sha256sum"]
    subprocess.run(command, input=names, check=True, stdout=subprocess.DEVNULL)


def forget(folder: Path) -> None:
    """Let memory forget the files, as the check does for itself."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("1")
    assert folder.is_dir()


def warm(sources: dict[Path, str]) -> None:
    """Let memory hold the sources, so that both sides are measured by how they write."""
    for path in sources:
        with path.open("rb") as file:
            while file.read(MEBI):
                pass


def write(target: Medium, sources: dict[Path, str]) -> None:
    """All files, durable."""
    for path, sha256 in sources.items():
        target.put(blob_path(sha256), FILE_BYTES, sha256, opener(path), lambda _: None)
    target.flush()
    target.sync()


def opener(path: Path) -> Callable[[int], object]:
    """Opens the source at an offset."""

    def open_at(offset: int) -> object:
        file = path.open("rb", buffering=0)
        file.seek(offset)
        return file

    return open_at


def check(target: Medium, sources: dict[Path, str]) -> None:
    """All files, from the medium."""
    blobs = {blob_path(sha256) + UNFINISHED: (sha256, FILE_BYTES) for sha256 in sources.values()}
    result = target.check(blobs, lambda _: None, lambda: False)
    assert not result.problems, result.problems
    assert result.from_medium, result.why_not
