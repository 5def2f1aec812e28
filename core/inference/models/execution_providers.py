"""Selects the ONNX execution provider for this machine: from a table, then by running a model of one layer."""

from __future__ import annotations

import base64
import logging
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from core.errors import XaivaError
from core.inference.model_pool.devices import cuda_gpu
from core.telemetry.gpus import Gpu, GpuSampler

logger = logging.getLogger(__name__)

ProviderSetting = Literal["auto", "cpu", "cuda", "tensorrt"]

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
CPU = "CPUExecutionProvider"

# The lowest compute capability with kernels in the published builds of onnxruntime-gpu (read from the wheels' fat
# binaries with cuobjdump): by CUDA version, then by the first version of ONNX Runtime, newest first.
_LOWEST_CAPABILITY: dict[int, tuple[tuple[tuple[int, int], tuple[int, int]], ...]] = {
    13: (((0, 0), (7, 5)),),
    12: (((1, 21), (6, 0)), ((0, 0), (5, 2))),
    11: (((0, 0), (5, 2)),),
}
_OLDER_GPU_HINT = (
    "onnxruntime-gpu>=1.22,<1.27 on CUDA 12 with nvidia-cudnn-cu12<9.11 runs from compute capability 6.0 on"
)
_TENSORRT_LOWEST = (7, 5)  # TensorRT 10: its support matrix; 8.6 was the last for Pascal

# y = Conv(x, ones 3x3), 1x1x8x8 in float32, opset 13: it needs the device's kernels, BLAS and cuDNN.
_PROBE_MODEL = base64.b64decode(
    "CAgSADqHAQoPCgF4CgF3EgF5IgRDb252EgVwcm9iZSozCAEIAQgDCAMQASIkAACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/QgF3"
    "WhsKAXgSFgoUCAESEAoCCAEKAggBCgIICAoCCAhiGwoBeRIWChQIARIQCgIIAQoCCAEKAggGCgIIBkIECgAQDQ=="
)


@dataclass(frozen=True)
class ExecutionProvider:
    """The device and backend that models run on."""

    name: str  # cpu, cuda or tensorrt
    providers: tuple[str, ...]  # ONNX Runtime's names, in order of preference
    why: str = ""  # the reason why no better one was selected
    engine_cache: Path | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether models use a GPU's memory."""
        return self.name != "cpu"


_SELECTED: dict[str, ExecutionProvider] = {}
_LOCK = threading.Lock()


def select_provider(setting: ProviderSetting = "auto") -> ExecutionProvider:
    """Select what models run on, once for the process; the CUDA context exists afterwards.

    `auto` is CUDA where it works, otherwise the CPU with the reason. TensorRT is used only when set, because it takes
    minutes to prepare a model. Raises XaivaError when the provider that is set cannot run here.
    """
    with _LOCK:
        if setting not in _SELECTED:
            _SELECTED[setting] = _select(setting)
        return _SELECTED[setting]


def runtime() -> Any:
    """The module `onnxruntime`. Raises XaivaError where it cannot be imported."""
    try:
        import onnxruntime
    except ImportError as error:
        remedy = "lock the preset again: the service's layer includes it"
        raise XaivaError("ONNX Runtime", f"it cannot be imported ({error})", remedy) from error
    return onnxruntime


def _select(setting: ProviderSetting) -> ExecutionProvider:
    cpu = ExecutionProvider("cpu", (CPU,))
    if setting == "cpu":
        return cpu
    gpu, why = _gpu()
    if gpu is None and setting == "auto":
        return replace(cpu, why=why)  # without importing ONNX Runtime, which the motion detector does not need
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # so that CUDA numbers GPUs as NVML does
    try:
        onnxruntime = runtime()
    except XaivaError as error:
        if setting != "auto":
            raise
        return replace(cpu, why=error.why)
    available = onnxruntime.get_available_providers()
    providers = (TENSORRT, CUDA, CPU) if setting == "tensorrt" else (CUDA, CPU)
    candidate = ExecutionProvider("tensorrt" if setting == "tensorrt" else "cuda", providers)
    version = _parse_version(onnxruntime.__version__)
    why = why or provider_obstacle(candidate.name, gpu, available, version, _cuda_version(onnxruntime))
    why = why or _probe(onnxruntime, candidate)
    if not why:
        return candidate
    if setting != "auto":
        remedy = "set XAIVA_ONNX_PROVIDER to auto or cpu, or lock the image with what the reason names"
        raise XaivaError(f"ONNX Runtime on {setting}", why, remedy)
    if gpu is not None:
        logger.warning("models run on the CPU: %s", why)
    return replace(cpu, why=why)


def provider_obstacle(name: str, gpu: Gpu | None, available: list[str], version: tuple[int, int], cuda: int) -> str:
    """Why `name` (cuda or tensorrt) cannot run on that GPU with that build of ONNX Runtime; empty if it can.
    `version` is ONNX Runtime's, `cuda` the major version of CUDA it is built for."""
    if gpu is None:
        return "there is no GPU"
    needed = TENSORRT if name == "tensorrt" else CUDA
    build = f"onnxruntime {_format_version(version)} for CUDA {cuda}"
    if needed not in available:
        return f"this {build} comes without {name}; lock the image with onnxruntime-gpu"
    capability = _parse_version(gpu.compute_capability)
    lowest = next(lowest for since, lowest in _LOWEST_CAPABILITY.get(cuda, _LOWEST_CAPABILITY[13]) if version >= since)
    has = f"{gpu.name} has compute capability {gpu.compute_capability}"
    if capability < lowest:
        shortcoming = f"{has}, this {build} needs {_format_version(lowest)}"
        return f"{shortcoming}; {_OLDER_GPU_HINT}" if capability >= (6, 0) else shortcoming
    if name == "tensorrt" and capability < _TENSORRT_LOWEST:
        return f"{has}, TensorRT needs {_format_version(_TENSORRT_LOWEST)}; cuda works on this GPU"
    return ""


def _gpu() -> tuple[Gpu | None, str]:
    """The GPU that CUDA will use, or why there is none."""
    with GpuSampler() as sampler:
        sample = sampler.sample()
    gpu = cuda_gpu(sample)
    return gpu, "" if gpu else sample.detail or "there is no GPU"


def _probe(onnxruntime: Any, provider: ExecutionProvider) -> str:
    """Run one layer with the provider. Returns why it does not work; empty when it does."""
    import numpy as np

    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA and cuDNN from wheels are not on the loader's path
    try:
        session = onnxruntime.InferenceSession(_PROBE_MODEL, providers=list(provider.providers))
        if provider.providers[0] not in session.get_providers():
            return f"ONNX Runtime could not load {provider.name}: its CUDA or cuDNN libraries are missing or do not fit"
        session.run(None, {"x": np.ones((1, 1, 8, 8), np.float32)})
    except Exception as error:
        error_text = str(error).partition("\n")[0] or type(error).__name__
        return f"a trial run failed: {error_text}"
    return ""


def _cuda_version(onnxruntime: Any) -> int:
    """The major version of CUDA that the build is for; derived from the build's version when it is not declared."""
    declared = _parse_version(str(getattr(onnxruntime, "cuda_version", "") or ""))[0]
    version = _parse_version(onnxruntime.__version__)
    return declared or (13 if version >= (1, 27) else 12 if version >= (1, 19) else 11)


def _parse_version(text: str) -> tuple[int, int]:
    parts = [part for part in text.split(".") if part.isdigit()]
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 else (0, 0)


def _format_version(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
