"""Kind: the check judges one spelling of a requirement, not what will be installed.

It applies wherever a package, its CUDA or its system can stand: the fields of a preset, its layers (inline or by the
address of a wheel), its pins, the base image and the debs. What is not known is said. `test_what_a_lock_brings.py` has
the same for the lock.
"""

from __future__ import annotations

import re

import pytest

from core.findings import Level
from core.presets.compat import check, named_target
from tests.support.checks import DRIVER, PASCAL, Fields, check_fields, preset_of

AMPERE = "RTX 3090"
WHEEL = "https://wheels.example.org/whl"


def python(version: str, *requirements: str) -> Fields:
    return {"python_version": version, "layers": list(requirements)}


def indexed(requirement: str, address: str, *packages: str) -> Fields:
    """That requirement, and an index of the preset, for all packages or for these."""
    index = {"name": "own", "url": f"https://{address}"} | ({"packages": list(packages)} if packages else {})
    return {"layers": [requirement], "indexes": [index]}


# What a preset asks for, on a GTX 1050 unless said; the finding that must come: level, code, and words of it.
FOUND: dict[str, tuple[Fields, str]] = {
    # torch, wherever it stands
    "torch in the field": ({"pytorch": {"version": "2.8.0"}}, "error gpu-architecture: pytorch.version"),
    "torch in a layer": (["torch==2.8.0"], "error gpu-architecture: layers: speech"),
    "torch with two numbers": (["torch==2.8"], "error gpu-architecture: cu128"),
    "torch with an extra": (["torch[opt-einsum]==2.8.0"], "error gpu-architecture: cu128"),
    "torch in capitals": (["Torch==2.8.0"], "error gpu-architecture: cu128"),
    "torch by ===": (["torch===2.8.0"], "error gpu-architecture: cu128"),
    "torch by ~=": (["torch~=2.8.0"], "error gpu-architecture: cu128"),
    "torch by ==2.8.*": (["torch==2.8.*"], "error gpu-architecture: cu128"),
    "torch in a range": (["torch>=2.8,<2.9"], "error gpu-architecture: cu128"),
    "torch with a tag": (["torch==2.7.1+cu128"], "error gpu-architecture: cu128"),
    "torch of no such tag": (["torch==2.8.0+cu118"], "error torch-tag: no torch 2.8.0 with cu118"),
    "torch with a marker": (['torch==2.8.0; python_version < "3.11"'], "error gpu-architecture: cu128"),
    "torch by its address": (
        [f"torch @ {WHEEL}/torch-2.8.0%2Bcu128-cp310-cp310-manylinux_2_28_x86_64.whl#sha256=00"],
        "error gpu-architecture: cu128",
    ),
    "torch by an unknown address": ([f"torch @ {WHEEL}/latest"], "warning torch-unknown: address"),
    "torch in a pin": ({"layers": ["timm"], "pins": ["torch==2.8.0"]}, "error gpu-architecture: pins"),
    "torch held by a pin": ({"layers": ["torch"], "pins": ["torch==2.8.0"]}, "error gpu-architecture: torch==2.8.0"),
    "torch without a version": (["torch"], "warning version-unlocked: torch"),
    "torch without a version, GPU": (["torch"], "warning gpu-architecture: torch 2.7.1 has code for it"),
    "torch from a version on": (["torch>=2.5"], "warning version-unlocked: torch>=2.5"),
    "torch newer than the tables": (["torch==2.99.0"], "warning torch-unknown: 2.99.0"),
    "torch older than the tables": (["torch==1.13.1"], "warning torch-unknown: 1.13.1"),
    "torch of a night": (["torch==2.7.0.dev20250301"], "warning torch-unknown: dev"),
    "torch with ultralytics": (["ultralytics"], "warning version-unlocked: torch comes with ultralytics"),
    "torch with torchvision": (["torchvision==0.23.0"], "error gpu-architecture: torch 2.8.0 (for torchvision"),
    "torch with torchaudio, by tag": (["torch", "torchaudio==2.7.1+cu128"], "error gpu-architecture: (for torchaudio"),
    "torch with any torchvision": (["torchvision"], "warning version-unlocked: comes with"),
    "another torchvision": (["torch==2.7.1", "torchvision==0.21.0"], "error torch-pair: is not compatible"),
    "another torchaudio, by tag": (["torch==2.7.1+cu126", "torchaudio==2.6.0+cu126"], "error torch-pair: torchaudio"),
    "torch under a CUDA base": (
        {"base_image": "nvidia/cuda:11.8.0-base-ubuntu22.04", "layers": ["torch==2.7.1"]},
        "warning base-cuda: 12.6",
    ),
    "torch of an index without it": (
        indexed("torch==2.8.0", "pytorch.example.org/whl/cu118"),
        "error torch-tag: no torch 2.8.0 with cu118",
    ),
    "a mirror": (indexed("torch==2.7.1", "nexus.example.org/pytorch-cu128/simple"), "error gpu-architecture: cu128"),
    "torch bound to a private index": (
        indexed("torch==2.7.1", "wheels.example.org/simple", "torch*"),
        "warning torch-tag-unknown: the wheel tag of",
    ),
    # Pythons without wheels
    "Python too new": (python("3.14", "torch==2.5.1"), "error torch-python: 3.14"),
    "Python too old": (python("3.8", "torch==2.8.0"), "error torch-python: 3.8"),
    "Python of no release": (python("3.14", "torch<2.6"), "error torch-python: 3.14"),
    "Python of TensorFlow": (python("3.13", "tensorflow==2.19.0"), "error tensorflow-python: 3.13"),
    "Python of onnxruntime": (python("3.14", "onnxruntime==1.20.1"), "error package-python: onnxruntime"),
    "Python of NumPy 1": (
        {"python_version": "3.13", "layers": ["numpy"], "pins": ["numpy<2"]},
        "error package-python: numpy with numpy<2",
    ),
    "Python of the inference service": (
        {"python_version": "3.9", "inference_service": True},
        "error package-python: Python 3.10 or newer",
    ),
    "Python of jaxlib": (["jaxlib==0.7.0"], "error package-python: jaxlib"),
    "Python of CuPy": (python("3.9", "cupy-cuda12x==14.0.1"), "error package-python: cupy"),
    "for 3.11": ([f"demo @ {WHEEL}/demo-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"], "error wheel-platform: cp311"),
    "wheel for Arm": ([f"demo @ {WHEEL}/demo-1.0-cp310-cp310-linux_aarch64.whl"], "error wheel-platform: aarch64"),
    "wheel of Windows": ([f"demo @ {WHEEL}/demo-1.0-cp310-cp310-win_amd64.whl"], "error wheel-platform: win"),
    "wheel for musl": ([f"demo @ {WHEEL}/demo-1.0-cp310-cp310-musllinux_1_2_x86_64.whl"], "error wheel-platform: musl"),
    # TensorRT, TensorFlow, JAX, CuPy, ONNX Runtime, nvidia-*
    "TensorRT in a layer": (["tensorrt==10.9.0"], "error tensorrt-gpu: layers: speech"),
    "TensorRT of CUDA 12": (["tensorrt-cu12==10.9.0.34"], "error tensorrt-gpu: 10.9.0.34"),
    "TensorRT's libraries": (["tensorrt_cu12_libs==10.9.0.34"], "error tensorrt-gpu: 10.9.0.34"),
    "TensorRT by CUDA": (["tensorrt-cu12==10.9.0", "torch==2.7.1+cu118"], "warning tensorrt-cuda: beside CUDA 11.8"),
    "TensorRT unknown": (["tensorrt==12.0"], "warning tensorrt-unknown: 12.0"),
    "TensorFlow unknown": (["tensorflow==2.99"], "warning tensorflow-unknown: 2.99"),
    "TensorFlow without CUDA": (["tensorflow==2.15.1"], "warning tensorflow-cuda: nothing in the image"),
    "JAX for CUDA 13": (python("3.12", "jax[cuda13]==0.8.0"), "error package-gpu: jax[cuda13]==0.8.0"),
    "JAX's plugin": (python("3.12", "jax-cuda13-plugin==0.8.0"), "error package-gpu: 7.5"),
    "JAX of any version": (["jax[cuda12]"], "warning version-unlocked: jax[cuda12]"),
    "CuPy for CUDA 13": (["cupy-cuda13x==13.6.0"], "error package-gpu: cupy-cuda13x"),
    "CuPy unknown": (["cupy-cuda12x==99"], "warning package-unknown: 99"),
    "CuPy of another name": (["cupy-cuda110"], "warning package-unknown: cupy-cuda110"),
    "ONNX Runtime of newer GPUs": (python("3.12", "onnxruntime-gpu==1.31.0"), "error onnxruntime-gpu: no machine code"),
    "ONNX Runtime unknown": (python("3.12", "onnxruntime-gpu==1.28.0"), "warning onnxruntime-unknown: 1.28.0"),
    "CUDA libraries as wheels": (["nvidia-cuda-runtime==13.0.48"], "warning cuda-gpu: nvidia-cuda-runtime==13.0.48"),
    "TensorRT by its older name": (["nvidia-tensorrt==8.4.1.5"], "warning tensorrt-unknown: 8.4"),
    "TensorRT with torch-tensorrt": (["torch-tensorrt==2.8.0"], "warning version-unlocked: tensorrt comes with"),
    "CUDA in the name of a package": (["nvidia-dali-cuda130==1.50.0"], "warning cuda-gpu: nvidia-dali-cuda130==1.50.0"),
    "CUDA in the tag of a version": (["mmcv==2.2.0+cu130"], "warning cuda-gpu: mmcv==2.2.0+cu130"),
    "a tag of CUDA that nobody checked": (["torch-scatter==2.1.2+pt21cu118"], "warning package-unknown: torch-scatter"),
    "JAX with a tag": (["jaxlib==0.4.13+cuda12.cudnn89"], "warning package-unknown: jaxlib"),
    "JAX for any CUDA": (["jax[cuda]==0.4.20"], "warning package-unknown: jax[cuda]"),
    "an extra for GPUs": (["rembg[gpu]"], "warning package-unknown: rembg[gpu]"),
    "MXNet": (["mxnet-cu112"], "warning package-unknown: mxnet-cu112"),
    "ONNX Runtime of any version": (["onnxruntime-gpu>=1.20"], "warning version-unlocked: assumes 1.22.0"),
    "an unknown package for GPUs": (["faiss-gpu-cu12==1.9"], "warning package-unknown: faiss-gpu-cu12"),
    # one import name
    "two ONNX Runtimes": (["onnxruntime", "onnxruntime-gpu==1.22.0"], "error same-import: onnxruntime"),
    "ONNX Runtime for training": (["onnxruntime", "onnxruntime-training==1.19.2"], "error same-import: training"),
    "a second ONNX Runtime": (["onnxruntime-gpu==1.22.0", "faster-whisper"], "warning same-import: brought by"),
    "two OpenCVs": (["opencv-python", "opencv-python-headless"], "error same-import: cv2"),
    "alike OpenCVs": (["opencv-python==4.11.0.86", "opencv-python-headless==4.11.0.86"], "warning same-import: cv2"),
    "alike ONNX Runtimes": (["onnxruntime==1.22.0", "onnxruntime-gpu==1.22.0"], "error same-import: onnxruntime"),
    "OpenCV with contrib": (["opencv-python==4.10.0.84", "opencv-contrib-python==4.11.0.86"], "error same-import: cv2"),
    "OpenCV compiled and as a wheel": (
        {"layers": ["opencv-python-headless"], "build_options": {"opencv_version": "4.10.0"}},
        "warning same-import: build_options.opencv_version",
    ),
    "two CuPys": (["cupy-cuda11x==13.6.0", "cupy-cuda12x==13.6.0"], "error same-import: cupy"),
    "FFmpeg twice": ({"debs": ["ffmpeg"], "build_options": {"ffmpeg_version": "7.1"}}, "warning ffmpeg-twice: ffmpeg"),
    "OpenCV as a deb": ({"debs": ["python3-opencv"]}, "warning python-deb: python3-opencv"),
    # NumPy 2 under wheels for NumPy 1
    "torch 2.2 with NumPy 2": (["torch==2.2.2", "numpy==2.1.0"], "error numpy-one: torch==2.2.2"),
    "torch 2.2 with any NumPy": (["torch==2.2.2", "numpy"], "warning numpy-one: numpy"),
    "torch 2.2 without NumPy": ({"pytorch": {"version": "2.2.2"}}, "warning numpy-one: nothing keeps numpy below 2"),
    "OpenCV 4.9 with NumPy 2": (["opencv-python<4.10", "numpy>=2"], "error numpy-one: opencv-python<4.10"),
    "ONNX Runtime 1.17 with NumPy 2": (
        {"layers": ["onnxruntime==1.17.3"], "pins": ["numpy>=2,<3"]},
        "error numpy-one: onnxruntime==1.17.3",
    ),
    "pandas 2.0 with any NumPy": (["pandas==2.0.3"], "warning numpy-one: pandas==2.0.3"),
    "TensorFlow 2.15 with NumPy 2": (["tensorflow==2.15.1", "numpy>=2"], "error numpy-one: tensorflow"),
    "OpenVINO with NumPy 2": (["onnxruntime-openvino==1.17.1", "numpy>=2"], "error numpy-one: openvino"),
    "TensorFlow for the CPU with NumPy 2": (["tensorflow-cpu==2.15.1", "numpy>=2"], "error numpy-one: tensorflow-cpu"),
    # the base image
    "Alpine": ({"base_image": "alpine:3.20"}, "error base-libc: musl"),
    "Alpine by its tag": ({"base_image": "python:3.11-alpine3.19"}, "error base-libc: musl"),
    "Alpine of a private registry": ({"base_image": "hub.example.org/base/alpine:3"}, "error base-libc: musl"),
    "Alpine as the runtime": ({"runtime_base_image": "alpine:3.20"}, "error base-libc: runtime_base_image"),
    "Rocky with debs": ({"base_image": "rockylinux:9", "debs": ["ffmpeg"]}, "error base-apt: ffmpeg"),
    "UBI with debs": ({"base_image": "nvidia/cuda:12.6.3-base-ubi9", "debs": ["ffmpeg"]}, "error base-apt: ubi9"),
    "Fedora without debs": ({"base_image": "fedora:41"}, "warning base-apt: fedora"),
    "distroless with debs": (
        {"base_image": "gcr.io/distroless/python3-debian12:latest", "debs": ["ffmpeg"]},
        "error base-apt: distroless",
    ),
    "Void with musl": ({"base_image": "voidlinux/voidlinux-musl:1"}, "error base-libc: musl"),
    "Raspberry Pi": ({"base_image": "balenalib/raspberrypi4-64-debian:bookworm"}, "error base-platform: aarch64"),
    "a base of Jetson containers": ({"base_image": "dustynv/pytorch:2.1-r36.2.0"}, "error base-platform: aarch64"),
    "scratch": ({"base_image": "scratch"}, "error base-libc: scratch"),
    "no apt": ({"base_image": "almalinux:9", "build_options": {"ffmpeg_version": "7.1"}}, "error base-apt: compilers"),
    "an unknown base": ({"base_image": "ours.example.org/app:1"}, "warning base-unknown: ours.example.org/app:1"),
    "a base with some CUDA": ({"base_image": "nvcr.io/nvidia/pytorch:24.05-py3"}, "warning base-cuda-unknown: CUDA"),
    "a base for Jetson": ({"base_image": "nvcr.io/nvidia/l4t-pytorch:r36.2.0"}, "error base-platform: aarch64"),
}


