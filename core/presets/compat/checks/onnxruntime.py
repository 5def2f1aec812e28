"""ONNX Runtime for GPUs: the architectures in its wheels, and the CUDA that it links to."""

from __future__ import annotations

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.check_context import CheckContext, join_words
from core.presets.compat.facts import Facts
from core.presets.compat.gpu_names import GpuModel
from core.presets.compat.image_packages import PINS, Package
from core.presets.compat.machine import TargetMachine, has_code_for
from core.presets.compat.rows import OnnxRuntimeRow


def onnxruntime(context: CheckContext) -> list[Finding]:
    """onnxruntime-gpu carries code for a few architectures and links to one CUDA major version."""
    package = context.package("onnxruntime-gpu")
    if package is None or package.where == PINS:
        return []
    row = _newest(context, package)
    if row is None:
        ranges = join_words([f"{row.first} to {row.last}" for row in context.facts.onnxruntime.values()])
        what = f"{package.text} is not in the tables"
        why = "its CUDA and GPU architectures are not known"
        return [Finding.warning("onnxruntime-unknown", what, why, f"use a release from {ranges}", package.where)]
    return [*_onnxruntime_gpus(context, package, row, context.target), *_onnxruntime_cuda(context, package, row)]


def _newest(context: CheckContext, package: Package) -> OnnxRuntimeRow | None:
    """The newest possible range, which the resolver will choose."""
    rows = rows_for_python(context.facts, context.preset.python_version)
    allowed = [row for row in rows if package.may_match(f">={row.first},<={row.last}")]
    return allowed[-1] if allowed else None


def rows_for_python(facts: Facts, python: str) -> list[OnnxRuntimeRow]:
    """The ranges of onnxruntime-gpu that have wheels for a Python, as far as is known, oldest first."""
    releases = [row for row in facts.releases.values() if row.package == "onnxruntime-gpu"]
    lacking = [row for row in releases if python not in row.python]
    return [
        row
        for row in facts.onnxruntime.values()
        if not any(Version(other.first) <= Version(row.first) <= Version(other.last) for other in lacking)
    ]


def _onnxruntime_gpus(
    context: CheckContext, package: Package, newest: OnnxRuntimeRow, target: TargetMachine | None
) -> list[Finding]:
    findings = []
    for gpu in target.gpus if target else ():
        if gpu.sm and not has_code_for(gpu.sm, newest.sm, []):
            # It is not known whether the wheels have PTX for newer GPUs.
            newer = Version(gpu.sm) > Version(newest.sm[-1])
            level = Finding.warning if newer else Finding.error
            what = f"{_brings(package, newest)} contains no machine code for {gpu.name}"
            why = f"its wheels contain {', '.join(newest.sm)} (CUDA {newest.cuda})"
            why += "; whether they contain PTX that it can compile is not known" if newer else ""
            remedy = _onnxruntime_remedy(gpu, context)
            findings.append(level("onnxruntime-gpu", what, why, remedy, package.where, newest.source))
        elif gpu.sm and _is_before_turing(gpu) and not _old_cudnn(context):
            what = f"{gpu.name} needs a cuDNN older than 9.11 with onnxruntime-gpu"
            why = "cuDNN 9.10 is the last release that supports Maxwell, Pascal and Volta"
            findings.append(
                Finding.note(
                    "onnxruntime-gpu", what, why, 'add "nvidia-cudnn-cu12<9.11" to pins', "pins", newest.source
                )
            )
    return findings


def _is_before_turing(gpu: GpuModel) -> bool:
    return Version(gpu.sm) < Version("7.5")


def _old_cudnn(context: CheckContext) -> bool:
    """Whether cuDNN is pinned or locked below 9.11."""
    cudnn = context.package("nvidia-cudnn-cu12")
    if cudnn is None or not cudnn.locked:
        return bool(context.constraints("nvidia-cudnn-cu12"))
    return Version(cudnn.version) < Version("9.11")


def _brings(package: Package, row: OnnxRuntimeRow) -> str:
    return package.text if package.version else f"{package.text} may resolve to {row.key} or newer, which"


def _onnxruntime_remedy(gpu: GpuModel, context: CheckContext) -> str:
    requirement = onnxruntime_range(gpu.sm, "", context.facts, context.preset.python_version)
    return f'write "{requirement}"' if requirement else "use the CPU build, onnxruntime"


def onnxruntime_range(sm: str, cuda_major: str, facts: Facts, python: str) -> str:
    """The newest onnxruntime-gpu for an architecture, a Python (and a CUDA major version); empty for none."""
    rows = [
        row
        for row in rows_for_python(facts, python)
        if has_code_for(sm, row.sm, []) and (not cuda_major or row.cuda == cuda_major)
    ]
    if not rows:
        return ""
    last = Version(rows[-1].last)
    return f"onnxruntime-gpu>={rows[-1].key},<{last.major}.{last.minor + 1}"


def _onnxruntime_cuda(context: CheckContext, package: Package, newest: OnnxRuntimeRow) -> list[Finding]:
    cuda = context.wheel_cuda or context.base_cuda
    if not cuda or cuda.split(".")[0] == newest.cuda:
        return []
    what = f"{package.text} is built for CUDA {newest.cuda}, but the image has CUDA {cuda}"
    fitting = [row.key for row in context.facts.onnxruntime.values() if row.cuda == cuda.split(".")[0]]
    remedy = f"use onnxruntime-gpu {fitting[-1]}" if fitting else f"add the CUDA {newest.cuda} libraries as wheels"
    why = "it does not find its CUDA libraries and falls back to the CPU"
    return [Finding.warning("onnxruntime-gpu", what, why, remedy, package.where, newest.source)]
