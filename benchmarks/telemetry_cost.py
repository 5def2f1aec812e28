"""The CPU that telemetry uses: host and GPU samples at 1 Hz, including the process that reads the GPUs."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import psutil

from core.telemetry import host as host_module
from core.telemetry.gpus import GpuSampler, GpuState
from core.telemetry.host import HostSampler
from tests.support.fake_nvml import TWO_GPUS, FakeNvml

SAMPLES = 300
BUDGET = 0.5  # percent of one core at one sample a second


def main() -> int:
    """Print the percentage and return 1 when it is over the budget."""
    with tempfile.TemporaryDirectory() as folder:
        host_module.SLOW_READING_SECONDS = 0  # disks and temperatures at every sample: an upper bound
        os.environ.update(FakeNvml(Path(folder), *TWO_GPUS).env)
        with GpuSampler() as gpus:
            host = HostSampler({"artifacts": Path(folder)})
            if gpus.sample().state is not GpuState.OK:
                print("the fake library does not answer")
                return 1
            host.sample()
            child = psutil.Process().children()[0]
            before = _seconds(child)
            for _ in range(SAMPLES):
                gpus.sample()
                host.sample()
            percent = (_seconds(child) - before) / SAMPLES * 100
            resident = child.memory_info().rss / 1e6
            host.close()
    print(
        f"host and 2 GPUs at 1 Hz: {percent:.2f} % of a core (budget {BUDGET}); GPU reader: {resident:.0f} MB resident"
    )
    return int(percent > BUDGET)


def _seconds(child: psutil.Process) -> float:
    times = child.cpu_times()
    return time.process_time() + times.user + times.system


if __name__ == "__main__":
    raise SystemExit(main())
