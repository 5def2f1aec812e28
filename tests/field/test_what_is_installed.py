"""Kind: the check judges one spelling of a wish, not what will be installed.

It applies wherever a package, its CUDA or its system can stand: the fields of a preset, its layers (inline, from a
file, by the address of a wheel), its pins, the base image, the debs, and the lock with all that other packages brought.
What is not known is said.
"""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core import doctor
from core.artifacts import lock, lock_store
from core.artifacts.lock_check import check_preset, resolved_of_lock
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage, LockedLayer
from core.errors import ChecksFailed
from core.findings import Finding, Level
from core.images.build_checks import check_compatibility
from core.presets.compat import LockedPackage, Resolved, check, named_target
from core.presets.compat.checks import CODES
from core.presets.model import Preset
from core.presets.store import load, load_named, preset_sha256
from core.site import Site
from tests.support.artifacts import RecordingProgress
from tests.support.index import serve

PASCAL = "GTX 1050"
AMPERE = "RTX 3090"
DRIVER = "580.65.06"
WHEEL = "https://wheels.example.org/whl"


def preset_of(**fields: Any) -> Preset:
    """A preset; `layers` may be the requirements of one layer named `speech`."""
    layers = fields.pop("layers", [])
    if layers and isinstance(layers[0], str):
        layers = [{"name": "speech", "requirements": layers}]
    return Preset.model_validate({"base_image": "ubuntu:22.04", "python_version": "3.10", **fields, "layers": layers})


def locked(*packages: str, complete: bool = True, os_release: str = "ubuntu 22.04") -> Resolved:
    """What a lock holds: `torch==2.8.0`, …, all in the layer speech."""
    pairs = (package.split("==") for package in packages)
    return Resolved(
        tuple(LockedPackage(name, version, "speech") for name, version in pairs), os_release, complete=complete
    )


def check_fields(
    fields: dict[str, Any], gpu: str = PASCAL, driver: str = DRIVER, resolved: Resolved | None = None
) -> list[Finding]:
    findings = check(preset_of(**fields), named_target([gpu] if gpu else [], driver), resolved=resolved)
    assert {finding.code for finding in findings} <= set(CODES)
    return findings


