"""TensorFlow, JAX, CuPy and others of which the tables know Pythons, CUDA and GPUs by release."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name
from packaging.version import Version

from core.findings import Finding
from core.presets.compat.gpu_names import Gpu
from core.presets.compat.installed import EXTRAS, PINS, Package
from core.presets.compat.machine import at_least
from core.presets.compat.rows import ReleaseRow, TensorflowRow
from core.presets.compat.subject import Subject, error, listed, warning

_HOLDS_GPU_CODE = re.compile(
    r"(?!nvidia-|cuda-|tensorrt)(.*-)?(gpu|cuda\d*x?|cu1\d\d?)(-.*)?|cupy|tf-nightly|flash-attn|xformers|vllm"
)


def tensorflow(subject: Subject) -> list[Finding]:
    """TensorFlow's Pythons, driver, GPUs and CUDA libraries."""
    package = subject.package("tensorflow", "tensorflow-cpu")
    if package is None or package.where == PINS:
        return []
    allowed = [row for row in subject.facts.tensorflow.values() if package.may_be(f"=={row.key}.*")]
    if not allowed:
        known = listed(list(subject.facts.tensorflow))
        what = f"{package.text} is not in the tables"
        why = "its Pythons, its CUDA and its GPU architectures are not known"
        return [warning("tensorflow-unknown", what, why, f"known releases: {known}", package.where)]
    python = subject.preset.python_version
    fitting = [row for row in allowed if python in row.python]
    if not fitting and not package.locked:
        row = allowed[-1]
        why = f"it was built for Python {row.python[0]} to {row.python[-1]}"
        what = f"TensorFlow {row.key} has no wheels for Python {python}"
        level = warning if package.allows("9999") else error  # a release that the tables do not know may have them
        return [level("tensorflow-python", what, why, f"take Python {row.python[-1]}", package.where, row.source)]
    if package.name == "tensorflow-cpu":
        return []
    rows = fitting or allowed
    return [*_driver(subject, package, rows), *_gpus(subject, package, rows), *_libraries(subject, package, rows[-1])]


def _driver(subject: Subject, package: Package, rows: list[TensorflowRow]) -> list[Finding]:
    driver, row = subject.target.driver if subject.target else "", rows[-1]
    if not driver or Version(driver) >= Version(row.min_driver):
        return []
    level = warning if any(Version(driver) >= Version(other.min_driver) for other in rows) else error
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


def _gpus(subject: Subject, package: Package, rows: list[TensorflowRow]) -> list[Finding]:
    row = rows[-1]
    found = []
    for gpu in subject.target.gpus if subject.target else ():
        if not gpu.sm or gpu.aarch64 or _knows(row, gpu):
            continue
        older = [other.key for other in subject.facts.tensorflow.values() if _knows(other, gpu)]
        level = warning if any(_knows(other, gpu) for other in rows) else error
        what = f"TensorFlow {row.key} holds no code for {gpu}"
        remedy = f"take TensorFlow {older[-1]}, the last that has it" if older else "use the CPU"
        why = f"its wheels begin with {row.min_sm}"
        found.append(level("tensorflow-gpu", what, why, remedy, package.where, row.source))
    return found


def _knows(row: TensorflowRow, gpu: Gpu) -> bool:
    return not row.min_sm or at_least(gpu.sm, row.min_sm)