@pytest.mark.parametrize(("fields", "expected"), FOUND.values(), ids=FOUND)
def test_it_is_found(fields: Fields, expected: str) -> None:
    level, code, words = re.split(r":? ", expected, maxsplit=2)
    findings = [finding for finding in check_fields(fields) if finding.code == code]
    assert level in [finding.level.value for finding in findings]
    assert any(words in f"{finding.where} {finding.what} {finding.why} {finding.remedy}" for finding in findings)
    accepted = check(preset_of(fields).model_copy(update={"overrides": [code]}), named_target([PASCAL], DRIVER))
    assert {finding.level for finding in accepted if finding.code == code} == {Level.NOTE}


# What is well: on which GPU, and the codes that must not come.
WELL: dict[str, tuple[Fields, str, str]] = {
    "torch with code for the GPU": (["torch==2.7.1"], PASCAL, "gpu-architecture version-unlocked"),
    "torch of one row": (["torch~=2.7.0"], PASCAL, "gpu-architecture version-unlocked"),
    "torch with an older tag": (["torch==2.8.0+cu126"], PASCAL, "gpu-architecture torch-tag"),
    "torch of PyTorch's index": (indexed("torch==2.8.0", "pytorch.example.org/whl/cu126"), PASCAL, "gpu-architecture"),
    "torch of a range, from PyTorch's index": (
        indexed("torch", "pytorch.example.org/whl/cu118"),
        PASCAL,
        "gpu-architecture torch-tag",
    ),
    "an index of other packages": (indexed("torch==2.7.1", "x.org/whl/cu128", "six"), PASCAL, "gpu-architecture"),
    "torch for the CPU": (["torch==2.8.0+cpu"], PASCAL, "gpu-architecture driver-floor"),
    "torch of another system": (['torch==2.8.0; sys_platform == "win32"'], PASCAL, "gpu-architecture"),
    "torchvision with a tag": (["torch==2.7.1+cu126", "torchvision==0.22.1+cu126"], PASCAL, "torch-pair"),
    "numpy held": ({"layers": ["torch==2.2.2"], "pins": ["numpy<2"]}, PASCAL, "numpy-one"),
    "numpy held by the package": (["pandas==2.1.4", "numba==0.59.1"], PASCAL, "numpy-one"),
    "numpy held by another package": (["torch==2.2.2", "scipy==1.12.0"], PASCAL, "numpy-one"),
    "newer OpenCV": (["opencv-python>=4.9,<5", "numpy>=2"], PASCAL, "numpy-one"),
    "TensorFlow with its CUDA": (["tensorflow[and-cuda]==2.15.1"], AMPERE, "tensorflow-cuda package-unknown"),
    "CUDA 12 in the tag of a version": (["mmcv==2.1.0+cu118"], PASCAL, "cuda-gpu driver-floor"),
    "torchvision's tag": (["torch==2.7.1+cu126", "torchvision==0.22.1+cu126"], PASCAL, "package-unknown cuda-gpu"),
    "JAX with its CUDA": (python("3.12", "jax[cuda12_pip]==0.4.30"), PASCAL, "package-unknown package-python"),
    "an extra of no GPU": (["uvicorn[standard]", "rembg[cpu]"], PASCAL, "package-unknown"),
    "NumPy of any version": (python("3.13", "numpy>=1.24"), PASCAL, "package-python"),
    "CuPy for CUDA 12": (["cupy-cuda12x==13.6.0"], PASCAL, "package-gpu package-unknown"),
    "one OpenCV": (["opencv-python-headless"], PASCAL, "same-import"),
    "Debian debs": ({"base_image": "python:3.11-slim", "debs": ["ffmpeg"]}, PASCAL, "base-apt base-unknown base-libc"),
    "a wheel that fits": (
        [f"demo @ {WHEEL}/demo-1.0-cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"],
        PASCAL,
        "wheel-platform",
    ),
    "a wheel of pure Python": ([f"demo @ {WHEEL}/demo-1.0-py3-none-any.whl"], PASCAL, "wheel-platform"),
}


