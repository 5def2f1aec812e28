"""The rows of the compatibility tables. Every row says where it comes from and when that was looked at."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Row(BaseModel):
    """`key` is unique in its table; a row of the same key in a site's overlay replaces the shipped one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    source: str
    verified_on: str


class Pair(BaseModel):
    """Versions that were built for each other; empty: not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    torch: str
    torchvision: str = ""
    torchaudio: str = ""


class TorchRow(Row):
    """One minor release of PyTorch: its wheel tags and Pythons; `default_tag` is that of the plain build."""

    versions: list[Pair]
    tags: list[str]
    experimental_tags: list[str]
    default_tag: str
    python: list[str]
    experimental_python: list[str]
    cudnn: dict[str, str]


class WheelTagRow(Row):
    """A wheel tag: its CUDA version and the GPU architectures compiled into its wheels (`sm`, and `ptx`)."""

    cuda: str
    sm: list[str]
    ptx: list[str]


class CudaRow(Row):
    """A CUDA version: the least driver (minor-version compatibility), and the driver that knows all of it."""

    min_driver: str
    native_driver: str


class RequireCudaRow(Row):
    """`NVIDIA_REQUIRE_CUDA` of the nvidia/cuda images: GPU brands that older driver branches may still start."""

    brands: list[str]
    branches: list[int]


class TensorRTRow(Row):
    """A range of TensorRT releases (`first` to `last`): CUDA builds, Pythons, least GPU architecture."""

    first: str
    last: str
    newest: str
    cuda: list[str]
    python: list[str]
    min_sm: str
    torch_tensorrt: list[str]


class HeadersRow(Row):
    """A release of nv-codec-headers and the least driver with which NVENC of that release works."""

    min_driver: str


class OnnxRuntimeRow(Row):
    """A range of onnxruntime-gpu releases: their CUDA major version and the architectures in the wheels."""

    first: str
    last: str
    cuda: str
    sm: list[str]
    cudnn: str


class GpuRow(Row):
    """A GPU: compute capability, memory in GiB, brand as the driver tells it, and whether it has NVENC."""

    sm: str
    vram_gib: float
    brand: str
    nvenc: bool
    aliases: list[str] = []
    note: str = ""


class BaseImageRow(Row):
    """A base image to offer: its system, that system's Python, and whether it carries compilers."""

    os: str
    python: str
    devel: bool


class SystemRow(Row):
    """A distribution release, under which names images carry it, and the version of its own Python."""

    names: list[str]
    python: str


class OpenCvRow(Row):
    """An OpenCV release: the newest CUDA it compiles with and the newest GPU architecture it knows."""

    cuda_up_to: str
    max_sm: str


class FfmpegRow(Row):
    """An FFmpeg branch to offer, with a remark."""

    note: str = ""


class TensorflowRow(Row):
    """A TensorFlow minor release: what it was tested with."""

    python: list[str]
    cuda: str
    cudnn: str
    min_driver: str


class VramRow(Row):
    """Memory that something needs on the GPU, in GiB; `package` names the requirement that brings it."""

    package: str
    gib: float
    what: str


class PackageRow(Row):
    """What a range of a package's releases asks of others, where it is known to meet other wishes badly."""

    package: str
    versions: str
    needs: list[str]