# What a preset asks for, on a GTX 1050 unless said; the finding that must come: level, code, and words of it.
FOUND: dict[str, tuple[dict[str, Any], str, str, str]] = {
    # torch, wherever it stands
    "torch in the field": ({"pytorch": {"version": "2.8.0"}}, "error", "gpu-architecture", "pytorch.version"),
    "torch in a layer": ({"layers": ["torch==2.8.0"]}, "error", "gpu-architecture", "layers: speech"),
    "torch with two numbers": ({"layers": ["torch==2.8"]}, "error", "gpu-architecture", "cu128"),
    "torch with an extra": ({"layers": ["torch[opt-einsum]==2.8.0"]}, "error", "gpu-architecture", "cu128"),
    "torch in capitals": ({"layers": ["Torch==2.8.0"]}, "error", "gpu-architecture", "cu128"),
    "torch by ===": ({"layers": ["torch===2.8.0"]}, "error", "gpu-architecture", "cu128"),
    "torch by ~=": ({"layers": ["torch~=2.8.0"]}, "error", "gpu-architecture", "cu128"),
    "torch by ==2.8.*": ({"layers": ["torch==2.8.*"]}, "error", "gpu-architecture", "cu128"),
    "torch in a range": ({"layers": ["torch>=2.8,<2.9"]}, "error", "gpu-architecture", "cu128"),
    "torch with a tag": ({"layers": ["torch==2.7.1+cu128"]}, "error", "gpu-architecture", "cu128"),
    "torch of no such tag": ({"layers": ["torch==2.8.0+cu118"]}, "error", "torch-tag", "no torch 2.8.0 with cu118"),
    "torch with a marker": (
        {"layers": ['torch==2.8.0; python_version < "3.11"']},
        "error",
        "gpu-architecture",
        "cu128",
    ),
    "torch by its address": (
        {"layers": [f"torch @ {WHEEL}/torch-2.8.0%2Bcu128-cp310-cp310-manylinux_2_28_x86_64.whl#sha256=00"]},
        "error",
        "gpu-architecture",
        "cu128",
    ),
    "torch by an unknown address": ({"layers": [f"torch @ {WHEEL}/latest"]}, "warning", "torch-unknown", "address"),
    "torch in a pin": ({"layers": ["timm"], "pins": ["torch==2.8.0"]}, "error", "gpu-architecture", "pins"),
    "torch held by a pin": (
        {"layers": ["torch"], "pins": ["torch==2.8.0"]},
        "error",
        "gpu-architecture",
        "torch==2.8.0",
    ),
    "torch without a version": ({"layers": ["torch"]}, "warning", "version-unlocked", "torch"),
    "torch without a version, GPU": (
        {"layers": ["torch"]},
        "warning",
        "gpu-architecture",
        "torch 2.7.1 has code for it",
    ),
    "torch from a version on": ({"layers": ["torch>=2.5"]}, "warning", "version-unlocked", "torch>=2.5"),
    "torch newer than the tables": ({"layers": ["torch==2.99.0"]}, "warning", "torch-unknown", "2.99.0"),
    "torch older than the tables": ({"layers": ["torch==1.13.1"]}, "warning", "torch-unknown", "1.13.1"),
    "torch of a night": ({"layers": ["torch==2.7.0.dev20250301"]}, "warning", "torch-unknown", "dev"),
    "torch with ultralytics": (
        {"layers": ["ultralytics"]},
        "warning",
        "version-unlocked",
        "torch comes with ultralytics",
    ),
    "torch with torchvision": (
        {"layers": ["torchvision==0.23.0"]},
        "error",
        "gpu-architecture",
        "torch 2.8.0 (for torchvision==0.23.0)",
    ),
    "torch with torchaudio, by tag": (
        {"layers": ["torch", "torchaudio==2.7.1+cu128"]},
        "error",
        "gpu-architecture",
        "torch 2.7.1+cu128 (for torchaudio",
    ),
    "torch with any torchvision": ({"layers": ["torchvision"]}, "warning", "version-unlocked", "comes with"),
    "another torchvision": (
        {"layers": ["torch==2.7.1", "torchvision==0.21.0"]},
        "error",
        "torch-pair",
        "torchvision==0.21.0 is not compatible with torch 2.7.1",
    ),
    "another torchaudio, by tag": (
        {"layers": ["torch==2.7.1+cu126", "torchaudio==2.6.0+cu126"]},
        "error",
        "torch-pair",
        "torchaudio",
    ),
    "torch under a CUDA base": (
        {"base_image": "nvidia/cuda:11.8.0-base-ubuntu22.04", "layers": ["torch==2.7.1"]},
        "warning",
        "base-cuda",
        "12.6",
    ),
    "torch of an index without it": (
        {"layers": ["torch==2.8.0"], "indexes": [{"name": "old", "url": "https://pytorch.example.org/whl/cu118"}]},
        "error",
        "torch-tag",
        "no torch 2.8.0 with cu118",
    ),
    "torch of a mirror": (
        {
            "layers": ["torch==2.7.1"],
            "indexes": [{"name": "old", "url": "https://nexus.example.org/pytorch-cu128/simple"}],
        },
        "error",
        "gpu-architecture",
        "cu128",
    ),
    "torch bound to a private index": (
        {
            "layers": ["torch==2.7.1"],
            "indexes": [{"name": "ours", "url": "https://wheels.example.org/simple", "packages": ["torch*"]}],
        },
        "warning",
        "torch-tag-unknown",
        "the wheel tag of",
    ),
    # Pythons without wheels
    "Python too new": ({"python_version": "3.14", "layers": ["torch==2.5.1"]}, "error", "torch-python", "3.14"),
    "Python too old": ({"python_version": "3.8", "layers": ["torch==2.8.0"]}, "error", "torch-python", "3.8"),
    "Python of no release": ({"python_version": "3.14", "layers": ["torch<2.6"]}, "error", "torch-python", "3.14"),
    "Python of TensorFlow": (
        {"python_version": "3.13", "layers": ["tensorflow==2.19.0"]},
        "error",
        "tensorflow-python",
        "3.13",
    ),
    "Python of onnxruntime": (
        {"python_version": "3.14", "layers": ["onnxruntime==1.20.1"]},
        "error",
        "package-python",
        "onnxruntime==1.20.1",
    ),
    "Python of NumPy 1": (
        {"python_version": "3.13", "layers": ["numpy"], "pins": ["numpy<2"]},
        "error",
        "package-python",
        "numpy with numpy<2",
    ),
    "Python of the inference service": (
        {"python_version": "3.9", "inference_service": True},
        "error",
        "package-python",
        "Python 3.10 or newer",
    ),
    "Python of jaxlib": ({"layers": ["jaxlib==0.7.0"]}, "error", "package-python", "jaxlib"),
    "Python of CuPy": (
        {"python_version": "3.9", "layers": ["cupy-cuda12x==14.0.1"]},
        "error",
        "package-python",
        "cupy",
    ),
    "wheel of another Python": (
        {"layers": [f"demo @ {WHEEL}/demo-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"]},
        "error",
        "wheel-platform",
        "cp311",
    ),
    "wheel of another processor": (
        {"layers": [f"demo @ {WHEEL}/demo-1.0-cp310-cp310-linux_aarch64.whl"]},
        "error",
        "wheel-platform",
        "aarch64",
    ),
    "wheel of Windows": (
        {"layers": [f"demo @ {WHEEL}/demo-1.0-cp310-cp310-win_amd64.whl"]},
        "error",
        "wheel-platform",
        "win",
    ),
    "wheel for musl": (
        {"layers": [f"demo @ {WHEEL}/demo-1.0-cp310-cp310-musllinux_1_2_x86_64.whl"]},
        "error",
        "wheel-platform",
        "musllinux",
    ),
    # TensorRT, TensorFlow, JAX, CuPy, ONNX Runtime, nvidia-*
    "TensorRT in a layer": ({"layers": ["tensorrt==10.9.0"]}, "error", "tensorrt-gpu", "layers: speech"),
    "TensorRT of CUDA 12": ({"layers": ["tensorrt-cu12==10.9.0.34"]}, "error", "tensorrt-gpu", "10.9.0.34"),
    "TensorRT's libraries": ({"layers": ["tensorrt_cu12_libs==10.9.0.34"]}, "error", "tensorrt-gpu", "10.9.0.34"),
    "TensorRT of another CUDA": (
        {"layers": ["tensorrt-cu12==10.9.0", "torch==2.7.1+cu118"]},
        "warning",
        "tensorrt-cuda",
        "beside CUDA 11.8",
    ),
    "TensorRT unknown": ({"layers": ["tensorrt==12.0"]}, "warning", "tensorrt-unknown", "12.0"),
    "TensorFlow unknown": ({"layers": ["tensorflow==2.99"]}, "warning", "tensorflow-unknown", "2.99"),
    "TensorFlow without CUDA": (
        {"layers": ["tensorflow==2.15.1"]},
        "warning",
        "tensorflow-cuda",
        "nothing in the image",
    ),
    "JAX for CUDA 13": (
        {"python_version": "3.12", "layers": ["jax[cuda13]==0.8.0"]},
        "error",
        "package-gpu",
        "jax[cuda13]==0.8.0",
    ),
    "JAX's plugin": ({"python_version": "3.12", "layers": ["jax-cuda13-plugin==0.8.0"]}, "error", "package-gpu", "7.5"),
    "JAX of any version": ({"layers": ["jax[cuda12]"]}, "warning", "version-unlocked", "jax[cuda12]"),
    "CuPy for CUDA 13": ({"layers": ["cupy-cuda13x==13.6.0"]}, "error", "package-gpu", "cupy-cuda13x"),
    "CuPy unknown": ({"layers": ["cupy-cuda12x==99"]}, "warning", "package-unknown", "99"),
    "CuPy of another name": ({"layers": ["cupy-cuda110"]}, "warning", "package-unknown", "cupy-cuda110"),
    "ONNX Runtime for newer GPUs": (
        {"python_version": "3.12", "layers": ["onnxruntime-gpu==1.31.0"]},
        "error",
        "onnxruntime-gpu",
        "no machine code for GTX 1050",
    ),
    "ONNX Runtime unknown": (
        {"python_version": "3.12", "layers": ["onnxruntime-gpu==1.28.0"]},
        "warning",
        "onnxruntime-unknown",
        "1.28.0",
    ),
    "CUDA libraries as wheels": (
        {"layers": ["nvidia-cuda-runtime==13.0.48"]},
        "warning",
        "cuda-gpu",
        "nvidia-cuda-runtime==13.0.48",
    ),
    "TensorRT by its older name": ({"layers": ["nvidia-tensorrt==8.4.1.5"]}, "warning", "tensorrt-unknown", "8.4"),
    "TensorRT with torch-tensorrt": (
        {"layers": ["torch-tensorrt==2.8.0"]},
        "warning",
        "version-unlocked",
        "tensorrt comes with torch-tensorrt==2.8.0",
    ),
    "CUDA in the name of a package": (
        {"layers": ["nvidia-dali-cuda130==1.50.0"]},
        "warning",
        "cuda-gpu",
        "nvidia-dali-cuda130==1.50.0",
    ),
    "CUDA in the tag of a version": ({"layers": ["mmcv==2.2.0+cu130"]}, "warning", "cuda-gpu", "mmcv==2.2.0+cu130"),
    "a tag of CUDA that nobody checked": (
        {"layers": ["torch-scatter==2.1.2+pt21cu118"]},
        "warning",
        "package-unknown",
        "torch-scatter",
    ),
    "JAX with a tag": ({"layers": ["jaxlib==0.4.13+cuda12.cudnn89"]}, "warning", "package-unknown", "jaxlib"),
    "JAX for any CUDA": ({"layers": ["jax[cuda]==0.4.20"]}, "warning", "package-unknown", "jax[cuda]"),
    "an extra for GPUs": ({"layers": ["rembg[gpu]"]}, "warning", "package-unknown", "rembg[gpu]"),
    "MXNet": ({"layers": ["mxnet-cu112"]}, "warning", "package-unknown", "mxnet-cu112"),
    "ONNX Runtime of any version": (
        {"layers": ["onnxruntime-gpu>=1.20"]},
        "warning",
        "version-unlocked",
        "assumes 1.22.0",
    ),
    "an unknown package for GPUs": (
        {"layers": ["faiss-gpu-cu12==1.9"]},
        "warning",
        "package-unknown",
        "faiss-gpu-cu12",
    ),
    # one import name
    "two ONNX Runtimes": (
        {"layers": ["onnxruntime", "onnxruntime-gpu==1.22.0"]},
        "error",
        "same-import",
        "onnxruntime",
    ),
    "ONNX Runtime for training": (
        {"layers": ["onnxruntime", "onnxruntime-training==1.19.2"]},
        "error",
        "same-import",
        "onnxruntime-training",
    ),
    "a second ONNX Runtime comes along": (
        {"layers": ["onnxruntime-gpu==1.22.0", "faster-whisper"]},
        "warning",
        "same-import",
        "brought by faster-whisper",
    ),
    "two OpenCVs": ({"layers": ["opencv-python", "opencv-python-headless"]}, "error", "same-import", "cv2"),
    "two OpenCVs of one release": (
        {"layers": ["opencv-python==4.11.0.86", "opencv-python-headless==4.11.0.86"]},
        "warning",
        "same-import",
        "cv2",
    ),
    "two ONNX Runtimes of one release": (
        {"layers": ["onnxruntime==1.22.0", "onnxruntime-gpu==1.22.0"]},
        "error",
        "same-import",
        "onnxruntime",
    ),
    "OpenCV with contrib": (
        {"layers": ["opencv-python==4.10.0.84", "opencv-contrib-python==4.11.0.86"]},
        "error",
        "same-import",
        "cv2",
    ),
    "OpenCV compiled and as a wheel": (
        {"layers": ["opencv-python-headless"], "build_options": {"opencv_version": "4.10.0"}},
        "warning",
        "same-import",
        "build_options.opencv_version",
    ),
    "two CuPys": ({"layers": ["cupy-cuda11x==13.6.0", "cupy-cuda12x==13.6.0"]}, "error", "same-import", "cupy"),
    "FFmpeg compiled and as a deb": (
        {"debs": ["ffmpeg"], "build_options": {"ffmpeg_version": "7.1"}},
        "warning",
        "ffmpeg-twice",
        "ffmpeg",
    ),
    "OpenCV as a deb": ({"debs": ["python3-opencv"]}, "warning", "python-deb", "python3-opencv"),
    # NumPy 2 under wheels for NumPy 1
    "torch 2.2 with NumPy 2": ({"layers": ["torch==2.2.2", "numpy==2.1.0"]}, "error", "numpy-one", "torch==2.2.2"),
    "torch 2.2 with any NumPy": ({"layers": ["torch==2.2.2", "numpy"]}, "warning", "numpy-one", "numpy"),
    "torch 2.2 without NumPy": (
        {"pytorch": {"version": "2.2.2"}},
        "warning",
        "numpy-one",
        "nothing keeps numpy below 2",
    ),
    "OpenCV 4.9 with NumPy 2": (
        {"layers": ["opencv-python<4.10", "numpy>=2"]},
        "error",
        "numpy-one",
        "opencv-python<4.10",
    ),
    "ONNX Runtime 1.17 with NumPy 2": (
        {"layers": ["onnxruntime==1.17.3"], "pins": ["numpy>=2,<3"]},
        "error",
        "numpy-one",
        "onnxruntime==1.17.3",
    ),
    "pandas 2.0 with any NumPy": ({"layers": ["pandas==2.0.3"]}, "warning", "numpy-one", "pandas==2.0.3"),
    "TensorFlow 2.15 with NumPy 2": (
        {"layers": ["tensorflow==2.15.1", "numpy>=2"]},
        "error",
        "numpy-one",
        "tensorflow",
    ),
    "ONNX Runtime for OpenVINO with NumPy 2": (
        {"layers": ["onnxruntime-openvino==1.17.1", "numpy>=2"]},
        "error",
        "numpy-one",
        "onnxruntime-openvino",
    ),
    "TensorFlow for the CPU with NumPy 2": (
        {"layers": ["tensorflow-cpu==2.15.1", "numpy>=2"]},
        "error",
        "numpy-one",
        "tensorflow-cpu",
    ),
    # the base image
    "Alpine": ({"base_image": "alpine:3.20"}, "error", "base-libc", "musl"),
    "Alpine by its tag": ({"base_image": "python:3.11-alpine3.19"}, "error", "base-libc", "musl"),
    "Alpine of a private registry": ({"base_image": "hub.example.org/base/alpine:3"}, "error", "base-libc", "musl"),
    "Alpine as the runtime": ({"runtime_base_image": "alpine:3.20"}, "error", "base-libc", "runtime_base_image"),
    "Rocky with debs": ({"base_image": "rockylinux:9", "debs": ["ffmpeg"]}, "error", "base-apt", "ffmpeg"),
    "UBI of NVIDIA with debs": (
        {"base_image": "nvidia/cuda:12.6.3-base-ubi9", "debs": ["ffmpeg"]},
        "error",
        "base-apt",
        "ubi9",
    ),
    "Fedora without debs": ({"base_image": "fedora:41"}, "warning", "base-apt", "fedora"),
    "distroless with debs": (
        {"base_image": "gcr.io/distroless/python3-debian12:latest", "debs": ["ffmpeg"]},
        "error",
        "base-apt",
        "distroless",
    ),
    "Void with musl": ({"base_image": "voidlinux/voidlinux-musl:1"}, "error", "base-libc", "musl"),
    "a base for a Raspberry Pi": (
        {"base_image": "balenalib/raspberrypi4-64-debian:bookworm"},
        "error",
        "base-platform",
        "aarch64",
    ),
    "a base of Jetson containers": ({"base_image": "dustynv/pytorch:2.1-r36.2.0"}, "error", "base-platform", "aarch64"),
    "scratch": ({"base_image": "scratch"}, "error", "base-libc", "scratch"),
    "compiled without apt": (
        {"base_image": "almalinux:9", "build_options": {"ffmpeg_version": "7.1"}},
        "error",
        "base-apt",
        "compilers",
    ),
    "an unknown base": ({"base_image": "ours.example.org/app:1"}, "warning", "base-unknown", "ours.example.org/app:1"),
    "a base with some CUDA": (
        {"base_image": "nvcr.io/nvidia/pytorch:24.05-py3"},
        "warning",
        "base-cuda-unknown",
        "CUDA",
    ),
    "a base for Jetson": ({"base_image": "nvcr.io/nvidia/l4t-pytorch:r36.2.0"}, "error", "base-platform", "aarch64"),
}


