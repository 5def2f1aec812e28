"""The checks, in the order in which their findings are shown."""

from __future__ import annotations

from core.presets.compat.checks.base import base_cuda, base_python, base_system, base_tag, service_python
from core.presets.compat.checks.conflicts import known_conflicts, numpy_one, same_import
from core.presets.compat.checks.driver import driver_floor, require_cuda
from core.presets.compat.checks.frameworks import releases, tensorflow
from core.presets.compat.checks.gpu import cuda_libraries, gpu_architecture, gpu_known, vram
from core.presets.compat.checks.indexes import index_unbound
from core.presets.compat.checks.media import ffmpeg, nvenc, opencv, python_debs
from core.presets.compat.checks.onnxruntime import onnxruntime
from core.presets.compat.checks.tensorrt import tensorrt
from core.presets.compat.checks.torch import torch_pairs, torch_python, torch_tag, torch_twice
from core.presets.compat.checks.unlocked import unlocked, wheel_files
from core.presets.compat.subject import Check

CHECKS: tuple[Check, ...] = (
    base_tag,
    base_system,
    base_python,
    service_python,
    base_cuda,
    torch_tag,
    torch_python,
    torch_pairs,
    torch_twice,
    tensorrt,
    gpu_known,
    gpu_architecture,
    cuda_libraries,
    driver_floor,
    require_cuda,
    tensorflow,
    onnxruntime,
    releases,
    same_import,
    numpy_one,
    known_conflicts,
    wheel_files,
    index_unbound,
    nvenc,
    ffmpeg,
    opencv,
    python_debs,
    vram,
    unlocked,
)

# Every code a check may give: what it is about. `overrides` of a preset names codes.
CODES: dict[str, str] = {
    "base-floating": "the base image has no fixed tag",
    "base-unknown": "the base image's distribution is not known",
    "base-platform": "the base image is for another processor",
    "base-libc": "the base image cannot load wheels",
    "base-apt": "the base image has no apt",
    "base-cuda": "the base image's CUDA and that of the wheels differ",
    "base-cuda-unknown": "the base image's own CUDA is not known",
    "base-size": "a smaller base image would do",
    "python-base": "the base image has another Python than the preset",
    "python-unknown": "the base image's own Python is not known",
    "torch-unknown": "this PyTorch release is not in the tables",
    "torch-tag": "this PyTorch release has no wheels with that tag",
    "torch-tag-unknown": "this wheel tag is not in the tables",
    "torch-tag-experimental": "PyTorch calls this combination experimental",
    "torch-python": "this PyTorch release has no wheels for that Python",
    "torch-pair": "torchvision or torchaudio does not go with torch",
    "torch-twice": "a layer or pin asks for another torch than the preset",
    "tensorrt-unknown": "this TensorRT release is not in the tables",
    "tensorrt-cuda": "TensorRT has no build for that CUDA",
    "tensorrt-python": "TensorRT has no bindings for that Python",
    "tensorrt-gpu": "TensorRT does not run on that GPU",
    "tensorrt-torch": "torch-tensorrt goes with another TensorRT",
    "tensorrt-origin": "where the TensorRT wheels come from is not said",
    "gpu-none": "no machine is named: GPU and driver were not checked",
    "gpu-unknown": "this GPU is not in the tables",
    "gpu-memory": "the name of the GPU leaves its memory open",
    "gpu-architecture": "the wheels hold no code for that GPU",
    "cuda-gpu": "that CUDA's libraries do not know that GPU",
    "gpu-platform": "this GPU belongs to another kind of machine",
    "driver-unknown": "the driver was not checked",
    "driver-floor": "the driver is too old for that CUDA",
    "driver-minor": "the driver is older than that CUDA, with limits",
    "require-cuda": "the base image refuses to start with that driver",
    "tensorflow-unknown": "this TensorFlow release is not in the tables",
    "tensorflow-python": "this TensorFlow release has no wheels for that Python",
    "tensorflow-cuda": "the driver or the base image does not fit TensorFlow",
    "tensorflow-gpu": "TensorFlow holds no code for that GPU",
    "onnxruntime-unknown": "this onnxruntime-gpu release is not in the tables",
    "onnxruntime-gpu": "onnxruntime-gpu holds no code for that GPU or CUDA",
    "package-unknown": "this release of a package for GPUs is not in the tables",
    "package-python": "this release of a package has no wheels for that Python",
    "package-gpu": "this package does not run on that GPU",
    "same-import": "two packages install the same files",
    "numpy-one": "a wheel built for NumPy 1 meets NumPy 2",
    "wheel-platform": "a wheel named by its address is for another Python or processor",
    "version-unlocked": "which release comes is not known before a lock",
    "not-locked": "without a current lock, only what the preset names was checked",
    "package-conflict": "a package asks for versions that the preset excludes",
    "index-unbound": "an index is asked for every package",
    "nvenc-driver": "NVENC of these headers needs a newer driver",
    "nvenc-gpu": "this GPU has no NVENC",
    "nvenc-headers": "NVENC is wanted without fixed headers",
    "ffmpeg-unknown": "this FFmpeg branch is not in the tables",
    "ffmpeg-note": "a remark on this FFmpeg branch",
    "ffmpeg-twice": "FFmpeg is compiled and comes as a deb, too",
    "media-source": "the source of Xaiva Media is not named",
    "opencv-cuda": "this OpenCV does not compile with that CUDA or for that GPU",
    "opencv-contrib": "OpenCV's CUDA modules need opencv_contrib of the same version",
    "opencv-five": "OpenCV 5 has no HOGDescriptor and no CascadeClassifier",
    "python-deb": "a deb of a Python package does not reach the image's Python",
    "vram": "the GPU's memory may not do",
    "overlay-unusable": "a file of the site's tables cannot be used",
    "override-unknown": "an override names no code",
    "preset-layers": "a requirement file cannot be read",
}
