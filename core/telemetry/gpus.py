"""The GPUs of this machine: samples through NVML that never block longer than a deadline and never crash.

A child process (`nvml_child`) calls NVML. A thread cannot abandon a call into a driver that hangs, and a process with
such a thread cannot even exit; so it must not be the console's.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping
from enum import Enum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.errors import os_reason
from core.open_enum import describe_misfit
from core.telemetry.process_info import container_id, process_name

DEADLINE_SECONDS = 2.0
START_SECONDS = 10.0  # without persistence mode the first call initialises the GPUs, which takes seconds
RETRY_SECONDS = 15.0  # between attempts to find a driver that was missing
_END_SECONDS = 0.2
_CHILD = Path(__file__).with_name("nvml_child.py")


class GpuState(str, Enum):
    """How NVML answers. LOST: a GPU does not answer. HUNG: the driver does not. ERROR: it returns an error."""

    OK = "ok"
    NO_LIBRARY = "no-library"
    NO_DRIVER = "no-driver"
    LOST = "lost"
    HUNG = "hung"
    ERROR = "error"


class _Snapshot(BaseModel):
    model_config = ConfigDict(frozen=True)


class GpuProcess(_Snapshot):
    """A process on a GPU."""

    pid: int
    memory: int | None = None
    """VRAM in bytes; None when the driver does not report it."""
    utilisation: float | None = None
    """Percent of the GPU's multiprocessors in the last second; None when the driver does not report it."""
    name: str = ""
    container_id: str = ""
    container: str = ""
    """The container's name, set by `attribute_containers`."""
    ours: bool = False
    """Whether xaiva launched the container, set by `attribute_containers`."""


class Gpu(_Snapshot):
    """The state of one GPU. Bytes, percent, degrees Celsius, watts, MHz; None: the device does not have that figure."""

    index: int
    state: GpuState = GpuState.OK
    detail: str = ""
    name: str = ""
    uuid: str = ""
    architecture: str = ""
    compute_capability: str = ""
    utilisation: float | None = None
    """None while the GPU is divided (MIG)."""
    memory_total: int | None = None
    memory_used: int | None = None
    memory_free: int | None = None
    """Less than total minus used, because the driver reserves some."""
    temperature: float | None = None
    fan: float | None = None
    power: float | None = None
    power_limit: float | None = None
    clock_graphics: int | None = None
    clock_graphics_max: int | None = None
    clock_memory: int | None = None
    clock_memory_max: int | None = None
    throttle: list[str] | None = None
    ecc: bool | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    """Since the driver was loaded, as `ecc_corrected`."""
    mig: bool | None = None
    processes: list[GpuProcess] = []


class GpuSample(_Snapshot):
    """The GPUs of this machine, and how the driver answered."""

    state: GpuState
    detail: str = ""
    driver: str = ""
    cuda: str = ""
    gpus: list[Gpu] = []
    """The last known ones when HUNG."""
    taken: float = 0
    """Unix time of the driver's answer."""
    age: float = 0
    """Seconds since that answer, by the monotonic clock."""


def gpu_problem(sample: GpuSample) -> tuple[str, str, str] | None:
    """What, why and remedy when there is no GPU or one does not answer; None when all GPUs work."""
    if sample.state is GpuState.OK and sample.gpus:
        return None
    if sample.state in (GpuState.LOST, GpuState.HUNG):
        return "A GPU does not answer", sample.detail, "see: dmesg | grep -i xid; usually a reboot helps"
    why = sample.detail or "the NVIDIA driver finds none"
    return "No GPU found", why, "if this machine has one, make nvidia-smi work first; presets without CUDA need no GPU"


