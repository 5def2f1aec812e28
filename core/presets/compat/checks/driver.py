"""The driver: the minimum for CUDA and for the GPU, and the condition inside nvidia/cuda images."""

from __future__ import annotations

import re

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.check_context import CheckContext
from core.presets.compat.facts import minor
from core.presets.compat.gpu_names import GpuModel
from core.presets.compat.machine import TargetMachine, driver_cuda, sm_at_least
from core.presets.compat.rows import CudaRow
from core.presets.model import cuda_in_image_name

# The oldest architecture that newer branches support, and the last branch for older GPUs.
_LAST_BRANCHES = (("5.0", 470), ("7.5", 580))
_LAST_BRANCHES_SOURCE = "NVIDIA, graphics driver releases (470: Kepler); wiki.nixos.org/wiki/NVIDIA (580: Volta)"


def driver_floor(context: CheckContext) -> list[Finding]:
    """Whether the driver supports the preset's CUDA: fully, with limits, or not."""
    target = context.target
    if not context.cuda or target is None:
        return []
    if not target.driver:
        remedy = "set `target.driver` or use --driver; `nvidia-smi` on site shows the version"
        return [
            Finding.note("driver-unknown", "the site's driver is not known and was not checked", "", remedy, "target")
        ]
    row = context.facts.cuda.get(context.cuda)
    if row is None:
        # All minor versions of a major version have the same minimum driver.
        major = context.cuda.partition(".")[0]
        like = next((other for other in context.facts.cuda.values() if other.key.partition(".")[0] == major), None)
        if like and Version(target.driver) < Version(like.min_driver):
            return [_too_old(context, target, like)]
        what = f"CUDA {context.cuda} is not in the tables: the driver was not checked"
        return [Finding.warning("driver-unknown", what, "", "add a row in docker/compat/cuda.json", "target.driver")]
    if Version(target.driver) < Version(row.min_driver):
        return [_too_old(context, target, row)]
    if Version(target.driver) < Version(row.native_driver):
        what = f"driver {target.driver} runs CUDA {context.cuda} by minor-version compatibility"
        why = f"full support begins with driver {row.native_driver}: older ones cannot compile its PTX (error 222)"
        return [
            Finding.note(
                "driver-minor", what, why, "use wheels that contain code for exactly this GPU", "target", row.source
            )
        ]
    return []


def driver_gpu(context: CheckContext) -> list[Finding]:
    """Whether the driver no longer supports the GPU."""
    target = context.target
    if not context.cuda or target is None or not target.driver:
        return []
    findings = []
    for gpu in target.gpus:
        branch = last_branch(gpu)
        if branch and Version(target.driver).major > branch:
            what = f"driver {target.driver} does not support {gpu}"
            why = f"{branch} is the last driver branch for its architecture"
            remedy = f"install a driver of branch {branch}, or use another GPU"
            findings.append(Finding.error("driver-gpu", what, why, remedy, "target.driver", _LAST_BRANCHES_SOURCE))
    return findings


def last_branch(gpu: GpuModel) -> int | None:
    """The last driver branch for a GPU; None if the newest supports it, or if that is not known."""
    if not gpu.sm or gpu.aarch64:
        return None
    return next((branch for sm, branch in _LAST_BRANCHES if not sm_at_least(gpu.sm, sm)), None)


def _too_old(context: CheckContext, target: TargetMachine, row: CudaRow) -> Finding:
    possible = [row.key for row in context.facts.cuda.values() if Version(row.min_driver) <= Version(target.driver)]
    other = f"; or use CUDA {possible[-1]} or older" if possible else ""
    cuda = context.cuda
    fitting = _torch_that_fits(context, target.driver) if cuda == context.wheel_cuda else ""
    if fitting:
        other = f"; or pin torch=={fitting}"
    level = Finding.warning if fitting else Finding.error
    return level(
        "driver-floor",
        f"driver {target.driver} is too old for CUDA {cuda}",
        f"CUDA {cuda} ({context.cuda_users[cuda]}) needs driver {row.min_driver} or newer",
        f"install driver {row.min_driver} or newer on site{other}",
        "target.driver",
        row.source,
    )


def _torch_that_fits(context: CheckContext, driver: str) -> str:
    """The newest possible release of an unpinned torch that the driver supports."""
    for version in context.torch_versions[1:]:
        tag = context.facts.wheel_tags.get(context.tag_of(version))
        row = context.facts.cuda.get(tag.cuda) if tag else None
        if row and Version(row.min_driver) <= Version(driver):
            return version
    return ""


def require_cuda(context: CheckContext) -> list[Finding]:
    """nvidia/cuda images carry NVIDIA_REQUIRE_CUDA: the container toolkit refuses to start with older drivers."""
    target = context.target
    image = (context.preset.runtime_base_image or context.preset.base_image).lower()
    required = _required_cuda(context, image)
    if target is None or not target.driver or not required:
        return []
    cuda = minor(required)
    if context.preset.run.environment.get("NVIDIA_DISABLE_REQUIRE", "").lower() in ("1", "true"):
        return []
    knows = driver_cuda(target.driver, context.facts)
    if knows and Version(knows) >= Version(cuda):
        return []
    gate = context.facts.require_cuda.get(cuda)
    branch = Version(target.driver).major
    for gpu in target.gpus or (GpuModel("this GPU"),):
        passes = gate is not None and branch in gate.branches and gpu.brand in gate.brands
        if not passes:
            return [_refused(context, cuda, gpu, target.driver, knows, gate.source if gate else "")]
    return []


def _required_cuda(context: CheckContext, image: str) -> str:
    """The CUDA that an image requires of the driver: from the locked image, else from its name; empty for none."""
    environment = context.resolved.environment if context.resolved else None
    if environment is None:
        return cuda_in_image_name(image)
    match = re.search(r"cuda>=(\d+\.\d+)", environment.get("NVIDIA_REQUIRE_CUDA", ""))
    return match[1] if match else ""


def _refused(context: CheckContext, cuda: str, gpu: GpuModel, driver: str, knows: str, source: str) -> Finding:
    row = context.facts.cuda.get(cuda)
    newer_driver = f"driver {row.native_driver} or newer" if row else "a newer driver"
    # With an unknown condition or GPU, or an image that may be made from nvidia/cuda, it is not certain.
    image = context.preset.runtime_base_image or context.preset.base_image
    level = Finding.error if gpu.brand and source and "nvidia/cuda:" in image.lower() else Finding.warning
    return level(
        "require-cuda",
        f"the container will not start: the image asks for cuda>={cuda}; driver {driver} supports {knows or 'less'}",
        "nvidia/cuda images, and images made from them, set NVIDIA_REQUIRE_CUDA, which lets"
        f" {gpu.name} ({gpu.brand or 'unknown'} brand) start only with a driver that supports this CUDA",
        f'install {newer_driver}; or use a base image without it, such as "ubuntu:22.04"; or set'
        ' "NVIDIA_DISABLE_REQUIRE": "1" in run.environment',
        "runtime_base_image" if context.preset.runtime_base_image else "base_image",
        source,
    )
