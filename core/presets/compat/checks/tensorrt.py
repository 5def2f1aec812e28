"""TensorRT: CUDA builds, Pythons, GPUs, and the torch-tensorrt that goes with it."""

from __future__ import annotations

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.machine import Gpu, at_least
from core.presets.compat.rows import TensorRTRow
from core.presets.compat.subject import Subject, error, listed, note, warning

_WHERE = "tensorrt.version"


def tensorrt(subject: Subject) -> list[Finding]:
    """Everything about the preset's TensorRT."""
    target = subject.target
    preset = subject.preset
    if not preset.tensorrt.enabled:
        return []
    row = subject.facts.tensorrt_row(preset.tensorrt.version)
    if row is None:
        known = listed([known.newest for known in subject.facts.tensorrt.values()][-3:])
        what = f"TensorRT {preset.tensorrt.version} is not in the tables"
        remedy = f"known are, for example, {known}; or name this code in `overrides`"
        return [warning("tensorrt-unknown", what, "its CUDA builds are not known", remedy, _WHERE), *_origin(subject)]
    gpus = target.gpus if target else ()
    return [
        *_cuda(subject, row),
        *_python(subject, row),
        *(finding for gpu in gpus for finding in _gpu(subject, row, gpu)),
        *_torch_tensorrt(subject, row),
        *_origin(subject),
    ]


def _cuda(subject: Subject, row: TensorRTRow) -> list[Finding]:
    cuda = subject.wheel_cuda or subject.base_cuda
    majors = {version.split(".")[0] for version in row.cuda}
    if not cuda or cuda.split(".")[0] in majors:
        return []
    fitting = [other.newest for other in subject.facts.tensorrt.values() if _has_major(other, cuda)]
    ways = f"take TensorRT {fitting[-1]}, the newest for CUDA {cuda.split('.')[0]}" if fitting else "leave it out"
    return [
        error(
            "tensorrt-cuda",
            f"TensorRT {subject.preset.tensorrt.version} has no build for CUDA {cuda}",
            f"it was built with CUDA {listed(row.cuda, 'and')}; one build serves every minor version of its major",
            ways,
            _WHERE,
            row.source,
        )
    ]


def _has_major(row: TensorRTRow, cuda: str) -> bool:
    return any(version.split(".")[0] == cuda.split(".")[0] for version in row.cuda)


def _python(subject: Subject, row: TensorRTRow) -> list[Finding]:
    python = subject.preset.python_version
    if python in row.python:
        return []
    return [
        error(
            "tensorrt-python",
            f"TensorRT {subject.preset.tensorrt.version} has no bindings for Python {python}",
            f"there are bindings for Python {row.python[0]} to {row.python[-1]}",
            f"take Python {row.python[-1]}, or another TensorRT",
            _WHERE,
            row.source,
        )
    ]


def _gpu(subject: Subject, row: TensorRTRow, gpu: Gpu) -> list[Finding]:
    if not gpu.sm or at_least(gpu.sm, row.min_sm):
        return []
    cuda = subject.wheel_cuda or subject.base_cuda
    others = [other for other in subject.facts.tensorrt.values() if at_least(gpu.sm, other.min_sm)]
    fitting = [other for other in others if not cuda or _has_major(other, cuda)] or others
    remedy = "leave TensorRT out: onnxruntime-gpu and PyTorch run on it"
    if fitting:
        last = fitting[-1]
        remedy = f"TensorRT {last.newest} (CUDA {listed(last.cuda)}) is the last that works on it; or {remedy}"
    return [
        error(
            "tensorrt-gpu",
            f"TensorRT {subject.preset.tensorrt.version} does not run on {gpu.name} (sm_{gpu.sm.replace('.', '')})",
            f"it needs an architecture of {row.min_sm} or newer",
            remedy,
            _WHERE,
            row.source,
        )
    ]


def _torch_tensorrt(subject: Subject, row: TensorRTRow) -> list[Finding]:
    if not subject.wish("torch-tensorrt"):
        return []
    pairs = listed(row.torch_tensorrt) or "no torch-tensorrt release"
    what = f"with TensorRT {subject.preset.tensorrt.version} goes torch-tensorrt {pairs}"
    return [note("tensorrt-torch", what, where="layers", source=row.source)]


def _origin(subject: Subject) -> list[Finding]:
    """The default index holds only a stub that downloads from NVIDIA while it is installed."""
    preset = subject.preset
    if preset.source("tensorrt") or any("nvidia" in index.url for index in preset.indexes):
        return []
    major = Version(preset.tensorrt.version).major
    return [
        warning(
            "tensorrt-origin",
            f"TensorRT {major}'s wheels are not on the default index",
            "there is only a stub that downloads from NVIDIA while it is installed, which an offline build cannot do",
            "add NVIDIA's Python index to `indexes`, or NVIDIA's archive as a source named tensorrt",
            "tensorrt",
        )
    ]