@pytest.mark.parametrize(("fields", "level", "code", "words"), FOUND.values(), ids=FOUND)
def test_it_is_found(fields: dict[str, Any], level: str, code: str, words: str) -> None:
    findings = [finding for finding in check_fields(fields) if finding.code == code]
    assert level in [finding.level.value for finding in findings]
    assert any(words in f"{finding.where} {finding.what} {finding.why} {finding.remedy}" for finding in findings)
    accepted = check_fields({**fields, "overrides": [code]})
    assert {finding.level for finding in accepted if finding.code == code} == {Level.NOTE}


# What is well: on which GPU, and the codes that must not come.
WELL: dict[str, tuple[dict[str, Any], str, str]] = {
    "torch with code for the GPU": ({"layers": ["torch==2.7.1"]}, PASCAL, "gpu-architecture version-unlocked"),
    "torch of one row": ({"layers": ["torch~=2.7.0"]}, PASCAL, "gpu-architecture version-unlocked"),
    "torch with an older tag": ({"layers": ["torch==2.8.0+cu126"]}, PASCAL, "gpu-architecture torch-tag"),
    "torch from PyTorch's index": (
        {"layers": ["torch==2.8.0"], "indexes": [{"name": "pytorch", "url": "https://pytorch.example.org/whl/cu126"}]},
        PASCAL,
        "gpu-architecture",
    ),
    "torch of a range, from PyTorch's index": (
        {"layers": ["torch"], "indexes": [{"name": "pytorch", "url": "https://pytorch.example.org/whl/cu118"}]},
        PASCAL,
        "gpu-architecture torch-tag",
    ),
    "an index that has other packages": (
        {
            "layers": ["torch==2.7.1"],
            "indexes": [{"name": "o", "url": "https://x.example.org/whl/cu128", "packages": ["six"]}],
        },
        PASCAL,
        "gpu-architecture",
    ),
    "torch for the CPU": ({"layers": ["torch==2.8.0+cpu"]}, PASCAL, "gpu-architecture driver-floor"),
    "torch of another system": ({"layers": ['torch==2.8.0; sys_platform == "win32"']}, PASCAL, "gpu-architecture"),
    "torchvision with a tag": ({"layers": ["torch==2.7.1+cu126", "torchvision==0.22.1+cu126"]}, PASCAL, "torch-pair"),
    "numpy held": ({"layers": ["torch==2.2.2"], "pins": ["numpy<2"]}, PASCAL, "numpy-one"),
    "numpy held by the package": ({"layers": ["pandas==2.1.4", "numba==0.59.1"]}, PASCAL, "numpy-one"),
    "numpy held by another package": ({"layers": ["torch==2.2.2", "scipy==1.12.0"]}, PASCAL, "numpy-one"),
    "newer OpenCV": ({"layers": ["opencv-python>=4.9,<5", "numpy>=2"]}, PASCAL, "numpy-one"),
    "TensorFlow with its CUDA": (
        {"layers": ["tensorflow[and-cuda]==2.15.1"]},
        AMPERE,
        "tensorflow-cuda package-unknown",
    ),
    "CUDA 12 in the tag of a version": ({"layers": ["mmcv==2.1.0+cu118"]}, PASCAL, "cuda-gpu driver-floor"),
    "torchvision's tag is torch's": (
        {"layers": ["torch==2.7.1+cu126", "torchvision==0.22.1+cu126"]},
        PASCAL,
        "package-unknown cuda-gpu",
    ),
    "JAX with its CUDA": (
        {"python_version": "3.12", "layers": ["jax[cuda12_pip]==0.4.30"]},
        PASCAL,
        "package-unknown package-python",
    ),
    "an extra of no GPU": ({"layers": ["uvicorn[standard]", "rembg[cpu]"]}, PASCAL, "package-unknown"),
    "NumPy of any version": ({"python_version": "3.13", "layers": ["numpy>=1.24"]}, PASCAL, "package-python"),
    "CuPy for CUDA 12": ({"layers": ["cupy-cuda12x==13.6.0"]}, PASCAL, "package-gpu package-unknown"),
    "one OpenCV": ({"layers": ["opencv-python-headless"]}, PASCAL, "same-import"),
    "debs of Debian": (
        {"base_image": "python:3.11-slim", "debs": ["ffmpeg"]},
        PASCAL,
        "base-apt base-unknown base-libc",
    ),
    "a wheel that fits": (
        {"layers": [f"demo @ {WHEEL}/demo-1.0-cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"]},
        PASCAL,
        "wheel-platform",
    ),
    "a wheel of pure Python": ({"layers": [f"demo @ {WHEEL}/demo-1.0-py3-none-any.whl"]}, PASCAL, "wheel-platform"),
}


