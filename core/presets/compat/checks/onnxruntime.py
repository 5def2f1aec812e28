"""ONNX Runtime for GPUs: the architectures in its wheels, and the CUDA that it links to."""

from __future__ import annotations

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.facts import Facts
from core.presets.compat.gpu_names import Gpu
from core.presets.compat.installed import PINS, Package
from core.presets.compat.machine import TargetMachine, runs
from core.presets.compat.rows import OnnxRuntimeRow
from core.presets.compat.subject import Subject, error, listed, note, warning


def onnxruntime(subject: Subject) -> list[Finding]:
    """onnxruntime-gpu carries code for a few architectures and links to one CUDA major version."""
    package = subject.package("onnxruntime-gpu")
    if package is None or package.where == PINS:
        return []
    row = _newest(subject, package)
    if row is None:
        known = listed([f"{row.first} to {row.last}" for row in subject.facts.onnxruntime.values()], "and")
        what = f"{package.text} is not in the tables"
        why = "its CUDA and its GPU architectures are not known"
        return [warning("onnxruntime-unknown", what, why, f"known are {known}", package.where)]
    return [*_onnxruntime_gpus(subject, package, row, subject.target), *_onnxruntime_cuda(subject, package, row)]


def _newest(subject: Subject, package: Package) -> OnnxRuntimeRow | None:
    """The newest range that may come: what the resolver will take."""
    rows = rows_for_python(subject.facts, subject.preset.python_version)
    allowed = [row for row in rows if package.may_be(f">={row.first},<={row.last}")]
    return allowed[-1] if allowed else None


def rows_for_python(facts: Facts, python: str) -> list[OnnxRuntimeRow]:
    """The ranges of onnxruntime-gpu that have wheels for a Python, oldest first, as far as that is known."""
    releases = [row for row in facts.releases.values() if row.package == "onnxruntime-gpu"]
    lacking = [row for row in releases if python not in row.python]
    return [
        row
        for row in facts.onnxruntime.values()
        if not any(Version(other.first) <= Version(row.first) <= Version(other.last) for other in lacking)
    ]


def _onnxruntime_gpus(
    subject: Subject, package: Package, newest: OnnxRuntimeRow, target: TargetMachine | None
) -> list[Finding]:
    found = []
    for gpu in target.gpus if target else ():
        if gpu.sm and not runs(gpu.sm, newest.sm, []):
            # Whether there is PTX for newer GPUs in the wheels was not looked up.
            newer = Version(gpu.sm) > Version(newest.sm[-1])
            level = warning if newer else error
            what = f"{_brings(package, newest)} holds no machine code for {gpu.name}"
            why = f"its wheels hold {', '.join(newest.sm)} (CUDA {newest.cuda})"
            why += "; whether they hold PTX that it can compile is not known" if newer else ""
            remedy = _onnxruntime_remedy(gpu, subject)
            found.append(level("onnxruntime-gpu", what, why, remedy, package.where, newest.source))
        elif gpu.sm and _is_before_turing(gpu) and not _old_cudnn(subject):
            what = f"{gpu.name} needs cuDNN before 9.11 with onnxruntime-gpu"
            why = "cuDNN 9.10 is the last with Maxwell, Pascal and Volta"
            found.append(
                note("onnxruntime-gpu", what, why, 'add "nvidia-cudnn-cu12<9.11" to pins', "pins", newest.source)
            )
    return found


def _is_before_turing(gpu: Gpu) -> bool:
    return Version(gpu.sm) < Version("7.5")


def _old_cudnn(subject: Subject) -> bool:
    """Whether cuDNN is held, or locked, below 9.11."""
    cudnn = subject.package("nvidia-cudnn-cu12")
    if cudnn is None or not cudnn.locked:
        return bool(subject.constraints("nvidia-cudnn-cu12"))
    return Version(cudnn.version) < Version("9.11")


def _brings(package: Package, row: OnnxRuntimeRow) -> str:
    return package.text if package.version else f"{package.text} may come as {row.key} or newer, which"


def _onnxruntime_remedy(gpu: Gpu, subject: Subject) -> str:
    wanted = onnxruntime_range(gpu.sm, "", subject.facts, subject.preset.python_version)
    return f'write "{wanted}"' if wanted else "use the CPU build, onnxruntime"


def onnxruntime_range(sm: str, cuda_major: str, facts: Facts, python: str) -> str:
    """The newest onnxruntime-gpu for an architecture, a Python (and a CUDA major version); empty for none."""
    rows = [
        row
        for row in rows_for_python(facts, python)
        if runs(sm, row.sm, []) and (not cuda_major or row.cuda == cuda_major)
    ]
    if not rows:
        return ""
    last = Version(rows[-1].last)
    return f"onnxruntime-gpu>={rows[-1].key},<{last.major}.{last.minor + 1}"


def _onnxruntime_cuda(subject: Subject, package: Package, newest: OnnxRuntimeRow) -> list[Finding]:
    cuda = subject.wheel_cuda or subject.base_cuda
    if not cuda or cuda.split(".")[0] == newest.cuda:
        return []
    what = f"{package.text} brings a build for CUDA {newest.cuda}, the image has {cuda}"
    fitting = [row.key for row in subject.facts.onnxruntime.values() if row.cuda == cuda.split(".")[0]]
    remedy = f"take onnxruntime-gpu {fitting[-1]}" if fitting else f"add the CUDA {newest.cuda} libraries as wheels"
    why = "it does not find its CUDA libraries and falls back to the CPU"
    return [warning("onnxruntime-gpu", what, why, remedy, package.where, newest.source)]
