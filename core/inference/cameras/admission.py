"""Admission control: decides from the measured load of the running cameras whether the machine can decode one more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from core.errors import XaivaError

DECODING_SHARE = 0.85  # of the cores; the rest is for models and the service itself


class NoCores(XaivaError):
    """Decoding one more camera would starve the running ones."""


def admit(camera: str, loads: Sequence[float | None], cores: float) -> None:
    """Raise NoCores when the running cameras leave too little CPU for one more like them.

    `loads` are the cores each of them uses; None for one that is not measured yet, which is expected to use the median.
    """
    measured = [load for load in loads if load is not None]
    if not measured:
        return
    expected, limit = median(measured), DECODING_SHARE * cores
    unmeasured = len(loads) - len(measured)
    used = sum(measured) + unmeasured * expected
    if used + expected > limit:
        why = (
            f"decoding {len(loads)} cameras takes {used:.2f} cores"
            + (f" ({unmeasured} of them not measured yet)" if unmeasured else "")
            + f" and one more about {expected:.2f}; "
            f"{limit:.2f} of {cores:g} may be used for decoding"
        )
        raise NoCores(f"Camera {camera}", why, "remove a camera, or use a smaller stream (sub-stream) for each")


def usable_cores() -> float:
    """The cores this process may use, by its CPU affinity and the quota of its control group."""
    cores = float(len(os.sched_getaffinity(0)))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else min(cores, int(quota) / int(period))
