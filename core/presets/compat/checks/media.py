"""FFmpeg, NVENC and OpenCV."""

from __future__ import annotations

import re

from packaging.version import Version

from core.findings import Finding
from core.presets.compat.check_context import CheckContext, join_words
from core.presets.compat.facts import Facts
from core.presets.compat.machine import TargetMachine, sm_at_least
from core.presets.compat.rows import HeadersRow

_NVENC_OPTIONS = ("--enable-nvenc", "--enable-ffnvcodec", "--enable-nvdec", "--enable-cuvid")
_HEADERS = "build_options.nv_codec_headers_version"


def nvenc(context: CheckContext) -> list[Finding]:
    """The headers must fit the site's driver, or NVENC fails at the first frame."""
    target = context.target
    options = context.preset.build_options
    nvenc_options = [option for option in options.ffmpeg_configure if option in _NVENC_OPTIONS]
    if not options.nv_codec_headers_version:
        return [_no_headers(context, target, nvenc_options[0])] if nvenc_options else []
    findings = []
    version = options.nv_codec_headers_version.removeprefix("n")
    row = headers_row(version, context.facts)
    if row is None:
        what = f"nv-codec-headers {version} is not in the tables"
        findings.append(
            Finding.warning(
                "nvenc-headers", what, "", f"known: {join_words(list(context.facts.nv_codec_headers))}", _HEADERS
            )
        )
    elif target and target.driver and Version(target.driver) < Version(row.min_driver):
        findings.append(_driver_too_old(context, target, version, row))
    for gpu in target.gpus if target else ():
        if gpu.nvenc is False:
            why = "it can decode (NVDEC) but not encode"
            findings.append(
                Finding.warning(
                    "nvenc-gpu", f"{gpu.name} has no NVENC", why, "encode on the CPU (libx264)", "target.gpu"
                )
            )
    return findings


def _no_headers(context: CheckContext, target: TargetMachine | None, option: str) -> Finding:
    newest = newest_headers(target.driver if target else "", context.facts)
    remedy = f'add "nv_codec_headers_version": "{newest}"'
    why = "the newest headers refuse older drivers at run time"
    return Finding.warning("nvenc-headers", f"{option} is set without a fixed headers version", why, remedy, _HEADERS)


def _driver_too_old(context: CheckContext, target: TargetMachine, version: str, row: HeadersRow) -> Finding:
    newest = newest_headers(target.driver, context.facts)
    return Finding.error(
        "nvenc-driver",
        f"NVENC with nv-codec-headers {version} does not work with driver {target.driver}",
        f"these headers need driver {row.min_driver} or newer",
        f'write "nv_codec_headers_version": "{newest}"' if newest else "build without NVENC for this driver",
        _HEADERS,
        row.source,
    )


def headers_row(version: str, facts: Facts) -> HeadersRow | None:
    """The row of a release, `12.1.14.0`; its last number does not matter for the driver."""
    release = Version(version).release[:3]
    return next((row for row in facts.nv_codec_headers.values() if Version(row.key).release[:3] == release), None)


def newest_headers(driver: str, facts: Facts) -> str:
    """The newest nv-codec-headers that work with a driver (of all, if `driver` is empty); empty for none."""
    rows = [row for row in facts.nv_codec_headers.values() if not driver or Version(row.min_driver) <= Version(driver)]
    return max((row.key for row in rows), key=Version, default="")


def ffmpeg(context: CheckContext) -> list[Finding]:
    """Remarks on the FFmpeg branch."""
    version = context.preset.build_options.ffmpeg_version
    if not version:
        return []
    where = "build_options.ffmpeg_version"
    twice = [deb for deb in context.preset.debs if deb.partition("=")[0] == "ffmpeg"]
    if twice:
        what = f"FFmpeg {version} is compiled, and the deb {twice[0]} installs another one"
        why = "PATH decides which of the two runs, and each program loads the libraries it was linked to"
        return [Finding.warning("ffmpeg-twice", what, why, "keep one of them", "debs")]
    branch = ".".join(version.split(".")[:2])
    row = context.facts.ffmpeg.get(branch)
    if row is None:
        branches = join_words(list(context.facts.ffmpeg))
        return [
            Finding.note(
                "ffmpeg-unknown", f"FFmpeg {version} is not in the tables", f"known branches: {branches}", "", where
            )
        ]
    return [Finding.note("ffmpeg-note", f"FFmpeg {version}: {row.note}", "", "", where, row.source)] if row.note else []


def python_debs(context: CheckContext) -> list[Finding]:
    """Debs of Python packages are for the distribution's Python, which the image's programs do not use."""
    debs = [deb for deb in context.preset.debs if re.match(r"python3-(?!dev|venv|distutils|minimal|full)", deb)]
    if not debs:
        return []
    what = f"the image's Python does not see {join_words(debs, 'and')}"
    why = "debs are installed for the distribution's own Python, layers into /opt/xaiva"
    return [Finding.warning("python-deb", what, why, "name the package in a layer instead", "debs")]


def opencv(context: CheckContext) -> list[Finding]:
    """Each OpenCV supports the CUDA versions of its time; OpenCV 5 dropped old detectors."""
    target = context.target
    return [*_opencv_five(context), *_opencv_cuda(context, target)]


def _opencv_five(context: CheckContext) -> list[Finding]:
    package = context.package(*context.facts.same_import["cv2"].packages)
    if package is None or not package.may_match(">=5"):
        return []
    why = "OpenCV 5 has no HOGDescriptor and no CascadeClassifier; code that uses them fails at run time"
    remedy = f'write "{package.name}<5" unless your code is ready for 5'
    what = f"{package.text} {'is' if package.version else 'may resolve to'} OpenCV 5"
    return [Finding.note("opencv-five", what, why, remedy, package.where)]


def _opencv_cuda(context: CheckContext, target: TargetMachine | None) -> list[Finding]:
    options, where = context.preset.build_options, "build_options.opencv_version"
    if not options.opencv_version or "-DWITH_CUDA=ON" not in options.opencv_cmake:
        return []
    findings = []
    if not context.preset.source("opencv_contrib"):
        what = "OpenCV's CUDA modules are in opencv_contrib"
        remedy = f"add a source named opencv_contrib of version {options.opencv_version}, the same as OpenCV"
        findings.append(
            Finding.warning("opencv-contrib", what, "without it, WITH_CUDA builds no CUDA modules", remedy, "sources")
        )
    row = context.facts.opencv.get(options.opencv_version)
    if row is None:
        return findings
    cuda, newest = context.base_cuda, list(context.facts.opencv.values())
    if cuda and Version(row.cuda_up_to) < Version(cuda):
        fit = [other.key for other in newest if Version(other.cuda_up_to) >= Version(cuda)]
        remedy = f"use OpenCV {join_words(fit)}" if fit else "use an older CUDA"
        what = f"OpenCV {row.key} does not compile with CUDA {cuda}"
        findings.append(
            Finding.warning("opencv-cuda", what, f"it supports CUDA up to {row.cuda_up_to}", remedy, where, row.source)
        )
    for gpu in target.gpus if target else ():
        if gpu.sm and not sm_at_least(row.max_sm, gpu.sm):
            fit = [other.key for other in newest if sm_at_least(other.max_sm, gpu.sm)]
            remedy = f"use OpenCV {join_words(fit)}" if fit else "build it without CUDA"
            what = f"OpenCV {row.key} does not support {gpu}"
            findings.append(
                Finding.warning(
                    "opencv-cuda", what, f"it supports architectures up to {row.max_sm}", remedy, where, row.source
                )
            )
    return findings
