"""How fast pictures come from a bucket, beside boto3 with ten threads in the same run.

    python -m benchmarks.storage

A real server (`rclone serve s3`) on this machine serves 300 objects of 300 kB and one of 100 MB. Both ways save all of
the small ones to new folders of the same disk, ten at a time and in turns, so that whatever else the machine does slows
both; the median of the ratios counts. Nothing is removed in between, because ext4 passes by the places of files that
were just removed, one by one, when it makes a new one. Elsewhere, the best of several runs counts. boto3 is installed
into a temporary folder, because nothing else here needs it; without an index it is left out, and nothing is compared.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import Cancelled
from core.inference.storage.bucket import Bucket
from core.inference.storage.fetch import Mirror
from core.progress import NullProgress
from tests.support.faulty_proxy import Fault, faulty_proxy
from tests.support.object_storage import KEY, SECRET, S3Server, rclone_s3

OBJECTS, SIZE, CONNECTIONS = 300, 300_000, 10
LARGE = 100_000_000  # bytes
RUNS = 5
PAIRS = 15
MOST_OF_BOTO3 = 0.5  # of its time
MOST_LARGE_SECONDS = 0.6
MOST_CANCEL_SECONDS = 1.0
BOTO3 = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
import boto3
from botocore.config import Config
endpoint, key, secret, connections = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=key, aws_secret_access_key=secret,
    region_name="us-east-1", config=Config(s3={"addressing_style": "path"}, max_pool_connections=int(connections)))
def run(folder):
    def fetch(name):
        with open(f"{folder}/{name}", "wb") as file:
            file.write(client.get_object(Bucket="small", Key=name)["Body"].read())
    os.makedirs(folder)
    begun = time.perf_counter()
    names = [each["Key"] for each in client.list_objects_v2(Bucket="small")["Contents"]]
    with ThreadPoolExecutor(int(connections)) as pool:
        list(pool.map(fetch, names))
    assert len(names) == 300
    return time.perf_counter() - begun
for line in sys.stdin:
    print(run(line.strip()), flush=True)
"""


def main() -> int:
    """Print the figures. Returns 1 if one misses its budget."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for bucket, count, size in (("small", OBJECTS, SIZE), ("large", 1, LARGE)):
            folder = work / "buckets" / bucket
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number:03}.jpg").write_bytes(os.urandom(size))
        with rclone_s3(work / "buckets") as server:
            return int(any([_small(server, work), _large(server, work), _cancel(server, work)]))


def _small(server: S3Server, work: Path) -> bool:
    bucket = Bucket(server.address("small"))
    ours, wholes, theirs = [], [], []
    with _boto3(server, work) as boto3:
        for number in range(PAIRS):
            seconds, whole = _run(bucket, work / "small" / str(number))
            ours.append(seconds)
            wholes.append(whole)
            if boto3:
                theirs.append(boto3(work / "saved" / str(number)))
    median = statistics.median(ours)
    print(f"  {OBJECTS} x {SIZE // 1000} kB, {CONNECTIONS} at a time: {median:.3f} s, {_rate(OBJECTS * SIZE, median)};")
    print(f"  {statistics.median(wholes):.3f} s until all is certain to be on the disk")
    print(f"  nothing new: {_best(bucket, work / 'kept', fresh=False)[0]:.3f} s")
    if not theirs:
        print("  boto3 cannot be installed here: nothing to compare with")
        return False
    ratio = statistics.median(our / their for our, their in zip(ours, theirs, strict=True))
    print(f"  boto3, {CONNECTIONS} threads: {statistics.median(theirs):.3f} s;")
    print(f"  ours takes {ratio:.2f} of it, at most {MOST_OF_BOTO3}")
    return ratio > MOST_OF_BOTO3


def _large(server: S3Server, work: Path) -> bool:
    seconds, whole = _best(Bucket(server.address("large")), work / "large", fresh=True)
    print(f"  100 MB: {seconds:.3f} s, {_rate(LARGE, seconds)}; {whole:.3f} s until it is certain to be on the disk;")
    print(f"  at most {MOST_LARGE_SECONDS} s")
    return seconds > MOST_LARGE_SECONDS


def _cancel(server: S3Server, work: Path) -> bool:
    """How long a cancel takes while all bodies stall."""

    class Progress(NullProgress):
        def __init__(self) -> None:
            self.stop = threading.Event()

        def cancelled(self) -> bool:
            return self.stop.is_set()

    progress = Progress()
    with faulty_proxy(server.port, Fault((".jpg",), OBJECTS, stall=50_000)) as proxy:
        bucket = Bucket(server.address("small", port=proxy.port))
        threading.Timer(1, progress.stop.set).start()
        begun = time.perf_counter()
        try:
            list(Mirror(bucket, work / "cancelled", CONNECTIONS).fetch("", progress, "fetch", "Fetch"))
        except Cancelled:
            seconds = time.perf_counter() - begun - 1
    print(f"  cancelled while all bodies stall: {seconds:.3f} s; at most {MOST_CANCEL_SECONDS} s")
    return seconds > MOST_CANCEL_SECONDS


def _best(bucket: Bucket, folder: Path, *, fresh: bool) -> tuple[float, float]:
    """Seconds of the best run, until the last object is there and until the pass has ended.

    `fresh`: each run has a folder of its own.
    """
    return min(_run(bucket, folder / str(number if fresh else 0)) for number in range(RUNS))


def _run(bucket: Bucket, folder: Path) -> tuple[float, float]:
    begun = last = time.perf_counter()
    for _ in Mirror(bucket, folder, CONNECTIONS).fetch("", NullProgress(), "fetch", "Fetch"):
        last = time.perf_counter()
    return last - begun, time.perf_counter() - begun


@contextmanager
def _boto3(server: S3Server, work: Path) -> Iterator[Callable[[Path], float] | None]:
    """Saves all objects into a new folder with boto3, and returns the seconds; None where it cannot be installed."""
    target = work / "boto3"
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(target), "boto3"]
    if subprocess.run(install, check=False).returncode:
        yield None
        return
    command = [sys.executable, "-c", BOTO3, server.endpoint, KEY, SECRET, str(CONNECTIONS)]
    environment = {**os.environ, "PYTHONPATH": str(target)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        lines, answers = process.stdin, process.stdout

        def run(folder: Path) -> float:
            print(folder, file=lines, flush=True)
            return float(answers.readline())

        yield run
        lines.close()


def _rate(size: int, seconds: float) -> str:
    return f"{size / seconds / 1e6:.0f} MB/s"


if __name__ == "__main__":
    sys.exit(main())
