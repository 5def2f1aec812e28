"""A first install from a medium, from `sh xaiva` to the console's first full frame, on a machine without a network.

The medium is a folder whose files are in the page cache, so that reading it takes next to nothing. A stick adds its
size, divided by its speed. The console, its wheels, the key and the signature are real.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.terminal import first_full_frame
from core.site import Site
from tests.support.checkout import checkout, fetch_wheels
from tests.support.console_medium import Box, Office, pack_console
from tests.support.pty_session import PtySession

RUNS = 3
BUDGET = 8.0  # seconds
PATIENCE = 120.0


def main() -> int:
    """Print the seconds of each run; returns 1 if the median misses the budget."""
    times = []
    with tempfile.TemporaryDirectory(prefix="xaiva-bench-") as temporary:
        folder = Path(temporary)
        office = Office.create(folder)
        fetch_wheels(checkout(folder / "checkout") / "wheelhouse")
        files = pack_console(folder / "medium", office, folder / "checkout", Site.open(folder))
        print(f"medium: {sum(file.size for file in files) / 1e6:.0f} MB", flush=True)
        for number in range(1, RUNS + 1):
            home = folder / f"home-{number}"
            home.mkdir()
            times.append(_first_frame(Box(home), folder / "medium", office.fingerprint))
            print(f"run {number}: {times[-1]:.1f} s", flush=True)
    median = statistics.median(times)
    print(f"{'ok  ' if median <= BUDGET else 'FAIL'} first screen after {median:.1f} s (budget {BUDGET:g})")
    return int(median > BUDGET)


def _first_frame(box: Box, medium: Path, fingerprint: str) -> float:
    with PtySession(box.command(medium, "--trust", fingerprint), env=box.env) as session:
        session.wait_for("Overview", PATIENCE)
        session.wait_quiet(0.6)
        seconds = first_full_frame(session)
        session.press("q")
        session.wait_end(PATIENCE)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
