"""A live picture in the terminal: bytes, CPU and how long a key waits, as kitty graphics, sixel and half blocks.

The picture is as noisy as a camera at night, so that nothing of it compresses away. The line of 64 kbit/s is the
thinnest that the console is made for.
"""

from __future__ import annotations

import statistics
import time

import psutil

from tests.tui.test_picture_terminal import PLACED, SIXEL, GraphicsTerminal

SECONDS = 12.0
THIN = 64_000  # bits a second
KEYS = "abcefghijkl"
BUDGETS = {  # per kind of terminal and line
    "% of a core": 8.0,
    "key to paint, p50 ms": 700.0,
    "share of a thin line, %": 75.0,
}


def main() -> int:
    """Print each figure; 1 when a budget is missed."""
    missed = 0
    for kind in ("kitty", "sixel", "none"):
        for bits in (0, THIN):
            for name, value in _measure(kind, bits).items():
                budget = BUDGETS.get(name)
                bad = budget is not None and value > budget
                missed += bad
                words = f" (budget {budget:g})" if budget is not None else ""
                head = "FAIL" if bad else "ok  " if budget is not None else "    "
                what = f"{'half blocks' if kind == 'none' else kind}, {bits or 'any'} bit/s, {name}"
                print(f"{head} {what}: {value:.1f}{words}")
    return 1 if missed else 0


def _measure(kind: str, bits: int) -> dict[str, float]:
    with GraphicsTerminal(kind, "live", "noisy", bits_per_second=bits) as session:
        time.sleep(SECONDS / 2)  # it finds out what the line carries
        process = psutil.Process(session.process.pid)
        begun, sent, spent = time.monotonic(), session.count, sum(process.cpu_times()[:2])
        shown = len(PLACED.findall(session.sent)) + len(SIXEL.findall(session.sent))
        time.sleep(SECONDS)
        took = time.monotonic() - begun
        rate = (session.count - sent) / took
        figures = {
            "B/s": rate,
            "% of a core": (sum(process.cpu_times()[:2]) - spent) / took * 100,
            "pictures a second": (len(PLACED.findall(session.sent)) + len(SIXEL.findall(session.sent)) - shown) / took,
        }
        if bits:
            figures["share of a thin line, %"] = rate * 8 / bits * 100
        waits = []
        for key in KEYS:
            pressed = time.monotonic()
            session.press(key)
            session.wait_for(f"key {key}", 20)
            waits.append(time.monotonic() - pressed)
        figures["key to paint, p50 ms"] = statistics.median(waits) * 1e3
        figures["key to paint, longest ms"] = max(waits) * 1e3
    if kind == "none":
        del figures["pictures a second"]
    return figures


if __name__ == "__main__":
    raise SystemExit(main())
