"""How fast pictures come from a bucket, beside boto3 with ten threads in the same run.

    python -m benchmarks.storage

A real server (`rclone serve s3`) on this machine serves 300 objects of 300 kB and one of 100 MB. Each way saves all of
them to the same disk, ten at a time, and the best of several runs counts. boto3 is installed into a temporary folder,
because nothing else here needs it; without an index it is left out, and nothing is compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
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
MOST_OF_BOTO3 = 0.5  # of its time
MOST_LARGE_SECONDS = 0.6
MOST_CANCEL_SECONDS = 1.0
BOTO3 = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
import boto3
from botocore.config import Config
endpoint, key, secret, folder, runs, connections = sys.argv[1:7]
client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=key, aws_secret_access_key=secret,
    region_name="us-east-1", config=Config(s3={"addressing_style": "path"}, max_pool_connections=int(connections)))
def fetch(name):
    with open(f"{folder}/{name}", "wb") as file:
        file.write(client.get_object(Bucket="small", Key=name)["Body"].read())
def run():
    begun = time.perf_counter()
    names = [each["Key"] for each in client.list_objects_v2(Bucket="small")["Contents"]]
    with ThreadPoolExecutor(int(connections)) as pool:
        list(pool.map(fetch, names))
    assert len(names) == 300
    return time.perf_counter() - begun
print(json.dumps(min(run() for _ in range(int(runs)))))
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
    ours, whole = _best(bucket, work / "small", fresh=True)
    print(f"  {OBJECTS} x {SIZE // 1000} kB, {CONNECTIONS} at a time: {ours:.3f} s, {_rate(OBJECTS * SIZE, ours)};")
    print(f"  {whole:.3f} s until all is certain to be on the disk")
    print(f"  nothing new: {_best(bucket, work / 'kept', fresh=False)[0]:.3f} s")
    theirs = _boto3(server, work)
    if theirs is None:
        print("  boto3 cannot be installed here: nothing to compare with")
        return False
    print(
        f"  boto3, {CONNECTIONS} threads: {theirs:.3f} s; ours takes {ours / theirs:.2f} of it, at most {MOST_OF_BOTO3}"
    )
    return ours / theirs > MOST_OF_BOTO3


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
    seconds = []
    for number in range(RUNS):
        begun = last = time.perf_counter()
        mirror = Mirror(bucket, folder / str(number if fresh else 0), CONNECTIONS)
        for _ in mirror.fetch("", NullProgress(), "fetch", "Fetch"):
            last = time.perf_counter()
        seconds.append((last - begun, time.perf_counter() - begun))
    return min(seconds)


def _boto3(server: S3Server, work: Path) -> float | None:
    """Seconds of boto3's best run; None where it cannot be installed."""
    target, saved = work / "boto3", work / "saved"
    saved.mkdir()
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(target), "boto3"]
    if subprocess.run(install, check=False).returncode:
        return None
    words = [server.endpoint, KEY, SECRET, str(saved), str(RUNS), str(CONNECTIONS)]
    environment = {**os.environ, "PYTHONPATH": str(target)}
    done = subprocess.run(
        [sys.executable, "-c", BOTO3, *words], env=environment, check=True, capture_output=True, text=True
    )
    return float(json.loads(done.stdout))


def _rate(size: int, seconds: float) -> str:
    return f"{size / seconds / 1e6:.0f} MB/s"


if __name__ == "__main__":
    sys.exit(main())
