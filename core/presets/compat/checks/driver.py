"""The driver: CUDA's floor, and the gate inside the nvidia/cuda images."""

from __future__ import annotations

import re

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.facts import minor
from core.presets.compat.gpu_names import Gpu
from core.presets.compat.machine import TargetMachine, at_least, driver_cuda
from core.presets.compat.rows import CudaRow
from core.presets.compat.subject import Subject, error, note, warning
from core.presets.model import cuda_of

# The architecture that the next branch begins with, and the last branch for older ones.
_LAST_BRANCHES = (("5.0", 470), ("7.5", 580))
_LAST_BRANCHES_SOURCE = "NVIDIA, graphics driver releases (470: Kepler); wiki.nixos.org/wiki/NVIDIA (580: Volta)"


def driver_floor(subject: Subject) -> list[Finding]:
    """Whether the driver can carry the preset's CUDA: fully, with limits, or not."""
    target = subject.target
    if not subject.cuda or target is None:
        return []
    if not target.driver:
        remedy = "give it as `target.driver` or with --driver; `nvidia-smi` on site shows it"
        return [note("driver-unknown", "the site's driver is not known, it was not checked", "", remedy, "target")]
    row = subject.facts.cuda.get(subject.cuda)
    if row is None:
        # Every minor version of a major one has the same floor.
        major = subject.cuda.partition(".")[0]
        like = next((one for one in subject.facts.cuda.values() if one.key.partition(".")[0] == major), None)
        if like and Version(target.driver) < Version(like.min_driver):
            return [_too_old(subject, target, like)]
        what = f"CUDA {subject.cuda} is not in the tables: the driver was not checked"
        return [warning("driver-unknown", what, "", "add a row in docker/compat/cuda.json", "target.driver")]
    if Version(target.driver) < Version(row.min_driver):
        return [_too_old(subject, target, row)]
    if Version(target.driver) < Version(row.native_driver):
        what = f"driver {target.driver} runs CUDA {subject.cuda} by minor-version compatibility"
        why = f"the driver made for it is {row.native_driver}: PTX of that CUDA is not compiled at run time (error 222)"
        return [note("driver-minor", what, why, "use wheels that hold code for this very GPU", "target", row.source)]
    return []


def driver_gpu(subject: Subject) -> list[Finding]:
    """Whether the driver is newer than the last one for the GPU."""
    target = subject.target
    if not subject.cuda or target is None or not target.driver:
        return []
    found = []
    for gpu in target.gpus:
        branch = last_branch(gpu)
        if branch and Version(target.driver).major > branch:
            what = f"driver {target.driver} does not know {gpu}"
            why = f"{branch} is the last driver branch for its architecture"
            remedy = f"install a driver of branch {branch}, or take another GPU"
            found.append(error("driver-gpu", what, why, remedy, "target.driver", _LAST_BRANCHES_SOURCE))
    return found


def last_branch(gpu: Gpu) -> int | None:
    """The last driver branch for a GPU; None where the newest knows it, or nobody can say."""
    if not gpu.sm or gpu.aarch64:
        return None
    return next((branch for sm, branch in _LAST_BRANCHES if not at_least(gpu.sm, sm)), None)


def _too_old(subject: Subject, target: TargetMachine, row: CudaRow) -> Finding:
    possible = [row.key for row in subject.facts.cuda.values() if Version(row.min_driver) <= Version(target.driver)]
    other = f"; or take CUDA {possible[-1]} or older" if possible else ""
    cuda = subject.cuda
    fitting = _torch_that_fits(subject, target.driver) if cuda == subject.wheel_cuda else ""
    if fitting:
        other = f"; or pin torch=={fitting}"
    level = warning if fitting else error
    return level(
        "driver-floor",
        f"driver {target.driver} is too old for CUDA {cuda}",
        f"CUDA {cuda} ({subject.cuda_users[cuda]}) needs driver {row.min_driver} or newer",
        f"install driver {row.min_driver} or newer on site{other}",
        "target.driver",
        row.source,
    )


def _torch_that_fits(subject: Subject, driver: str) -> str:
    """The newest release that a torch without a fixed version may come in and that the driver can carry."""
    for version in subject.torch_versions[1:]:
        tag = subject.facts.wheel_tags.get(subject.tag_of(version))
        row = subject.facts.cuda.get(tag.cuda) if tag else None
        if row and Version(row.min_driver) <= Version(driver):
            return version
    return ""


def require_cuda(subject: Subject) -> list[Finding]:
    """nvidia/cuda images carry NVIDIA_REQUIRE_CUDA: the container toolkit refuses to start with older drivers."""
    target = subject.target
    image = (subject.preset.runtime_base_image or subject.preset.base_image).lower()
    asked = _required(subject, image)
    if target is None or not target.driver or not asked:
        return []
    cuda = minor(asked)
    if subject.preset.run.environment.get("NVIDIA_DISABLE_REQUIRE", "").lower() in ("1", "true"):
        return []
    knows = driver_cuda(target.driver, subject.facts)
    if knows and Version(knows) >= Version(cuda):
        return []
    gate = subject.facts.require_cuda.get(cuda)
    branch = Version(target.driver).major
    for gpu in target.gpus or (Gpu("this GPU"),):
        passes = gate is not None and branch in gate.branches and gpu.brand in gate.brands
        if not passes:
            return [_refused(subject, cuda, gpu, target.driver, knows, gate.source if gate else "")]
    return []


def _required(subject: Subject, image: str) -> str:
    """The CUDA that an image asks the driver for: as the locked image says, else as its name tells; empty for none."""
    environment = subject.resolved.environment if subject.resolved else None
    if environment is None:
        return cuda_of(image)
    found = re.search(r"cuda>=(\d+\.\d+)", environment.get("NVIDIA_REQUIRE_CUDA", ""))
    return found[1] if found else ""


def _refused(subject: Subject, cuda: str, gpu: Gpu, driver: str, knows: str, source: str) -> Finding:
    row = subject.facts.cuda.get(cuda)
    wanted = f"driver {row.native_driver} or newer" if row else "a newer driver"
    # An unknown gate or GPU, or an image that may have been made from nvidia/cuda: nobody can be sure.
    image = subject.preset.runtime_base_image or subject.preset.base_image
    level = error if gpu.brand and source and "nvidia/cuda:" in image.lower() else warning
    return level(
        "require-cuda",
        f"the container will not start: the image asks for cuda>={cuda}, driver {driver} has {knows or 'less'}",
        "nvidia/cuda images, and what is made from them, carry NVIDIA_REQUIRE_CUDA, which lets"
        f" {gpu.name} ({gpu.brand or 'unknown'} brand) pass only with a driver that knows this CUDA",
        f'install {wanted}; or take a base image without it, as "ubuntu:22.04"; or set'
        ' "NVIDIA_DISABLE_REQUIRE": "1" in run.environment',
        "runtime_base_image" if subject.preset.runtime_base_image else "base_image",
        source,
    )
