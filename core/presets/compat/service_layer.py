"""The layer `service`: what the inference service needs in an image, with the ONNX Runtime that fits the preset.

There are several builds of ONNX Runtime, and all of them write the same folder: an image holds exactly one.
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
# Builds by CUDA's major version. 1.27 begins to need CUDA 13 and drops what is older than Turing; 1.18 was the last for
# CUDA 11. Those for 12 and newer bring CUDA's and cuDNN's libraries as extras; those for 11 take the base image's.
_ON_GPU = {"11": "onnxruntime-gpu>=1.16,<1.19", "12": "onnxruntime-gpu{}>=1.22,<1.27", "13": "onnxruntime-gpu{}>=1.27"}
_NUMPY_1 = "numpy<2"  # what ONNX Runtime was compiled for up to 1.18
_CUDNN_FOR_PASCAL = "nvidia-cudnn-cu12<9.11"  # 9.10 is the last cuDNN with kernels for Maxwell, Pascal and Volta


def engine_choices(preset: Preset, layers: Layers, facts: Facts) -> list[list[str]]:
    """Requirements of the ONNX Runtime to add to the layer `service`, best first; the first that resolves is taken.

    The last choice adds none: it is the only one where the preset's own layers ask for a build, and what is left where
    a dependency brings one that no choice goes with.
    """
    own_lines = (line for _, lines in layers for line in lines)
    if not preset.inference_service or any(_name(line) in ENGINES for line in own_lines):
        return [[]]
    cuda = (wheel_cuda(preset, facts, layers) or preset.base_image_cuda).partition(".")[0]
    return [*_on_gpu(cuda, preset.runtime_base_image or preset.base_image), [ON_CPU], []]


def engines(names: Iterable[str]) -> set[str]:
    """The builds of ONNX Runtime among these distributions."""
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
    """Which of CUDA's libraries an image of NVIDIA's lacks, by its tag: `base` has none, `cudnn` has all."""
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