@pytest.mark.parametrize(("fields", "gpu", "codes"), WELL.values(), ids=WELL)
def test_there_is_no_false_alarm(fields: dict[str, Any], gpu: str, codes: str) -> None:
    assert [finding for finding in check_fields(fields, gpu) if finding.code in codes.split()] == []


MACHINES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "Jetson with nothing": ({}, "Jetson Orin Nano", "", "gpu-platform"),
    "Jetson with pure Python": ({"layers": ["six"]}, "Jetson AGX Orin", "", "gpu-platform"),
    "Jetson by another name": ({"layers": ["torch==2.8.0"]}, "NVIDIA Orin NX Developer Kit", "", "gpu-platform"),
    "Jetson by its architecture": ({"layers": ["torch==2.8.0"]}, "sm_87", "", "gpu-platform"),
    "Grace Blackwell": ({"layers": ["torch==2.8.0"]}, "NVIDIA GB300", "", "gpu-platform"),
    "T4G": ({"layers": ["torch==2.8.0"]}, "T4G", "", "gpu-platform"),
    "driver too old for RAPIDS": ({"layers": ["cudf-cu13==25.10"]}, "T4", "535.183.01", "driver-floor"),
    "driver too old for a tag": ({"layers": ["mmcv==2.2.0+cu130"]}, "T4", "535.183.01", "driver-floor"),
    "Grace Hopper": ({"layers": ["torch==2.8.0"]}, "GH200", "", "gpu-platform"),
    "driver too old for torch": ({"layers": ["torch==2.11.0"]}, "T4", "535.183.01", "driver-floor"),
    "driver too old for JAX": ({"layers": ["jax-cuda12-plugin==0.4.30"]}, "T4", "470.57.02", "driver-floor"),
    "driver too old for CuPy": ({"layers": ["cupy-cuda13x==13.6.0"]}, "T4", "535.183.01", "driver-floor"),
    "driver too old for CUDA wheels": ({"layers": ["nvidia-cublas-cu12==12.8.4.1"]}, "T4", "470.57.02", "driver-floor"),
    "driver too old for a CUDA after the tables": (
        {"layers": ["nvidia-cuda-runtime==13.99.1"]},
        "T4",
        "535.183.01",
        "driver-floor",
    ),
    "driver too old for CUDA wheels of 13": (
        {"layers": ["nvidia-cublas==13.1.0.3"]},
        "T4",
        "535.183.01",
        "driver-floor",
    ),
    "driver too old for CUDA debs": ({"debs": ["cuda-cudart-13-0"]}, "T4", "535.183.01", "driver-floor"),
    "driver too old for TensorFlow": (
        {"layers": ["tensorflow[and-cuda]==2.20.0"]},
        "T4",
        "470.57.02",
        "tensorflow-cuda",
    ),
    "TensorFlow after Maxwell": (
        {"layers": ["tensorflow[and-cuda]==2.18.0"]},
        "GTX 970",
        "580.65.06",
        "tensorflow-gpu",
    ),
}


