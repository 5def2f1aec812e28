"""The rows of the compatibility tables. Each has its source and the day it was verified."""

from __future__ import annotations

import re
from typing import Annotated

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _version(text: str) -> str:
    Version(text)
    return text


def _version_or_nothing(text: str) -> str:
    return _version(text) if text else text


def _range_from(text: str) -> str:
    if not any(specifier.operator == ">=" for specifier in SpecifierSet(text)):
        raise ValueError("a range begins with >=")
    return text


def _specifier(text: str) -> str:
    SpecifierSet(text)
    return text


def _requirement(text: str) -> str:
    Requirement(text)
    return text


def _sm(text: str) -> str:
    if not re.fullmatch(r"\d{1,2}\.\d", text, re.ASCII):
        raise ValueError("write it as 8.6")
    return text


def _sm_or_nothing(text: str) -> str:
    return _sm(text) if text else text


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


# A site's own rows go through the same validators, so that a typo does not break a check.
VersionText = Annotated[str, AfterValidator(_version)]
OptionalVersion = Annotated[str, AfterValidator(_version_or_nothing)]
SpecifierText = Annotated[str, AfterValidator(_specifier)]
RangeText = Annotated[str, AfterValidator(_range_from)]
RequirementText = Annotated[str, AfterValidator(_requirement)]
OptionalSm = Annotated[str, AfterValidator(_sm_or_nothing)]
Sm = Annotated[str, AfterValidator(_sm)]


class Row(BaseModel):
    """`key` is unique in its table; a row of the same key in a site's overlay replaces the shipped one.

    `verified_on` is empty if nobody verified it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    source: str
    verified_on: str


class VersionedRow(Row):
    """A row of a table that is ordered by its keys: the last one is the newest."""

    key: VersionText


class Pair(BaseModel):
    """Versions that were built for each other; empty means unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    torch: VersionText
    torchvision: OptionalVersion = ""
    torchaudio: OptionalVersion = ""


class TorchRow(VersionedRow):
    """One minor release of PyTorch: its wheel tags and Pythons; `default_tag` is the tag of the plain build."""

    versions: Annotated[list[Pair], Field(min_length=1)]
    tags: list[str]
    experimental_tags: list[str]
    default_tag: str
    python: Annotated[list[VersionText], Field(min_length=1)]
    experimental_python: list[str]
    cudnn: dict[str, str]


class WheelTagRow(Row):
    """A wheel tag: its CUDA version and the GPU architectures compiled into its wheels (`sm`, and `ptx`)."""

    cuda: OptionalVersion
    sm: list[Sm]
    ptx: list[Sm]


class CudaRow(VersionedRow):
    """A CUDA version: the minimum driver (minor-version compatibility), and the driver that fully supports it.

    `min_sm` is the oldest GPU architecture that its libraries and compilers support; empty when unknown.
    """

    min_driver: VersionText
    native_driver: VersionText
    min_sm: OptionalSm = ""


class RequireCudaRow(Row):
    """`NVIDIA_REQUIRE_CUDA` of the nvidia/cuda images: GPU brands that older driver branches may still start."""

    brands: list[str]
    branches: list[int]


class TensorRTRow(VersionedRow):
    """A range of TensorRT releases (`first` to `last`): CUDA builds, Pythons, oldest GPU architecture."""

    first: VersionText
    last: VersionText
    newest: VersionText
    cuda: Annotated[list[VersionText], Field(min_length=1)]
    python: Annotated[list[VersionText], Field(min_length=1)]
    min_sm: Sm
    torch_tensorrt: list[str]


class HeadersRow(VersionedRow):
    """A release of nv-codec-headers and the oldest driver with which its NVENC works."""

    min_driver: VersionText


class OnnxRuntimeRow(VersionedRow):
    """A range of onnxruntime-gpu releases: their CUDA major version and the architectures in the wheels."""

    first: VersionText
    last: VersionText
    cuda: str
    sm: list[Sm]
    cudnn: str


class GpuRow(Row):
    """A GPU: compute capability, memory, brand as the driver reports it, and whether it has NVENC (None: unknown).

    `vram_gib`: every size sold under the name; `vram_source` is the source of that, `source` of the rest.
    `vgpu`: the names of its vGPU profiles before the `-`. `aarch64`: it exists only with an Arm processor.
    """

    sm: Sm
    vram_gib: Annotated[list[float], BeforeValidator(_as_list), Field(min_length=1)]
    vram_source: str = ""
    brand: str
    nvenc: bool | None = None
    aliases: list[str] = []
    vgpu: list[str] = []
    note: str = ""
    aarch64: bool = False


class BaseImageRow(Row):
    """A base image to offer: its system, that system's Python, and whether it carries compilers."""

    os: str
    python: VersionText
    devel: bool


class SystemRow(Row):
    """A distribution release, its names in image names, and the version of its own Python."""

    names: list[str]
    python: str


class FamilyRow(Row):
    """A family of images, known by words of their names (`names`) or as a whole (`images`).

    `libc`: `glibc`, `musl` or empty for none; `aarch64`: they are for Arm processors.
    """

    names: list[str]
    images: list[str] = []
    apt: bool
    libc: str
    aarch64: bool = False


class OpenCvRow(VersionedRow):
    """An OpenCV release: the newest CUDA it compiles with and the newest GPU architecture it supports."""

    cuda_up_to: VersionText
    max_sm: Sm


class FfmpegRow(VersionedRow):
    """An FFmpeg branch to offer, with a remark."""

    note: str = ""


class TensorflowRow(VersionedRow):
    """A TensorFlow minor release: what it was tested with, and the oldest GPU architecture in its wheels."""

    python: Annotated[list[VersionText], Field(min_length=1)]
    cuda: str
    cudnn: str
    min_driver: VersionText
    min_sm: OptionalSm = ""


class VramRow(Row):
    """Memory that something needs on the GPU, in GiB; `package` names the requirement that brings it."""

    package: str
    gib: float
    what: str


class PackageRow(Row):
    """Dependencies of a range of a package's releases that are known to conflict with other requirements."""

    package: str
    versions: RangeText
    needs: list[RequirementText]


class ReleaseRow(Row):
    """A range of a package's releases, `first` to `last`: the Pythons of its wheels.

    `cuda` and `min_sm` are empty if its wheels have no code for GPUs.
    """

    package: str
    first: VersionText
    last: VersionText
    python: Annotated[list[VersionText], Field(min_length=1)]
    cuda: OptionalVersion = ""
    min_sm: OptionalSm = ""


class NumpyRow(Row):
    """Releases of a package whose wheels were built for NumPy 1. `capped`: they require `numpy<2` themselves."""

    package: str
    versions: SpecifierText
    capped: bool


class SameImportRow(Row):
    """Packages that install the same import name, `key`: the last one that is installed wins.

    `alike`: in the same release, one can replace the other in most programs.
    """

    packages: Annotated[list[str], Field(min_length=2)]
    alike: bool = False


class BringsRow(Row):
    """A package and its dependencies, as far as the checks need them."""

    brings: Annotated[list[str], Field(min_length=1)]
