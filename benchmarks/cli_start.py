"""The time of `xaiva --help`, compared with an interpreter that only imports click."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

BUDGET_SECONDS = 0.3
ROUNDS = 9


def main() -> int:
    """Print the medians; returns 1 if the help misses its budget."""
    floor = _median("import click")
    took = _median("import sys; from core.cli.app import run; sys.exit(run(['--help']))")
    print(f"python -c 'import click'  {floor * 1000:5.0f} ms")
    print(f"xaiva --help              {took * 1000:5.0f} ms   budget {BUDGET_SECONDS * 1000:.0f} ms")
    return int(took > BUDGET_SECONDS)


def _median(code: str) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)