@pytest.mark.parametrize(("fields", "gpu", "driver", "code"), MACHINES.values(), ids=MACHINES)
def test_the_machine_cannot_run_it(fields: dict[str, Any], gpu: str, driver: str, code: str) -> None:
    assert {finding.level for finding in check_fields(fields, gpu, driver) if finding.code == code} == {Level.ERROR}


@pytest.mark.parametrize(
    "fields", [{"layers": ["torch"]}, {"pytorch": {"version": "2.8.0"}}, {"layers": ["torch==2.99"]}]
)
def test_without_a_machine_that_is_said(fields: dict[str, Any]) -> None:
    assert {"gpu-none"} <= {finding.code for finding in check_fields(fields, "", "")}


# What a lock holds beside what the preset names; the finding that must come.
LOCKED: dict[str, tuple[list[str], list[str], str, str, str]] = {
    "torch with ultralytics": (
        ["ultralytics"],
        ["ultralytics==8.3.0", "torch==2.8.0"],
        "error",
        "gpu-architecture",
        "lock: layer speech, brought by ultralytics",
    ),
    "torch with a stranger": (
        ["ours"],
        ["ours==1.0", "torch==2.8.0"],
        "error",
        "gpu-architecture",
        "lock: layer speech",
    ),
    "torch of the range": (["torch>=2.5"], ["torch==2.8.0"], "error", "gpu-architecture", "layers: speech"),
    "torch with a tag": (["ours"], ["torch==2.8.0+cu128"], "error", "gpu-architecture", "cu128"),
    "torch unknown, CUDA known": (
        ["torch"],
        ["torch==2.99.0", "nvidia-cuda-runtime==13.0.96"],
        "error",
        "gpu-architecture",
        "cu130",
    ),
    "torch unknown": (["torch"], ["torch==2.99.0"], "warning", "torch-unknown", "2.99.0"),
    "torchvision of another torch": (
        ["ours"],
        ["torch==2.7.1", "torchvision==0.21.0"],
        "error",
        "torch-pair",
        "torchvision 0.21.0",
    ),
    "TensorRT": (["ours"], ["tensorrt-cu12-libs==10.9.0.34"], "error", "tensorrt-gpu", "lock: layer speech"),
    "CUDA for Python": (["ours"], ["cuda-bindings==13.0.1"], "warning", "cuda-gpu", "cuda-bindings 13.0.1"),
    "JAX's plugin": (["jax[cuda13]"], ["jax-cuda13-plugin==0.8.0"], "error", "package-gpu", "jax-cuda13-plugin 0.8.0"),
    "two ONNX Runtimes": (
        ["onnxruntime-gpu", "faster-whisper"],
        ["onnxruntime-gpu==1.22.0", "onnxruntime==1.22.0"],
        "error",
        "same-import",
        "brought by faster-whisper",
    ),
    "NumPy 2": (["torch==2.2.2"], ["torch==2.2.2", "numpy==2.2.6"], "error", "numpy-one", "numpy 2.2.6"),
    "not all of it": (["ultralytics"], ["ultralytics==8.3.0"], "warning", "version-unlocked", "torch comes with"),
}


