"""TensorRT: CUDA builds, Pythons, GPUs, and the torch-tensorrt that goes with it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.check_context import CheckContext, join_words
from core.presets.compat.checks.gpu import tags_for
from core.presets.compat.facts import Facts
from core.presets.compat.gpu_names import GpuModel
from core.presets.compat.image_packages import Package
from core.presets.compat.machine import sm_at_least
from core.presets.compat.rows import TensorRTRow

_WHEEL = re.compile(r"(?:nvidia-)?tensorrt(?:-lean|-dispatch)?(?:-cu(\d\d))?(?:-libs|-bindings)?")


@dataclass(frozen=True)
class _TensorRT:
    """A TensorRT of the image. `cuda` is the major version in its package's name, `where` its place."""

    version: str
    cuda: str
    where: str
    locked: bool = False


def tensorrt(context: CheckContext) -> list[Finding]:
    """Check every TensorRT of the image."""
    findings: list[Finding] = []
    for trt in _find_tensorrt(context):
        row = context.facts.tensorrt_row(trt.version)
        if row is None:
            known = join_words([known.newest for known in context.facts.tensorrt.values()][-3:])
            what = f"TensorRT {trt.version} is not in the tables"
            remedy = f"use, for example, {known}; or name this code in `overrides`"
            findings.append(
                Finding.warning("tensorrt-unknown", what, "its CUDA builds are not known", remedy, trt.where)
            )
        else:
            gpus = context.target.gpus if context.target else ()
            findings += _cuda(context, trt, row)
            findings += _python(context, trt, row)
            findings += (finding for gpu in gpus for finding in _gpu(context, trt, row, gpu))
            findings += _torch_tensorrt(context, trt, row)
        findings += _origin(context, trt)
    return findings


def _find_tensorrt(context: CheckContext) -> list[_TensorRT]:
    """The wheels of layers and lock, one for each version; else the field."""
    preset = context.preset
    by_version: dict[Version, _TensorRT] = {}
    for name, package in context.packages.items():
        match = _WHEEL.fullmatch(name)
        version = (package.version or _newest_allowed(package, context.facts)) if match else ""
        if match and version:
            by_version.setdefault(Version(version), _TensorRT(version, match[1] or "", package.where, package.locked))
    if preset.tensorrt.enabled and not any(trt.locked for trt in by_version.values()):
        return [_TensorRT(preset.tensorrt.version, "", "tensorrt.version")]
    return list(by_version.values())


def _newest_allowed(package: Package, facts: Facts) -> str:
    return next(iter(package.allowed(row.newest for row in reversed(facts.tensorrt.values()))), "")


def _image_cuda(context: CheckContext, trt: _TensorRT) -> str:
    return context.wheel_cuda or context.base_cuda or trt.cuda


def _cuda(context: CheckContext, trt: _TensorRT, row: TensorRTRow) -> list[Finding]:
    cuda = trt.cuda or context.wheel_cuda or context.base_cuda
    majors = {version.split(".")[0] for version in row.cuda}
    if cuda and cuda.split(".")[0] not in majors:
        return [_no_build(context, trt, row, cuda)]
    image = _image_cuda(context, trt)
    if trt.cuda and image and image.split(".")[0] != trt.cuda:
        what = f"TensorRT {trt.version} for CUDA {trt.cuda} is installed beside CUDA {image}"
        why = "it finds only the CUDA libraries of its own major version"
        return [
            Finding.warning("tensorrt-cuda", what, why, f"use tensorrt-cu{image.split('.')[0]}", trt.where, row.source)
        ]
    return []


def _no_build(context: CheckContext, trt: _TensorRT, row: TensorRTRow, cuda: str) -> Finding:
    fitting = [other.newest for other in context.facts.tensorrt.values() if _has_major(other, cuda)]
    ways = f"use TensorRT {fitting[-1]}, the newest for CUDA {cuda.split('.')[0]}" if fitting else "leave it out"
    return Finding.error(
        "tensorrt-cuda",
        f"TensorRT {trt.version} has no build for CUDA {cuda}",
        f"it was built with CUDA {join_words(row.cuda, 'and')}; a build works with all minor versions of its major one",
        ways,
        trt.where,
        row.source,
    )


def _has_major(row: TensorRTRow, cuda: str) -> bool:
    return any(version.split(".")[0] == cuda.split(".")[0] for version in row.cuda)


def _python(context: CheckContext, trt: _TensorRT, row: TensorRTRow) -> list[Finding]:
    python = context.preset.python_version
    if python in row.python or trt.locked:
        return []
    return [
        Finding.error(
            "tensorrt-python",
            f"TensorRT {trt.version} has no bindings for Python {python}",
            f"there are bindings for Python {row.python[0]} to {row.python[-1]}",
            f"use Python {row.python[-1]}, or another TensorRT",
            trt.where,
            row.source,
        )
    ]


def _gpu(context: CheckContext, trt: _TensorRT, row: TensorRTRow, gpu: GpuModel) -> list[Finding]:
    if not gpu.sm or sm_at_least(gpu.sm, row.min_sm):
        return []
    cuda = _image_cuda(context, trt)
    others = [other for other in context.facts.tensorrt.values() if sm_at_least(gpu.sm, other.min_sm)]
    fitting = [other for other in others if not cuda or _has_major(other, cuda)] or others
    remedy = "leave TensorRT out" + (": PyTorch runs on this GPU" if tags_for(gpu.sm, "", context.facts) else "")
    if fitting:
        last = fitting[-1]
        remedy = f"TensorRT {last.newest} (CUDA {join_words(last.cuda)}) is the last that works on it; or {remedy}"
    return [
        Finding.error(
            "tensorrt-gpu",
            f"TensorRT {trt.version} does not run on {gpu}",
            f"it needs an architecture of {row.min_sm} or newer",
            remedy,
            trt.where,
            row.source,
        )
    ]


def _torch_tensorrt(context: CheckContext, trt: _TensorRT, row: TensorRTRow) -> list[Finding]:
    package = context.package("torch-tensorrt")
    if package is None:
        return []
    pairs = join_words(row.torch_tensorrt) or "no torch-tensorrt release"
    what = f"TensorRT {trt.version} is compatible with torch-tensorrt {pairs}"
    return [Finding.note("tensorrt-torch", what, where=package.where, source=row.source)]


def _origin(context: CheckContext, trt: _TensorRT) -> list[Finding]:
    """The default index has only a stub that downloads from NVIDIA during installation."""
    preset = context.preset
    if trt.locked or preset.source("tensorrt") or any("nvidia" in index.url for index in preset.indexes):
        return []
    return [
        Finding.warning(
            "tensorrt-origin",
            f"TensorRT {Version(trt.version).major}'s wheels are not on the default index",
            "there is only a stub that downloads from NVIDIA during installation, which an offline build cannot do",
            "add NVIDIA's Python index to `indexes`, or NVIDIA's archive as a source named tensorrt",
            trt.where.partition(".")[0],
        )
    ]
