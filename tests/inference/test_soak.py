"""The short form of `benchmarks/soak.py`: after some churn no thread and no file descriptor is left."""

from __future__ import annotations

import pytest

from benchmarks.soak import slope, soak
from tests.support import require, rtsp
from tests.support.proofs import full


def test_the_slope_of_memory() -> None:
    assert slope([(0.0, 100.0), (60.0, 103.0), (120.0, 106.0)]) == pytest.approx(3)
    assert slope([(0.0, 100.0), (1.0, 100.0)]) == 0
    assert slope([(5.0, 1.0)]) == 0


@pytest.mark.camera
@pytest.mark.slow
@pytest.mark.proof("soak")
def test_nothing_is_left_after_cameras_come_and_go() -> None:
    require(rtsp.available() and rtsp.has_ffmpeg(), "GStreamer's RTSP server and ffmpeg")
    result = soak(20 if full("soak") else 10)
    print(f"{result.slope:+.2f} MB a minute, {result.steps} changes, {result.events} events")
    assert result.went_live > 2
    assert result.events > 0
    assert result.clean, result
