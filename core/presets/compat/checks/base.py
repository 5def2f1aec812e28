"""The base image: its tag, its system, its Python, its CUDA."""

from __future__ import annotations

import re

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.check_context import CheckContext
from core.presets.compat.rows import FamilyRow
from core.presets.model import cuda_in_image_name


def base_tag(context: CheckContext) -> list[Finding]:
    """With a moving tag the next lock may get another image."""
    image = context.preset.base_image
    last = image.rpartition("/")[2]
    if "@" in last or (":" in last and not last.endswith(":latest")):
        return []
    why = "it stands for the newest image on the day of the lock; the lock keeps its digest, and an upgrade changes it"
    return [
        Finding.warning("base-floating", f"{image} has no fixed tag", why, "write a tag with a version", "base_image")
    ]


def base_system(context: CheckContext) -> list[Finding]:
    """Debs need apt, wheels need glibc, and both need x86_64."""
    preset = context.preset
    images = [("base_image", preset.base_image), ("runtime_base_image", preset.runtime_base_image)]
    return [finding for where, image in images if image for finding in _system_of(context, where, image)]


def _system_of(context: CheckContext, where: str, image: str) -> list[Finding]:
    family = context.family(image)
    if family is None:
        why = "its name does not say whether it has apt, which Debian packages need, and glibc, which wheels need"
        remedy = "lock the preset: the lock looks into the image; or use a known one, such as debian:bookworm-slim"
        return [Finding.warning("base-unknown", f"{image}: its distribution is not known", why, remedy, where)]
    findings = []
    if family.aarch64:
        why = "it is for Arm processors (aarch64); presets are locked for x86_64"
        remedy = "use an x86_64 image, or build on the device"
        findings.append(
            Finding.error("base-platform", f"{image} does not run on x86_64", why, remedy, where, family.source)
        )
    if family.libc != "glibc":
        why = f"its C library is {family.libc}" if family.libc else "it has no C library"
        remedy = "use an image with glibc and apt, such as debian:bookworm-slim"
        what = f"{image} cannot load the wheels, which are built for glibc (manylinux)"
        findings.append(Finding.error("base-libc", what, why, remedy, where, family.source))
    if not family.apt:
        findings += _no_apt(context, where, image, family)
    return findings


def _no_apt(context: CheckContext, where: str, image: str, family: FamilyRow) -> list[Finding]:
    debs = [*context.preset.debs, *context.preset.build_debs]
    if not debs and context.compiles:
        debs = ["the compilers of build_options"]
    remedy = "use a Debian or Ubuntu base image"
    if debs:
        why = f"the preset asks for Debian packages: {', '.join(debs[:3])}{' …' if len(debs) > 3 else ''}"
        return [Finding.error("base-apt", f"{image} has no apt", why, remedy, where, family.source)]
    if not context.preset.python_version:
        return []
    why = "the lock looks for Python in the base image's apt"
    return [Finding.warning("base-apt", f"{image} has no apt", why, remedy, where, family.source)]


def base_python(context: CheckContext) -> list[Finding]:
    """Python comes from the distribution's debs, else from a standalone build that the lock finds."""
    expected = context.preset.python_version
    if not expected or context.preset.source("python"):
        return []
    if context.system is None:
        family = context.family(context.preset.base_image)
        if family is None or not family.apt or family.aarch64:
            return []  # `base_system` says so
        why = f"its name does not say which distribution it is; if that has no Python {expected}, {_STANDALONE}"
        return [
            Finding.note(
                "python-unknown", f"{context.preset.base_image}: its Python is not known", why, "", "base_image"
            )
        ]
    if context.system.python == expected:
        return []
    return [
        Finding.note(
            "python-base",
            f"{context.system.key} has Python {context.system.python}, the preset asks for {expected}",
            f"if its packages have no Python {expected}, {_STANDALONE}",
            f'write "python_version": "{context.system.python}" for a smaller image',
            "python_version",
            context.system.source,
        )
    ]


def service_python(context: CheckContext) -> list[Finding]:
    """The inference service needs the minimum Python of this project."""
    python = context.preset.python_version
    if not context.preset.inference_service or Version(python) >= Version(_SERVICE_PYTHON):
        return []
    what = f"the inference service has no wheel for Python {python}"
    remedy = f'use Python {_SERVICE_PYTHON} or newer, or write "inference_service": false'
    return [
        Finding.error("package-python", what, f"it needs Python {_SERVICE_PYTHON} or newer", remedy, "python_version")
    ]


_SERVICE_PYTHON = "3.10"  # pyproject.toml, requires-python
_STANDALONE = "the lock uses a standalone build"


def base_cuda(context: CheckContext) -> list[Finding]:
    """The wheels bring their own CUDA; the base image's matters for compiled parts and TensorRT."""
    if not context.base_cuda:
        cuda_is_known = context.resolved is not None and context.resolved.cuda is not None
        return [] if cuda_is_known else _unnamed_cuda(context.preset.runtime_base_image or context.preset.base_image)
    return [*_cuda_mismatch(context), *_larger_than_needed(context)]


def _unnamed_cuda(image: str) -> list[Finding]:
    """An image that seems to contain CUDA, without a version in its name."""
    if cuda_in_image_name(image) or not re.search(
        r"nvidia|nvcr\.io|cuda|gpu|pytorch/pytorch|tritonserver|deepstream", image
    ):
        return []
    why = "its name does not say which version; it was compared with neither the wheels nor the driver"
    remedy = "look at CUDA_VERSION and NVIDIA_REQUIRE_CUDA in its environment with `docker image inspect`"
    return [
        Finding.warning("base-cuda-unknown", f"{image} seems to contain a CUDA of its own", why, remedy, "base_image")
    ]


def _cuda_mismatch(context: CheckContext) -> list[Finding]:
    base, wheel = context.base_cuda, context.wheel_cuda
    if not wheel or base == wheel:
        return []
    where, image = "base_image", context.preset.base_image
    if Version(base).major == Version(wheel).major:
        why = "the wheels bring their own CUDA; both work in one process, because the major version is the same"
        return [Finding.note("base-cuda", f"{image} has CUDA {base}, the wheels {wheel}", why, "", where)]
    return [
        Finding.warning(
            "base-cuda",
            f"{image} has CUDA {base}, the PyTorch wheels have {wheel}",
            "what is compiled in the image (OpenCV, FFmpeg, extensions) links to one major version of CUDA, and PyTorch"
            " to the other; PyTorch then refuses to compile extensions",
            f"use a base image with CUDA {wheel}, or wheels tagged for CUDA {base}",
            where,
        )
    ]


def _larger_than_needed(context: CheckContext) -> list[Finding]:
    preset = context.preset
    if "-devel" not in preset.base_image or context.compiles or preset.sources or preset.runtime_base_image:
        return []
    why = "nothing is compiled here, and the wheels bring their own CUDA: only the driver matters"
    remedy = "use the -base- image of the same version, which is several gigabytes smaller"
    return [
        Finding.note(
            "base-size", f"{preset.base_image} contains compilers that nothing uses", why, remedy, "base_image"
        )
    ]
