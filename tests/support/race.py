"""A race hunter: threads that start together and are interrupted at random between any two lines of the code at test.

The interpreter switches threads only every few milliseconds; most races then need luck. Here every line of the
watched folder may give the processor away, by a seeded die, so that the same seed takes much the same turns.
"""

from __future__ import annotations

import faulthandler
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

SWITCH_SECONDS = 1e-5
CHANCE = 0.2  # of giving way before a line
SLEEP_CHANCE = 0.1  # of those: long enough for every other thread to have its turn
DEADLINE_SECONDS = 60.0


@contextmanager
def preempted(folder: Path, seed: int) -> Iterator[None]:
    """Threads that start inside give way at random before the lines of Python files in `folder`."""
    inside = str(folder)
    interval = sys.getswitchinterval()
    dice: dict[int, random.Random] = {}  # by thread

    def enter(frame: FrameType, _event: str, _: Any) -> Callable[..., Any] | None:
        if not frame.f_code.co_filename.startswith(inside):
            return None
        die = dice.setdefault(threading.get_ident(), random.Random(seed * 1000 + len(dice)))

        def line(_frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
            if event == "line" and die.random() < CHANCE:
                time.sleep(0.0005 if die.random() < SLEEP_CHANCE else 0)
            return line

        return line

    sys.setswitchinterval(SWITCH_SECONDS)
    threading.settrace(enter)
    try:
        yield
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
        sys.setswitchinterval(interval)


def together(count: int, work: Callable[[int], None]) -> None:
    """Run `work(number)` in `count` threads that start at the same moment; raises what the first to fail raised.

    Threads that do not end in time hold each other up: their stacks are printed.
    """
    errors: list[BaseException] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + DEADLINE_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        faulthandler.dump_traceback(all_threads=True)
        raise AssertionError("the threads wait for each other: their stacks are above")
    if errors:
        raise errors[0]
