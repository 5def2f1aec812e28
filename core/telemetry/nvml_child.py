"""Reads NVML in a separate process, so that a driver that hangs blocks this process and not the console.

Run by path with `python -I`, so it imports nothing of this project. Each line on standard input requests a sample; the
answer is one line of JSON (the fields of `core.telemetry.gpus.GpuSample`). It exits at the end of its input, and after
an answer that says that NVML cannot be used.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import pynvml

# Errors of the whole driver, not of one device.
_DRIVER_STATES = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: ("no-library", "libnvidia-ml.so.1 is not installed"),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: ("no-driver", "the NVIDIA driver is not loaded"),
    pynvml.NVML_ERROR_NO_PERMISSION: ("error", "this user may not talk to the NVIDIA driver"),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "error",
        "driver and library are of different versions: reboot, or reload the driver",
    ),
    pynvml.NVML_ERROR_UNINITIALIZED: ("error", "the NVIDIA driver was unloaded"),
}
_LOST_ERRORS = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_GPU_NOT_FOUND)
# Newer functions are tried first. A driver that lacks one, or has another version of its structure, returns these.
_UNSUPPORTED_ERRORS = (
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
    pynvml.NVML_ERROR_NOT_SUPPORTED,
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
)
# nvml.h, NVML_DEVICE_ARCH_*
_ARCHITECTURES = {
    2: "Kepler",
    3: "Maxwell",
    4: "Pascal",
    5: "Volta",
    6: "Turing",
    7: "Ampere",
    8: "Ada Lovelace",
    9: "Hopper",
    10: "Blackwell",
    13: "Rubin",
}
_ARCHITECTURE_UNKNOWN = 0xFFFFFFFF
_ENABLE_STATES = {0: False, 1: True}  # nvmlEnableState_t; other values are unknown
_UTILISATION_MICROSECONDS = 1_000_000  # over which the utilisation of processes is asked
_IDLE = 0x1  # not a reason for throttling
# nvml.h, nvmlClocksEventReason*
_THROTTLE_REASONS = {
    0x2: "set clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability",
}


def main() -> None:
    """Answer each line of standard input with a sample, until it ends."""
    reader: NvmlReader | None = None
    for _ in sys.stdin.buffer:
        try:
            reader = reader or NvmlReader()
            sample = reader.sample()
        except pynvml.NVMLError as error:
            sample = _unusable_sample(error)
        sys.stdout.write(json.dumps(sample) + "\n")
        sys.stdout.flush()
        if sample["state"] not in ("ok", "lost"):
            return


class NvmlReader:
    """Initialises NVML, and reads what never changes of each device, once."""

    def __init__(self) -> None:
        pynvml.nvmlInit()
        self._driver = pynvml.nvmlSystemGetDriverVersion()
        cuda = query(pynvml.nvmlSystemGetCudaDriverVersion)
        self._cuda = "" if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}"
        self._devices = [NvmlDevice(index) for index in range(pynvml.nvmlDeviceGetCount())]

    def sample(self) -> dict[str, Any]:
        """The fields of `GpuSample` for all devices now."""
        gpus = [device.sample() for device in self._devices]
        silent = [f"GPU {gpu['index']} does not answer: {gpu['detail']}" for gpu in gpus if gpu["state"] != "ok"]
        state, detail = "lost" if silent else "ok", "; ".join(silent)
        return {"state": state, "detail": detail, "driver": self._driver, "cuda": self._cuda, "gpus": gpus}


class NvmlDevice:
    """One GPU, by the index it had at the start."""

    def __init__(self, index: int) -> None:
        self._fields: dict[str, Any] = {"index": index}
        self._handle: Any = None
        try:
            self._handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            self._fields.update(self._description())
        except pynvml.NVMLError as error:
            self._fail(error)

    def _fail(self, error: pynvml.NVMLError) -> None:
        """Record an error of this device; raise one of the driver."""
        if error.value in _DRIVER_STATES and error.value != pynvml.NVML_ERROR_NO_PERMISSION:
            raise error
        lost = error.value in _LOST_ERRORS
        self._fields |= {"state": "lost" if lost else "error", "detail": "it fell off the bus" if lost else str(error)}

    def _description(self) -> dict[str, Any]:
        handle = self._handle
        capability = query(pynvml.nvmlDeviceGetCudaComputeCapability, handle)
        mig = query(pynvml.nvmlDeviceGetMigMode, handle)
        return {
            "name": query(pynvml.nvmlDeviceGetName, handle) or "",
            "uuid": query(pynvml.nvmlDeviceGetUUID, handle) or "",
            "architecture": _architecture_name(query(pynvml.nvmlDeviceGetArchitecture, handle)),
            "compute_capability": f"{capability[0]}.{capability[1]}" if capability else "",
            "clock_graphics_max": query(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_GRAPHICS),
            "clock_memory_max": query(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM),
            "mig": _ENABLE_STATES.get(mig[0]) if mig else None,
        }

    def sample(self) -> dict[str, Any]:
        """The fields of `Gpu` now; None for those that the device does not support."""
        if self._handle is None:
            return self._fields
        self._fields |= {"state": "ok", "detail": ""}
        try:
            return {**self._fields, **self._usage(), **self._ecc(), "processes": self._processes()}
        except pynvml.NVMLError as error:
            self._fail(error)
            return self._fields

    def _usage(self) -> dict[str, Any]:
        handle = self._handle
        # version 2 counts what the driver reserves separately, as nvidia-smi does
        memory = query_first_supported(
            lambda: pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2),
            lambda: pynvml.nvmlDeviceGetMemoryInfo(handle),
        )
        rates = query(pynvml.nvmlDeviceGetUtilizationRates, handle)
        reasons = query_first_supported(
            lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
            lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
        )
        return {
            "utilisation": rates.gpu if rates else None,
            "memory_total": memory.total if memory else None,
            "memory_used": memory.used if memory else None,
            "memory_free": memory.free if memory else None,
            "temperature": query(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
            "fan": query(pynvml.nvmlDeviceGetFanSpeed, handle),
            "power": _watts(query(pynvml.nvmlDeviceGetPowerUsage, handle)),
            "power_limit": _watts(query(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
            "clock_graphics": query(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_GRAPHICS),
            "clock_memory": query(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
            "throttle": None if reasons is None else _throttle_names(reasons),
        }

    def _ecc(self) -> dict[str, Any]:
        mode = query(pynvml.nvmlDeviceGetEccMode, self._handle)
        if not mode or not mode[0]:
            return {"ecc": _ENABLE_STATES.get(mode[0]) if mode else None}
        since_boot = pynvml.NVML_VOLATILE_ECC
        count = pynvml.nvmlDeviceGetTotalEccErrors
        return {
            "ecc": True,
            "ecc_corrected": query(count, self._handle, pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, since_boot),
            "ecc_uncorrected": query(count, self._handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, since_boot),
        }

    def _processes(self) -> list[dict[str, Any]]:
        """The processes with their memory. One that computes and draws is in both of NVML's lists."""
        handle = self._handle
        memory_by_pid: dict[int, int | None] = {}
        for newer, older in (
            (pynvml.nvmlDeviceGetComputeRunningProcesses_v3, pynvml.nvmlDeviceGetComputeRunningProcesses_v2),
            (pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3, pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2),
        ):
            for process in query_first_supported(lambda f=newer: f(handle), lambda f=older: f(handle)) or []:  # type: ignore[misc]
                memory_by_pid[process.pid] = process.usedGpuMemory
        utilisation = self._process_utilisation() if memory_by_pid else {}
        return [
            {"pid": pid, "memory": memory, "utilisation": None if utilisation is None else utilisation.get(pid, 0)}
            for pid, memory in sorted(memory_by_pid.items())
        ]

    def _process_utilisation(self) -> dict[int, int] | None:
        """Percent by pid of the processes that were busy in the last second; None when the device does not support it.

        NVML lists no idle processes, and answers with an error when there are only idle ones.
        """
        since = time.time_ns() // 1000 - _UTILISATION_MICROSECONDS
        try:
            samples = pynvml.nvmlDeviceGetProcessUtilization(self._handle, since)
        except pynvml.NVMLError as error:
            if error.value in (pynvml.NVML_SUCCESS, pynvml.NVML_ERROR_NOT_FOUND):
                return {}
            if error.value in _LOST_ERRORS or error.value in _DRIVER_STATES:
                raise
            return None
        return {sample.pid: sample.smUtil for sample in sorted(samples, key=lambda sample: sample.timeStamp)}


