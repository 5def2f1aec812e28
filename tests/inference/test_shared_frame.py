"""One frame made into several pictures at once: its camera's detector scores it while people look at it."""

from __future__ import annotations

import threading

import av
import numpy as np

from core.inference.cameras.conversion import convert, encode_jpeg

THREADS, TIMES = 8, 60


def test_a_frame_is_converted_by_many_threads_at_once() -> None:
    pixels = np.random.default_rng(7).integers(0, 255, (360, 640, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
    begin = threading.Barrier(THREADS)
    done: list[int] = []

    def work(number: int) -> None:
        begin.wait()
        for turn in range(TIMES):
            width = 64 + 8 * ((number + turn) % 9)
            assert convert(frame, width, 48, "gray").shape == (48, width)
            assert encode_jpeg(frame).startswith(b"\xff\xd8")
        done.append(number)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == list(range(THREADS))
