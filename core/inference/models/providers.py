"""Which ONNX execution provider works on this machine: from a table, then tried with a model of one layer."""

from __future__ import annotations

import base64
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import XaivaError
from core.inference.resources.devices import cuda_gpu
from core.telemetry.gpus import Gpu, GpuSampler

logger = logging.getLogger(__name__)

Wish = Literal["auto", "cpu", "cuda", "tensorrt"]

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
CPU = "CPUExecutionProvider"

# The lowest compute capability with kernels in the published builds of onnxruntime-gpu (read out of the wheels' fat
# binaries with cuobjdump): by CUDA version, then from which version of ONNX Runtime on, newest first.
_LOWEST: dict[int, tuple[tuple[tuple[int, int], tuple[int, int]], ...]] = {
    13: (((0, 0), (7, 5)),),
    12: (((1, 21), (6, 0)), ((0, 0), (5, 2))),
    11: (((0, 0), (5, 2)),),
}
_FOR_OLDER = "onnxruntime-gpu>=1.22,<1.27 on CUDA 12 with nvidia-cudnn-cu12<9.11 runs from compute capability 6.0 on"
_TENSORRT_LOWEST = (7, 5)  # TensorRT 10: its support matrix; 8.6 was the last for Pascal

# y = Conv(x, ones 3x3), 1x1x8x8 in float32, opset 13: what needs the device's kernels, its BLAS and its cuDNN.
_PROBE = base64.b64decode(
    "CAgSADqHAQoPCgF4CgF3EgF5IgRDb252EgVwcm9iZSozCAEIAQgDCAMQASIkAACAPwAAgD8AAIA/AACAPwAAgD8AAIA/AACAPwAAgD8AAIA/QgF3"
    "WhsKAXgSFgoUCAESEAoCCAEKAggBCgIICAoCCAhiGwoBeRIWChQIARIQCgIIAQoCCAEKAggGCgIIBkIECgAQDQ=="
)


@dataclass(frozen=True)
class Choice:
    """`providers` in ONNX Runtime's order of preference; `name` is cpu, cuda or tensorrt; `why` it is no better one.

    `engines` is the folder for what TensorRT has prepared; without one it prepares every model at each start.
    """

    name: str
    providers: tuple[str, ...]
    why: str = ""
    engines: Path | None = None

    @property
    def on_gpu(self) -> bool:
        """Whether models take a GPU's memory."""
        return self.name != "cpu"


_CHOSEN: dict[str, Choice] = {}
_LOCK = threading.Lock()


def choose(wish: Wish = "auto") -> Choice:
    """What models run on. `auto` is CUDA where it works, else the CPU with the reason; TensorRT only when wished for:
    it takes minutes to prepare a model. Found out once a process; the CUDA context exists afterwards.

    Raises XaivaError when what was wished for cannot run here.
    """
    with _LOCK:
        if wish not in _CHOSEN:
            _CHOSEN[wish] = _choose(wish)
        return _CHOSEN[wish]


def runtime() -> Any:
    """The module `onnxruntime`. Raises XaivaError where it cannot be imported."""
    try:
        import onnxruntime
    except ImportError as error:
        remedy = "lock the preset again: the layer of the service brings it"
        raise XaivaError("ONNX Runtime", f"it cannot be imported ({error})", remedy) from error
    return onnxruntime


def _choose(wish: Wish) -> Choice:
    cpu = Choice("cpu", (CPU,))
    if wish == "cpu":
        return cpu
    gpu, why = _gpu()
    if gpu is None and wish == "auto":
        return Choice("cpu", (CPU,), why)  # without loading ONNX Runtime: a service of motion alone never needs it
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # so that CUDA counts GPUs as NVML does
    try:
        onnxruntime = runtime()
    except XaivaError as error:
        if wish != "auto":
            raise
        return Choice("cpu", (CPU,), error.why)
    available = onnxruntime.get_available_providers()
    wanted = Choice("tensorrt", (TENSORRT, CUDA, CPU)) if wish == "tensorrt" else Choice("cuda", (CUDA, CPU))
    why = why or obstacle(wanted.name, gpu, available, _version(onnxruntime.__version__), _cuda_of(onnxruntime))
    why = why or _probe(onnxruntime, wanted)
    if not why:
        return wanted
    if wish != "auto":
        remedy = "set XAIVA_ONNX_PROVIDER to auto or cpu, or lock the image with what the reason names"
        raise XaivaError(f"ONNX Runtime on {wish}", why, remedy)
    if gpu is not None:
        logger.warning("models run on the CPU: %s", why)
    return Choice("cpu", (CPU,), why)


def obstacle(name: str, gpu: Gpu | None, available: list[str], version: tuple[int, int], cuda: int) -> str:
    """Why `name` (cuda or tensorrt) cannot run on that GPU with that build of ONNX Runtime; empty when nothing is known
    against it. `version` is ONNX Runtime's, `cuda` the major version of CUDA it is built for."""
    if gpu is None:
        return "there is no GPU"
    needed = TENSORRT if name == "tensorrt" else CUDA
    shown = f"onnxruntime {_text(version)} for CUDA {cuda}"
    if needed not in available:
        return f"this {shown} comes without {name}; lock the image with onnxruntime-gpu"
    capability = _version(gpu.compute_capability)
    lowest = next(lowest for since, lowest in _LOWEST.get(cuda, _LOWEST[13]) if version >= since)
    if capability < lowest:
        what = f"{gpu.name} has compute capability {gpu.compute_capability}, this {shown} needs {_text(lowest)}"
        return f"{what}; {_FOR_OLDER}" if capability >= (6, 0) else what
    if name == "tensorrt" and capability < _TENSORRT_LOWEST:
        return (
            f"{gpu.name} has compute capability {gpu.compute_capability}, TensorRT needs {_text(_TENSORRT_LOWEST)}; "
            "cuda runs there"
        )
    return ""


def _gpu() -> tuple[Gpu | None, str]:
    """The GPU that CUDA will take, or why there is none."""
    with GpuSampler() as sampler:
        sample = sampler.sample()
    gpu = cuda_gpu(sample)
    return gpu, "" if gpu else sample.detail or "there is no GPU"


def _probe(onnxruntime: Any, choice: Choice) -> str:
    """Run one layer there; why it does not work, empty when it does."""
    import numpy as np

    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA and cuDNN as wheels lie where the loader does not look
    try:
        session = onnxruntime.InferenceSession(_PROBE, providers=list(choice.providers))
        if choice.providers[0] not in session.get_providers():
            return f"ONNX Runtime could not load {choice.name}: its CUDA or cuDNN libraries are missing or do not fit"
        session.run(None, {"x": np.ones((1, 1, 8, 8), np.float32)})
    except Exception as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        return f"a trial run failed: {said}"
    return ""


def _cuda_of(onnxruntime: Any) -> int:
    """The major version of CUDA the build is for. A build that does not say is told by its own version."""
    said = _version(str(getattr(onnxruntime, "cuda_version", "") or ""))[0]
    version = _version(onnxruntime.__version__)
    return said or (13 if version >= (1, 27) else 12 if version >= (1, 19) else 11)


def _version(text: str) -> tuple[int, int]:
    parts = [part for part in text.split(".") if part.isdigit()]
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 else (0, 0)


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