@pytest.mark.parametrize(("fields", "gpu", "codes"), WELL.values(), ids=WELL)
def test_there_is_no_false_alarm(fields: Fields, gpu: str, codes: str) -> None:
    assert [finding for finding in check_fields(fields, gpu) if finding.code in codes.split()] == []


MACHINES: dict[str, tuple[Fields, str, str, str]] = {
    "Jetson with nothing": ({}, "Jetson Orin Nano", "", "gpu-platform"),
    "Jetson with pure Python": (["six"], "Jetson AGX Orin", "", "gpu-platform"),
    "Jetson by another name": (["torch==2.8.0"], "NVIDIA Orin NX Developer Kit", "", "gpu-platform"),
    "Jetson by its architecture": (["torch==2.8.0"], "sm_87", "", "gpu-platform"),
    "Grace Blackwell": (["torch==2.8.0"], "NVIDIA GB300", "", "gpu-platform"),
    "T4G": (["torch==2.8.0"], "T4G", "", "gpu-platform"),
    "driver too old for RAPIDS": (["cudf-cu13==25.10"], "T4", "535.183.01", "driver-floor"),
    "driver too old for a tag": (["mmcv==2.2.0+cu130"], "T4", "535.183.01", "driver-floor"),
    "Grace Hopper": (["torch==2.8.0"], "GH200", "", "gpu-platform"),
    "driver too old for torch": (["torch==2.11.0"], "T4", "535.183.01", "driver-floor"),
    "driver too old for JAX": (["jax-cuda12-plugin==0.4.30"], "T4", "470.57.02", "driver-floor"),
    "driver too old for CuPy": (["cupy-cuda13x==13.6.0"], "T4", "535.183.01", "driver-floor"),
    "driver too old for CUDA wheels": (["nvidia-cublas-cu12==12.8.4.1"], "T4", "470.57.02", "driver-floor"),
    "driver too old for a newer CUDA": (["nvidia-cuda-runtime==13.99.1"], "T4", "535.183.01", "driver-floor"),
    "driver too old for CUDA wheels of 13": (["nvidia-cublas==13.1.0.3"], "T4", "535.183.01", "driver-floor"),
    "driver too old for CUDA debs": ({"debs": ["cuda-cudart-13-0"]}, "T4", "535.183.01", "driver-floor"),
    "driver too old for TensorFlow": (["tensorflow[and-cuda]==2.20.0"], "T4", "470.57.02", "tensorflow-cuda"),
    "TensorFlow after Maxwell": (["tensorflow[and-cuda]==2.18.0"], "GTX 970", "580.65.06", "tensorflow-gpu"),
}


@pytest.mark.parametrize(("fields", "gpu", "driver", "code"), MACHINES.values(), ids=MACHINES)
def test_the_machine_cannot_run_it(fields: Fields, gpu: str, driver: str, code: str) -> None:
    assert {finding.level for finding in check_fields(fields, gpu, driver) if finding.code == code} == {Level.ERROR}


@pytest.mark.parametrize("fields", [["torch"], {"pytorch": {"version": "2.8.0"}}, ["torch==2.99"]])
def test_without_a_machine_that_is_said(fields: Fields) -> None:
    assert {"gpu-none"} <= {finding.code for finding in check_fields(fields, "", "")}