def _libraries(subject: Subject, package: Package, row: TensorflowRow) -> list[Finding]:
    """Its wheels link to CUDA and cuDNN, which come as wheels of their own or with the base image."""
    image = subject.preset.runtime_base_image or subject.preset.base_image
    here = "and-cuda" in package.extras or "and_cuda" in package.extras or "cudnn" in image
    if here or subject.package("nvidia-cudnn-cu11", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13"):
        return []
    if subject.target is None or not subject.target.gpus:
        return []
    what = f"nothing brings CUDA {row.cuda} and cuDNN {row.cudnn} for {package.text}"
    why = "it does not find its CUDA libraries and falls back to the CPU"
    remedy = 'write "tensorflow[and-cuda]", or take a base image with cudnn in its tag'
    return [warning("tensorflow-cuda", what, why, remedy, package.where, row.source)]


def releases(subject: Subject) -> list[Finding]:
    """Pythons and GPUs of the packages whose releases the tables know; those for GPUs that they do not know."""
    found: list[Finding] = []
    for package in subject.packages.values():
        if package.where == PINS:
            continue
        rows = [row for row in subject.facts.releases.values() if row.package == package.name]
        if rows:
            found += _release(subject, package, rows)
        if package.name not in _CHECKED and (_for_gpus(package, bool(rows)) or _asks_for_gpus(package)):
            why = "which CUDA, driver and GPU its wheels need was not checked"
            remedy = "compare its documentation with the site's machine; or name this code in `overrides`"
            found.append(warning("package-unknown", f"{package.text} is not in the tables", why, remedy, package.where))
    return found


# Checked elsewhere, or part of one that is.
_CHECKED = frozenset(
    ("torch", "torchvision", "torchaudio", "onnxruntime-gpu", "jax-cuda12-pjrt", "jax-cuda13-pjrt", "jax-cuda-pjrt")
)
_GPU_EXTRA = re.compile(r"(.*-)?(gpu|cuda.*)")


def _for_gpus(package: Package, known: bool) -> bool:
    """Whether a package's name, unless it is `known`, or the tag of its version tells that it holds code for GPUs."""
    local = (Version(package.version).local or "") if package.version else ""
    return "cu1" in local or "cuda" in local or (not known and bool(_HOLDS_GPU_CODE.fullmatch(package.name)))


def _asks_for_gpus(package: Package) -> bool:
    """Whether an extra stands for code for GPUs that no row tells of; a lock names what it brought."""
    extras = (canonicalize_name(extra) for extra in package.extras)
    unknown = (extra for extra in extras if (package.name, extra) not in EXTRAS and extra != "and-cuda")
    return not package.locked and any(_GPU_EXTRA.fullmatch(extra) for extra in unknown)


def _release(subject: Subject, package: Package, rows: list[ReleaseRow]) -> list[Finding]:
    allowed = [row for row in rows if package.may_be(f">={row.first},<={row.last}")]
    if not allowed and not any(row.cuda for row in rows):
        return []  # whether it has wheels is all that the tables know of it, and the lock finds that out
    if not allowed:
        known = f"known are {rows[0].first} to {rows[-1].last}"
        what = f"{package.text} is not in the tables"
        why = "which Pythons and GPUs its wheels are for is not known"
        return [warning("package-unknown", what, why, known, package.where)]
    python = subject.preset.python_version
    fitting = [row for row in allowed if python in row.python]
    if not fitting and not package.locked:
        level = warning if not package.version and package.allows("9999") else error
        row = allowed[-1]
        why = f"{package.name} {row.first} was built for Python {row.python[0]} to {row.python[-1]}"
        others = [f"{other.first} to {other.last}" for other in rows if python in other.python]
        remedy = f"take Python {row.python[-1]}" + (f"; or {package.name} {others[-1]}" if others else "")
        what = f"{package.text} has no wheels for Python {python}"
        return [level("package-python", what, why, remedy, package.where, row.source)]
    return _release_gpus(subject, package, fitting or allowed)


def _release_gpus(subject: Subject, package: Package, rows: list[ReleaseRow]) -> list[Finding]:
    row = rows[-1]
    if not row.min_sm:
        return []
    return [
        error(
            "package-gpu",
            f"{package.text} does not run on {gpu}",
            f"with CUDA {row.cuda.partition('.')[0]} it needs an architecture of {row.min_sm} or newer",
            "take the build for an older CUDA",
            package.where,
            row.source,
        )
        for gpu in (subject.target.gpus if subject.target else ())
        if gpu.sm and not gpu.aarch64 and not at_least(gpu.sm, row.min_sm)
    ]