def query(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's result; None when the device does not support it. Raises when device or driver is gone."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        if error.value in _LOST_ERRORS or error.value in _DRIVER_STATES:
            raise
        return None


def query_first_supported(*functions: Callable[[], Any]) -> Any:
    """The result of the first function that the driver supports."""
    for function in functions:
        try:
            return function()
        except pynvml.NVMLError as error:
            if error.value not in _UNSUPPORTED_ERRORS:
                return query(function)
    return None


def _architecture_name(number: int | None) -> str:
    """The name of an architecture; its number if it is newer than this table."""
    if number in (None, _ARCHITECTURE_UNKNOWN):
        return ""
    return _ARCHITECTURES.get(number, f"architecture {number}")


def _throttle_names(reasons: int) -> list[str]:
    """The reasons for throttling; one that is newer than this table is named by its bit."""
    bits = [1 << number for number in range(reasons.bit_length()) if reasons >> number & 1]
    return [_THROTTLE_REASONS.get(bit, f"reason 0x{bit:x}") for bit in bits if bit != _IDLE]


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _unusable_sample(error: pynvml.NVMLError) -> dict[str, Any]:
    state, detail = _DRIVER_STATES.get(error.value, ("error", str(error)))
    return {"state": state, "detail": detail, "driver": "", "cuda": "", "gpus": []}


if __name__ == "__main__":
    main()
