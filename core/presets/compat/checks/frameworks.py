"""TensorFlow, JAX, CuPy and other packages whose Pythons, CUDA and GPUs the tables have by release."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name
from packaging.version import Version

from core.findings import Finding
from core.presets.compat.check_context import CheckContext, join_words
from core.presets.compat.gpu_names import GpuModel
from core.presets.compat.image_packages import IMPLIED_BY_EXTRAS, PINS, Package
from core.presets.compat.machine import sm_at_least
from core.presets.compat.rows import ReleaseRow, TensorflowRow

_HOLDS_GPU_CODE = re.compile(
    r"(?!nvidia-|cuda-|tensorrt)(.*-)?(gpu|cuda\d*x?|cu1\d\d?)(-.*)?|cupy|tf-nightly|flash-attn|xformers|vllm"
)


def tensorflow(context: CheckContext) -> list[Finding]:
    """TensorFlow's Pythons, driver, GPUs and CUDA libraries."""
    package = context.package("tensorflow", "tensorflow-cpu")
    if package is None or package.where == PINS:
        return []
    allowed = [row for row in context.facts.tensorflow.values() if package.may_match(f"=={row.key}.*")]
    if not allowed:
        releases_known = join_words(list(context.facts.tensorflow))
        what = f"{package.text} is not in the tables"
        why = "which Python versions, CUDA and GPU architectures it supports is not known"
        return [Finding.warning("tensorflow-unknown", what, why, f"known releases: {releases_known}", package.where)]
    python = context.preset.python_version
    fitting = [row for row in allowed if python in row.python]
    if not fitting and not package.locked:
        row = allowed[-1]
        why = f"it was built for Python {row.python[0]} to {row.python[-1]}"
        what = f"TensorFlow {row.key} has no wheels for Python {python}"
        level = (
            Finding.warning if package.allows("9999") else Finding.error
        )  # a release that is not in the tables may have them
        return [level("tensorflow-python", what, why, f"use Python {row.python[-1]}", package.where, row.source)]
    if package.name == "tensorflow-cpu":
        return []
    rows = fitting or allowed
    return [*_driver(context, package, rows), *_gpus(context, package, rows), *_libraries(context, package, rows[-1])]


def _driver(context: CheckContext, package: Package, rows: list[TensorflowRow]) -> list[Finding]:
    driver, row = context.target.driver if context.target else "", rows[-1]
    if not driver or Version(driver) >= Version(row.min_driver):
        return []
    level = Finding.warning if any(Version(driver) >= Version(other.min_driver) for other in rows) else Finding.error
    return [
        level(
            "tensorflow-cuda",
            f"TensorFlow {row.key} (CUDA {row.cuda}, cuDNN {row.cudnn}) does not work with driver {driver}",
            f"CUDA {row.cuda} needs driver {row.min_driver} or newer",
            f"install driver {row.min_driver} or newer on site",
            package.where,
            row.source,
        )
    ]


def _gpus(context: CheckContext, package: Package, rows: list[TensorflowRow]) -> list[Finding]:
    row = rows[-1]
    findings = []
    for gpu in context.target.gpus if context.target else ():
        if not gpu.sm or gpu.aarch64 or _knows(row, gpu):
            continue
        older = [other.key for other in context.facts.tensorflow.values() if _knows(other, gpu)]
        level = Finding.warning if any(_knows(other, gpu) for other in rows) else Finding.error
        what = f"TensorFlow {row.key} contains no code for {gpu}"
        remedy = f"use TensorFlow {older[-1]}, the last release that has it" if older else "use the CPU"
        why = f"its wheels need an architecture of {row.min_sm} or newer"
        findings.append(level("tensorflow-gpu", what, why, remedy, package.where, row.source))
    return findings


def _knows(row: TensorflowRow, gpu: GpuModel) -> bool:
    return not row.min_sm or sm_at_least(gpu.sm, row.min_sm)


