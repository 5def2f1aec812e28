"""The base image: its tag, its Python, its CUDA."""

from __future__ import annotations

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.subject import Subject, note, warning


def base_tag(subject: Subject) -> list[Finding]:
    """A tag that moves makes another image next month."""
    image = subject.preset.base_image
    last = image.rpartition("/")[2]
    if "@" in last or (":" in last and not last.endswith(":latest")):
        return []
    why = "it means whatever is newest on the day of the lock; the lock keeps the digest, an upgrade moves it"
    return [warning("base-floating", f"{image} has no fixed tag", why, "write a tag with a version", "base_image")]


def base_python(subject: Subject) -> list[Finding]:
    """Python comes from the base image's own debs, else from a standalone build that the lock finds."""
    wanted = subject.preset.python_version
    if subject.preset.source("python"):
        return []
    if subject.system is None:
        why = f"its name does not tell the distribution; where it has no Python {wanted}, {_STANDALONE}"
        return [note("python-unknown", f"{subject.preset.base_image}: its Python is not known", why, "", "base_image")]
    if subject.system.python == wanted:
        return []
    return [
        note(
            "python-base",
            f"{subject.system.key} has Python {subject.system.python}, the preset wants {wanted}",
            f"where its packages have no {wanted}, {_STANDALONE}",
            f'write "python_version": "{subject.system.python}" for a smaller image',
            "python_version",
            subject.system.source,
        )
    ]


_STANDALONE = "the lock takes a standalone build of it"


def base_cuda(subject: Subject) -> list[Finding]:
    """The wheels bring their CUDA; the base image's matters for what is compiled and for TensorRT."""
    if not subject.base_cuda:
        return []
    return [*_differing(subject), *_larger_than_needed(subject)]


def _differing(subject: Subject) -> list[Finding]:
    base, wheel = subject.base_cuda, subject.wheel_cuda
    if not wheel or base == wheel:
        return []
    where, image = "base_image", subject.preset.base_image
    if Version(base).major == Version(wheel).major:
        why = "the wheels carry their own CUDA; within one major version both live in one process"
        return [note("base-cuda", f"{image} has CUDA {base}, the wheels {wheel}", why, "", where)]
    return [
        warning(
            "base-cuda",
            f"{image} has CUDA {base}, the PyTorch wheels have {wheel}",
            "what is compiled in the image (OpenCV, FFmpeg, extensions) links to one major version of CUDA, PyTorch to"
            " the other; PyTorch refuses to compile extensions then",
            f"take a base image with CUDA {wheel}, or wheels with the tag of CUDA {base}",
            where,
        )
    ]


def _larger_than_needed(subject: Subject) -> list[Finding]:
    preset = subject.preset
    options = preset.build_options
    compiles = options.ffmpeg_version or options.opencv_version or options.xaiva_media_branch or preset.sources
    if "-devel" not in preset.base_image or compiles or preset.runtime_base_image:
        return []
    why = "nothing is compiled here, and the wheels carry their own CUDA: only the driver matters"
    remedy = "take the -base- image of the same version, several gigabytes smaller"
    return [note("base-size", f"{preset.base_image} carries compilers that nothing uses", why, remedy, "base_image")]