class GpuSampler:
    """Gets samples from a child process. `sample` waits at most `deadline` seconds, and not at all while it hangs."""

    def __init__(self, deadline: float = DEADLINE_SECONDS) -> None:
        self._deadline = deadline
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._asked_at: float | None = None  # monotonic time of the request that has no answer yet
        self._overdue = False
        self._started = 0.0
        self._last = GpuSample(state=GpuState.ERROR, detail="not asked yet")
        self._answered_at = time.monotonic()

    def __enter__(self) -> GpuSampler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sample(self) -> GpuSample:
        """The GPUs now, or the reason why they cannot be read. Never raises."""
        with self._lock:
            if self._child is None and not self._start_child():
                return self._with_age(self._last)
            return self._ask()

    def close(self) -> None:
        """Kill the child. One that hangs in the driver stays until the kernel ends it."""
        child = self._child
        if child is not None:
            child.kill()  # wakes a `sample` that is waiting for it in another thread
        if self._lock.acquire(timeout=_END_SECONDS):
            try:
                self._end_child()
            finally:
                self._lock.release()

    def _start_child(self) -> bool:
        """Start a child unless the last one was started less than RETRY_SECONDS ago."""
        now = time.monotonic()
        if self._started and now - self._started < RETRY_SECONDS:
            return False
        self._started = now
        try:
            # -I: the working folder and PYTHONPATH must not provide another pynvml or json
            self._child = subprocess.Popen(
                [sys.executable, "-I", str(_CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self._last = GpuSample(state=GpuState.ERROR, detail=f"cannot start the reader: {os_reason(error)}")
            return False
        self._buffer, self._asked_at, self._overdue = b"", None, False
        return True

    def _ask(self) -> GpuSample:
        assert self._child is not None
        now = time.monotonic()
        first = self._asked_at is None and self._started > self._answered_at
        if self._asked_at is None:
            self._asked_at = now
            try:
                os.write(_descriptor(self._child.stdin), b"\n")
            except OSError:
                return self._handle_child_exit()
        try:
            line = self._read_line(0 if self._overdue else max(self._deadline, START_SECONDS if first else 0))
        except EOFError:
            return self._handle_child_exit()
        if line is None:
            self._overdue = True
            seconds = time.monotonic() - self._asked_at
            detail = f"the NVIDIA driver has not answered for {seconds:.0f} s"
            return self._with_age(self._last.model_copy(update={"state": GpuState.HUNG, "detail": detail}))
        self._asked_at, self._overdue = None, False
        return self._parse_answer(line)

    def _read_line(self, seconds: float) -> bytes | None:
        """The child's next line; None when there is none in time. Raises EOFError when the child has exited."""
        assert self._child is not None
        descriptor = _descriptor(self._child.stdout)
        readable = select.poll()  # not select(), which fails for descriptors from 1024 on
        readable.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            if not readable.poll(max(deadline - time.monotonic(), 0) * 1000):
                return None
            data = os.read(descriptor, 1 << 16)
            if not data:
                raise EOFError
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _parse_answer(self, line: bytes) -> GpuSample:
        try:
            sample = GpuSample.model_validate({**json.loads(line), "taken": time.time()})
        except ValueError as error:
            self._end_child()
            self._last = GpuSample(
                state=GpuState.ERROR, detail=f"the reader's answer cannot be read: {describe_misfit(error)}"
            )
            return self._last
        self._answered_at = time.monotonic()
        self._last = _with_process_names(sample)
        if sample.state not in (GpuState.OK, GpuState.LOST):
            self._end_child()  # it exits by itself after this answer
        return self._last

    def _handle_child_exit(self) -> GpuSample:
        """The child has exited without an answer: the library crashed, or somebody killed it."""
        child = self._child
        self._end_child()
        code = child.returncode if child is not None else None
        update = {"state": GpuState.ERROR, "detail": f"the reader of the NVIDIA driver ended (code {code})", "gpus": []}
        self._last = self._last.model_copy(update=update)
        return self._with_age(self._last)

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        child.kill()
        try:
            child.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            pass

    def _with_age(self, sample: GpuSample) -> GpuSample:
        return sample.model_copy(update={"age": time.monotonic() - self._answered_at})


def attribute_containers(sample: GpuSample, names: Mapping[str, str], ours: Collection[str]) -> GpuSample:
    """The sample with the container of each process: `names` by container id, `ours` the ids that xaiva launched."""

    def with_container(process: GpuProcess) -> GpuProcess:
        identity = process.container_id
        update = {"container": names.get(identity, identity[:12]), "ours": identity in ours}
        return process.model_copy(update=update) if identity else process

    gpus = [
        gpu.model_copy(update={"processes": [with_container(process) for process in gpu.processes]})
        for gpu in sample.gpus
    ]
    return sample.model_copy(update={"gpus": gpus})


def _with_process_names(sample: GpuSample) -> GpuSample:
    """The sample with the names and containers of the processes, which are in /proc."""

    def with_names(process: GpuProcess) -> GpuProcess:
        return process.model_copy(
            update={"name": process_name(process.pid), "container_id": container_id(process.pid)},
        )

    gpus = [
        gpu.model_copy(update={"processes": [with_names(process) for process in gpu.processes]}) for gpu in sample.gpus
    ]
    return sample.model_copy(update={"gpus": gpus})


def _descriptor(pipe: object) -> int:
    return pipe.fileno()  # type: ignore[attr-defined,no-any-return]