def _libraries(context: CheckContext, package: Package, row: TensorflowRow) -> list[Finding]:
    """Its wheels link to CUDA and cuDNN, which come as separate wheels or with the base image."""
    image = context.preset.runtime_base_image or context.preset.base_image
    provided = "and-cuda" in package.extras or "and_cuda" in package.extras or "cudnn" in image
    if provided or context.package("nvidia-cudnn-cu11", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13"):
        return []
    if context.target is None or not context.target.gpus:
        return []
    what = f"nothing in the image provides CUDA {row.cuda} and cuDNN {row.cudnn} for {package.text}"
    why = "it does not find its CUDA libraries and falls back to the CPU"
    remedy = 'write "tensorflow[and-cuda]", or use a base image with cudnn in its tag'
    return [Finding.warning("tensorflow-cuda", what, why, remedy, package.where, row.source)]


def releases(context: CheckContext) -> list[Finding]:
    """Pythons and GPUs of packages in the tables, and GPU packages that are not in the tables."""
    findings: list[Finding] = []
    for package in context.packages.values():
        if package.where == PINS:
            continue
        rows = [row for row in context.facts.releases.values() if row.package == package.name]
        if rows:
            findings += _release(context, package, rows)
        if package.name not in _CHECKED and (_for_gpus(package, bool(rows)) or _asks_for_gpus(package)):
            why = "which CUDA, driver and GPU its wheels need was not checked"
            remedy = "compare its documentation with the site's machine; or name this code in `overrides`"
            findings.append(
                Finding.warning("package-unknown", f"{package.text} is not in the tables", why, remedy, package.where)
            )
    return findings


# Checked elsewhere, or part of such a package.
_CHECKED = frozenset(
    ("torch", "torchvision", "torchaudio", "onnxruntime-gpu", "jax-cuda12-pjrt", "jax-cuda13-pjrt", "jax-cuda-pjrt")
)
_GPU_EXTRA = re.compile(r"(.*-)?(gpu|cuda.*)")


def _for_gpus(package: Package, in_tables: bool) -> bool:
    """Whether a package's version tag, or its name if it is not `in_tables`, shows that it has code for GPUs."""
    local = (Version(package.version).local or "") if package.version else ""
    return "cu1" in local or "cuda" in local or (not in_tables and bool(_HOLDS_GPU_CODE.fullmatch(package.name)))


def _asks_for_gpus(package: Package) -> bool:
    """Whether an extra installs code for GPUs that no row describes; a lock lists what it installed."""
    extras = (canonicalize_name(extra) for extra in package.extras)
    unknown = (extra for extra in extras if (package.name, extra) not in IMPLIED_BY_EXTRAS and extra != "and-cuda")
    return not package.locked and any(_GPU_EXTRA.fullmatch(extra) for extra in unknown)


def _release(context: CheckContext, package: Package, rows: list[ReleaseRow]) -> list[Finding]:
    allowed = [row for row in rows if package.may_match(f">={row.first},<={row.last}")]
    if not allowed and not any(row.cuda for row in rows):
        return []  # the tables only know whether it has wheels, and the lock finds that out
    if not allowed:
        range_known = f"use a release from {rows[0].first} to {rows[-1].last}"
        what = f"{package.text} is not in the tables"
        why = "which Python versions and GPUs its wheels support is not known"
        return [Finding.warning("package-unknown", what, why, range_known, package.where)]
    python = context.preset.python_version
    fitting = [row for row in allowed if python in row.python]
    if not fitting and not package.locked:
        level = Finding.warning if not package.version and package.allows("9999") else Finding.error
        row = allowed[-1]
        why = f"{package.name} {row.first} was built for Python {row.python[0]} to {row.python[-1]}"
        others = [f"{other.first} to {other.last}" for other in rows if python in other.python]
        remedy = f"use Python {row.python[-1]}" + (f"; or {package.name} {others[-1]}" if others else "")
        what = f"{package.text} has no wheels for Python {python}"
        return [level("package-python", what, why, remedy, package.where, row.source)]
    return _release_gpus(context, package, fitting or allowed)


def _release_gpus(context: CheckContext, package: Package, rows: list[ReleaseRow]) -> list[Finding]:
    row = rows[-1]
    if not row.min_sm:
        return []
    return [
        Finding.error(
            "package-gpu",
            f"{package.text} does not run on {gpu}",
            f"with CUDA {row.cuda.partition('.')[0]} it needs an architecture of {row.min_sm} or newer",
            "use the build for an older CUDA",
            package.where,
            row.source,
        )
        for gpu in (context.target.gpus if context.target else ())
        if gpu.sm and not gpu.aarch64 and not sm_at_least(gpu.sm, row.min_sm)
    ]
