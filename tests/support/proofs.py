"""Proofs that take minutes: what each depends on, and whether that changed since it last passed in full here.

`make test` does less of them, `make test-all` does all, and `make test-all PROOFS="kills media"` does those in full.
`python -m tests.support.proofs` prints those whose inputs changed, which continuous integration runs in full.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.cache import cache

ROOT = Path(__file__).parents[2]
GOOD_FOR = 7 * 86400.0  # seconds; what lies outside this checkout (engine, system packages) changes, too


@dataclass(frozen=True)
class Proof:
    """A long proof. Its outcome depends on `inputs`, files and folders; without `usual` it is left out."""

    full: str
    usual: str
    inputs: tuple[str, ...]


PROOFS = {
    "media": Proof(
        full="FFmpeg and OpenCV are compiled with no network, and the image is used",
        usual="",
        inputs=("docker", "core/images", "core/artifacts", "core/presets", "tests/images"),
    ),
    "carry": Proof(
        full="a pack is cut off at 20 points on each file system; 20,000 files on exFAT; 1,000 hostile shipments",
        usual="at two points; 2,000 files; 50 shipments",
        inputs=("core/carry", "tests/carry", "tests/support/media.py", "tests/support/cut_pack.py"),
    ),
    "kills": Proof(
        full="the event logger is killed 200 times on each database",
        usual="100 times",
        inputs=("core/inference/database", "core/inference/events", "tests/events"),
    ),
    "index": Proof(
        full="a rebuild of an index is killed 200 times",
        usual="40 times",
        inputs=(
            "core/inference/inspection",
            "core/inference/storage",
            "core/inference/generations.py",
            "tests/inspection",
        ),
    ),
    "requests": Proof(
        full="requests drawn at random from the OpenAPI document, for 35 s",
        usual="each edge of each value, and three drawn at random",
        inputs=("core/inference/api", "core/api_schema", "core/inference/auth", "tests/api"),
    ),
    "soak": Proof(
        full="cameras come and go for 20 s",
        usual="10 s",
        inputs=("core/inference/cameras", "core/inference/service.py", "benchmarks/soak.py"),
    ),
}


def full(name: str) -> bool:
    """Whether this run does all of that proof."""
    requested = os.environ.get("XAIVA_TEST_ALL", "").split()
    return name in requested or "all" in requested


def left_out(name: str) -> bool:
    """Whether this run does nothing of that proof."""
    return not full(name) and not PROOFS[name].usual


def note_passed(name: str) -> None:
    """Remember that the proof passed in full on what its inputs are now."""
    _stamp(name).touch()


def changed() -> Iterator[str]:
    """The proofs that have not passed in full on their present inputs, or not lately."""
    for name in PROOFS:
        try:
            age = time.time() - _stamp(name).stat().st_mtime
        except FileNotFoundError:
            yield name
        else:
            if age > GOOD_FOR:
                yield name


def _stamp(name: str) -> Path:
    folder = cache() / "proofs"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}-{_hash(PROOFS[name].inputs)}"


def _hash(globs: tuple[str, ...]) -> str:
    words = [
        "git",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        *(f":(glob){g}" for g in globs),
    ]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, check=True).stdout
    digest = hashlib.sha256()
    for name in sorted(filter(None, listed.split(b"\0"))):
        path = ROOT / os.fsdecode(name)
        if path.is_file():
            digest.update(name + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    print(*changed())