@pytest.mark.parametrize(("layers", "packages", "level", "code", "words"), LOCKED.values(), ids=LOCKED)
def test_after_a_lock_what_was_resolved_counts(
    layers: list[str], packages: list[str], level: str, code: str, words: str
) -> None:
    resolved = locked(*packages, complete=code != "version-unlocked")
    findings = [finding for finding in check_fields({"layers": layers}, resolved=resolved) if finding.code == code]
    assert [finding.level.value for finding in findings] == [level]
    assert any(words in f"{finding.where} {finding.what} {finding.why}" for finding in findings)


def test_a_complete_lock_leaves_nothing_open() -> None:
    fields = {"layers": ["torch", "opencv-python"], "base_image": "ours.example.org/app:1"}
    before = {finding.code for finding in check_fields(fields)}
    assert {"version-unlocked", "not-locked", "base-unknown"} <= before
    after = {
        finding.code for finding in check_fields(fields, resolved=locked("torch==2.7.1", "opencv-python==4.11.0.86"))
    }
    assert not after & {"version-unlocked", "not-locked", "base-unknown", "gpu-architecture"}


def test_without_numpy_in_a_complete_lock_nothing_meets_it() -> None:
    fields = {"layers": ["torch==2.2.2"]}
    assert not [
        finding for finding in check_fields(fields, resolved=locked("torch==2.2.2")) if finding.code == "numpy-one"
    ]


