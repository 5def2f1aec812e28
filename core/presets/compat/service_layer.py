"""Chooses the ONNX Runtime for the layer `service` of the inference service.

All builds of ONNX Runtime install into the same folder: an image has exactly one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from core.presets.compat.facts import Facts
from core.presets.compat.image_packages import Layers
from core.presets.compat.pytorch_wheels import wheel_cuda
from core.presets.model import Preset

ENGINES = frozenset(
    [
        *("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-rocm"),
        *("onnxruntime-training", "onnxruntime-migraphx", "ort-nightly", "ort-nightly-gpu"),
    ]
)
ON_CPU = "onnxruntime>=1.20"
# Builds by CUDA's major version. 1.27 is the first for CUDA 13 and drops GPUs older than Turing; 1.18 was the last for
# CUDA 11. Builds for 12 and newer bring the CUDA and cuDNN libraries as extras; builds for 11 use the base image's.
_ON_GPU = {"11": "onnxruntime-gpu>=1.16,<1.19", "12": "onnxruntime-gpu{}>=1.22,<1.27", "13": "onnxruntime-gpu{}>=1.27"}
_NUMPY_1 = "numpy<2"  # ONNX Runtime up to 1.18 was compiled for it
_CUDNN_FOR_PASCAL = "nvidia-cudnn-cu12<9.11"  # 9.10 is the last cuDNN with kernels for Maxwell, Pascal and Volta


def engine_choices(preset: Preset, layers: Layers, facts: Facts) -> list[list[str]]:
    """Requirements of the ONNX Runtime to add to the layer `service`, best first; the first that resolves is used.

    The last choice adds none. It is the only choice if the preset's own layers require a build, and the fallback if a
    dependency brings a build that conflicts with every other choice.
    """
    own_lines = (line for _, lines in layers for line in lines)
    if not preset.inference_service or any(_name(line) in ENGINES for line in own_lines):
        return [[]]
    cuda = (wheel_cuda(preset, facts, layers) or preset.base_image_cuda).partition(".")[0]
    return [*_on_gpu(cuda, preset.runtime_base_image or preset.base_image), [ON_CPU], []]


def engines(names: Iterable[str]) -> set[str]:
    """The builds of ONNX Runtime among these packages."""
    return {str(name) for name in map(canonicalize_name, names) if name in ENGINES}


def _on_gpu(cuda: str, base: str) -> list[list[str]]:
    build = _ON_GPU.get(cuda)
    if build is None:
        return []
    extras = _missing_libraries(base)
    requirement = build.format(f"[{','.join(extras)}]" if extras else "")
    if cuda == "11":
        return [[requirement, _NUMPY_1]]
    if cuda == "12" and "cudnn" in extras:
        return [[requirement, _CUDNN_FOR_PASCAL], [requirement]]
    return [[requirement]]


def _missing_libraries(base: str) -> list[str]:
    """The CUDA libraries that an nvidia/cuda image lacks, by its tag: `base` has none, `cudnn` has all."""
    if "nvidia/cuda" in base and re.search(r"-cudnn(9)?-", base):
        return []
    if "nvidia/cuda" in base and re.search(r"-(runtime|devel)", base):
        return ["cudnn"]
    return ["cuda", "cudnn"]


def _name(line: str) -> str:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return ""
