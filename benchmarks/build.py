"""What `xaiva build` costs on top of the same `docker buildx build` by hand: at most 3 %.

Both build the same preset without cache in the same engine, in pairs of which each begins with the other one, so that
neither has the warmer disk; the median of the pairs' ratios counts. How long our own runs were outside of buildx is
told beside it: that depends little on what else the machine does. The smoke test is no part of a build by hand and is
left out. Needs what the tests on real engines need.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.artifacts import lock_store
from core.images import build, buildx
from core.progress import NullProgress
from core.site import Site
from tests.images import support
from tests.support.engine import TestEngine, start_engine

NAME = "bench"
PAIRS = 5
SECONDS = 200.0  # no pair starts after this time, so that a busy machine runs fewer
LIMIT = 1.03
# Work that makes the build as long as a small real one; a shorter build gives no meaningful percentage.
WORK = "RUN for i in 1 2 3 4 5 6; do head -c 1500000000 /dev/zero | sha256sum; seq 20000; done\nWORKDIR /data"


def main() -> int:
    """Measure; returns 0 if the overhead is within its limit."""
    with start_engine() as engine, tempfile.TemporaryDirectory() as scratch:
        site = _site(Path(scratch), engine)
        options = {"no_cache": True, "smoke": False}
        _timed(
            lambda: build.run(site, NAME, options, NullProgress())
        )  # the first run loads the base image and the context
        ours: list[float] = []
        by_hand: list[float] = []
        turns: list[tuple[list[float], Callable[[], object]]] = [
            (by_hand, lambda: _by_hand(site, engine)),
            (ours, lambda: build.run(site, NAME, options, NullProgress())),
        ]
        inside: list[float] = []
        _time_buildx(inside)
        begun = time.monotonic()
        while len(ours) < PAIRS and (not ours or time.monotonic() - begun < SECONDS):
            for times, work in turns:
                times.append(_timed(work))
            turns.reverse()
    # Pairs, for both of a pair met the same machine: the minima of few long runs tell more of it than of the builds.
    ratio = statistics.median(mine / hand for mine, hand in zip(ours, by_hand, strict=True))
    verdict = "ok" if ratio <= LIMIT else "TOO SLOW"
    print(f"{len(ours)} pairs")
    print(f"docker buildx build by hand  {min(by_hand):8.2f} s   (median {statistics.median(by_hand):.2f} s)")
    print(f"xaiva build                  {min(ours):8.2f} s   (median {statistics.median(ours):.2f} s)")
    outside = min(whole - child for whole, child in zip(ours, inside, strict=True))
    print(f"  of it outside of buildx    {outside:8.2f} s")
    print(f"median ratio of pairs        {ratio:8.3f}     (at most {LIMIT})  {verdict}")
    return 0 if ratio <= LIMIT else 1


def _site(root: Path, engine: TestEngine) -> Site:
    for folder in ("presets", "artifacts", "docker"):
        (root / folder).mkdir()
    site = Site.open(root, engine.env)
    preset = support.preset_of(layers=[{"name": "common", "requirements": ["numpy<2"]}], inference_service=False)
    artifacts = support.Artifacts(site, NAME, preset)
    artifacts.add_debs(support.debs(engine), build=False)
    artifacts.add_base(engine)
    artifacts.add_layer("common", support.wheels("numpy<2"))
    artifacts.write()
    shipped = (Path(build.__file__).parents[2] / "docker/Dockerfile.j2").read_text()
    (site.docker / "Dockerfile.j2").write_text(shipped.replace("WORKDIR /data", WORK))
    return site


def _timed(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _time_buildx(seconds: list[float]) -> None:
    """Record how long each `docker buildx build` of xaiva takes from now on."""
    real = buildx.run_build

    def timed(*arguments: Any) -> buildx.BuildResult:
        started = time.monotonic()
        try:
            return real(*arguments)
        finally:
            seconds.append(time.monotonic() - started)

    pytest.MonkeyPatch().setattr(buildx, "run_build", timed)  # raises when it has another name


def _by_hand(site: Site, engine: TestEngine) -> None:
    """The command in the first comment of the rendered Dockerfile."""
    context = lock_store.artifacts_folder(site, NAME)
    words = ["docker", "buildx", "build", "--builder", "default", "--network", "none", "--pull=false", "--no-cache"]
    words += ["--file", str(context / "Dockerfile"), "--tag", "by-hand:latest", "--target", "runtime", str(context)]
    subprocess.run(words, env=engine.env, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