def test_a_pin_of_what_is_not_in_the_lock_says_nothing() -> None:
    fields = {"layers": ["six"], "pins": ["torch==2.8.0"]}
    assert not [
        finding
        for finding in check_fields(fields, resolved=locked("six==1.16.0"))
        if finding.code == "gpu-architecture"
    ]


# -- every door, with a lock on disk ---------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with a preset for a GTX 1050 whose layer brings torch, from a file."""
    (tmp_path / "presets" / "layers").mkdir(parents=True)
    (tmp_path / "presets" / "layers" / "speech.txt").write_text("# ours\nultralytics  # brings torch\n")
    fields = {
        "base_image": "debian:bookworm-slim",
        "python_version": "3.11",
        "layers": [{"name": "speech", "file": "layers/speech.txt"}],
        "inference_service": False,
        "target": {"gpu": PASCAL, "driver": DRIVER},
    }
    (tmp_path / "presets" / "vision.json").write_text(json.dumps(fields))
    return Site.open(tmp_path, environ={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"})


def lock_with(site: Site, *packages: str) -> Lock:
    """Write a lock of these wheels."""
    pairs = [package.split("==") for package in packages]
    paths = {f"layers/speech/wheels/{name}-{version}-py3-none-any.whl": (name, version) for name, version in pairs}
    lock = Lock(
        preset="vision",
        preset_sha256=preset_sha256(load_named(site, "vision"), site.presets),
        python_version="3.11",
        base_image=LockedImage(
            reference="debian:bookworm-slim", tag="x", config_digest="sha256:0", os_release="debian 12"
        ),
        layers=[LockedLayer(name="speech", requirements="layers/speech/requirements.txt", wheels=sorted(paths))],
        files=[
            LockedFile(
                path=path, size=1, sha256="0" * 64, kind=FileKind.WHEEL, url="file:x", name=name, version=version
            )
            for path, (name, version) in sorted(paths.items())
        ],
    )
    lock_store.write_lock(site, "vision", lock)
    return lock


def errors(site: Site) -> list[str]:
    findings = check_preset(site, "vision", load_named(site, "vision"))
    return [finding.code for finding in findings if finding.level is Level.ERROR]


def test_the_lock_on_disk_counts_until_the_preset_changes(site: Site) -> None:
    assert errors(site) == []
    lock_with(site, "ultralytics==8.3.0", "torch==2.8.0")
    assert errors(site) == ["gpu-architecture"]
    (site.presets / "layers" / "speech.txt").write_text("ultralytics\ntorch<2.8\n")
    assert errors(site) == []
    assert "not-locked" in {finding.code for finding in check_preset(site, "vision", load_named(site, "vision"))}


def test_a_build_refuses_what_will_not_work_and_takes_what_is_accepted(site: Site) -> None:
    lock = lock_with(site, "ultralytics==8.3.0", "torch==2.8.0")
    preset = load_named(site, "vision")
    with pytest.raises(ChecksFailed, match="GTX 1050") as refused:
        check_compatibility(site, "vision", preset, lock)
    assert "gpu-architecture" in refused.value.remedy
    accepted = preset.model_copy(update={"overrides": ["gpu-architecture"]})
    check_compatibility(site, "vision", accepted, lock)
    anywhere = preset.model_copy(update={"target": None})  # this host is not the site's machine
    check_compatibility(site, "vision", anywhere, lock)


def test_the_doctor_names_presets_that_will_not_work(site: Site) -> None:
    lock_with(site, "ultralytics==8.3.0", "torch==2.8.0")
    assert ["vision" in finding.what for finding in doctor.examine(site) if finding.code == "preset"] == [True]


def test_wheels_are_read_from_a_lock_with_their_layer(site: Site) -> None:
    (package,) = resolved_of_lock(lock_with(site, "torch==2.8.0"), lock_store.artifacts_folder(site, "vision")).packages
    assert (package.name, package.version, package.layer) == ("torch", "2.8.0", "speech")


@pytest.mark.parametrize(
    ("variables", "codes"),
    [
        (["CUDA_VERSION=13.0.2", "NVIDIA_REQUIRE_CUDA=cuda>=13.0 brand=tesla"], {"driver-floor", "require-cuda"}),
        (["CUDA_VERSION=13.0.2"], {"driver-floor"}),
        (["PATH=/bin"], set()),
    ],
    ids=["asks for a driver", "has CUDA", "has none"],
)
def test_the_cuda_of_a_base_image_is_that_of_its_variables(site: Site, variables: list[str], codes: set[str]) -> None:
    """Its name says nothing: before the lock that is a warning, after it the image counts."""
    preset = load_named(site, "vision").model_copy(update={"base_image": "ours.example.org/cuda-app:1"})
    target = named_target(["T4"], "535.183.01")
    before = {finding.code for finding in check(preset, target)}
    assert {"base-unknown", "base-cuda-unknown"} <= before
    lock = lock_with(site, "six==1.16.0")
    image = lock.base_image.model_copy(update={"folder": "images/base", "config_digest": "sha256:00"})
    blobs = lock_store.artifacts_folder(site, "vision") / image.folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    (blobs / "00").write_text(json.dumps({"config": {"Env": variables}}))
    resolved = resolved_of_lock(
        lock.model_copy(update={"base_image": image}), lock_store.artifacts_folder(site, "vision")
    )
    after = {finding.code for finding in check(preset, target, resolved=resolved)}
    assert after & {"driver-floor", "require-cuda", "base-cuda-unknown", "base-unknown"} == codes


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    """A wheel of that name with nothing in it."""
    info = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_a_real_lock_says_what_it_brought(site: Site, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    wheel(served, "ultralytics", "8.3.0", "torch>=1.8")
    wheel(served, "torch", "2.8.0")
    with serve(served) as index:
        online = Site(site.root, site.settings, {**site.env, "UV_DEFAULT_INDEX": f"{index.url}/simple"})
        outcome = lock.run(online, "vision", {}, RecordingProgress())
    findings = [Finding.model_validate(finding) for finding in outcome["findings"]]  # type: ignore[union-attr]
    (error,) = [finding for finding in findings if finding.level is Level.ERROR]
    assert (error.code, error.where) == ("gpu-architecture", "lock: layer speech, brought by ultralytics")


SHIPPED = {
    path.stem: path
    for path in sorted((Path(__file__).parents[2] / "presets").glob("*.json"))
    if "schema" not in path.name
}
KNOWN = {"dubbing-cuda13.0": {"package-conflict"}, "ubuntu22.04-cuda11.8": {"media-source", "tensorrt-origin"}}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_presets_give_no_false_alarm(name: str) -> None:
    """docs/presets.md explains what is known of them; anything else would be wrong."""
    findings = check(load(SHIPPED[name]), site=Site.open(SHIPPED[name].parents[1], environ={}))
    assert {finding.code for finding in findings if finding.level is not Level.NOTE} == KNOWN.get(name, set())
