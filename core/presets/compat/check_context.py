"""The input of the checks: a preset, the packages of its image, its lock and its machine; and helpers for findings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from packaging.utils import canonicalize_name
from packaging.version import Version

from core.findings import Finding
from core.presets.compat.facts import Facts
from core.presets.compat.image_packages import (
    PINS,
    Layers,
    Package,
    PresetRequirement,
    Resolved,
    collect_packages,
    parse_requirements,
)
from core.presets.compat.machine import TargetMachine
from core.presets.compat.pytorch_wheels import PYTORCH_FIELD, infer_torch, torch_requirements, torch_tag, torch_versions
from core.presets.compat.rows import FamilyRow, SystemRow, TorchRow, WheelTagRow
from core.presets.compat.service_layer import engine_choices
from core.presets.model import Preset


@dataclass(frozen=True)
class CheckContext:
    """A preset with its requirements, its lock and its machine, and what follows from them."""

    preset: Preset
    requirements: tuple[PresetRequirement, ...]
    facts: Facts
    target: TargetMachine | None = None
    resolved: Resolved | None = None

    @cached_property
    def packages(self) -> Mapping[str, Package]:
        """The packages of the image by name."""
        brings = {name: row.brings for name, row in self.facts.brings.items()}
        packages = collect_packages(self.requirements, self.resolved, brings)
        return packages if self.resolved else infer_torch(packages, self.facts)

    def package(self, *names: str) -> Package | None:
        """The first of these packages that is in the image."""
        return next((self.packages[name] for name in map(canonicalize_name, names) if name in self.packages), None)

    def constraints(self, name: str) -> list[PresetRequirement]:
        """Every requirement and pin of a package, without those of the field `pytorch`."""
        return [
            entry
            for entry in self.requirements
            if entry.name == canonicalize_name(name) and entry.where != PYTORCH_FIELD
        ]

    def requirement(self, *names: str) -> PresetRequirement | None:
        """The first requirement of one of these packages (not the pins)."""
        canonical_names = {canonicalize_name(name) for name in names}
        return next(
            (entry for entry in self.requirements if entry.name in canonical_names and entry.where != PINS), None
        )

    @property
    def torch(self) -> Package | None:
        return self.package("torch")

    @cached_property
    def torch_versions(self) -> list[str]:
        """The version of torch; while that is open, all possible versions in the tables, newest first."""
        return torch_versions(self.torch, self.preset, self.facts)

    @property
    def torch_version(self) -> str:
        """The version of torch that the checks assume: the known one, else the newest possible one."""
        return next(iter(self.torch_versions), "")

    def tag_of(self, version: str) -> str:
        """The wheel tag of torch in a version."""
        return torch_tag(version, self.preset, self.facts, self.packages)

    @property
    def tag(self) -> str:
        """The PyTorch wheel tag, `cu126`; empty for none."""
        return self.tag_of(self.torch_version) if self.torch_version else ""

    @property
    def tag_row(self) -> WheelTagRow | None:
        """The table's row of that tag."""
        return self.facts.wheel_tags.get(self.tag)

    @property
    def torch_row(self) -> TorchRow | None:
        """The table's row of the image's torch."""
        return self.facts.torch_row(self.torch_version) if self.torch_version else None

    @property
    def wheel_cuda(self) -> str:
        """The CUDA version inside the PyTorch wheels; empty for none."""
        row = self.tag_row
        return row.cuda if row else ""

    @property
    def base_cuda(self) -> str:
        """The CUDA version of the base image, `12.6`: from the locked image, else from its name."""
        locked_cuda = self.resolved.cuda if self.resolved else None
        return ".".join((self.preset.base_image_cuda if locked_cuda is None else locked_cuda).split(".")[:2])

    @cached_property
    def cuda_users(self) -> dict[str, str]:
        """Every CUDA version that something in the image was built with, and what that thing is."""
        users = {}
        if self.base_cuda:
            users[self.base_cuda] = self.preset.base_image
        for deb in [*self.preset.debs, *self.preset.build_debs]:
            if match := _CUDA_DEB.match(deb):
                users[f"{match[1]}.{match[2]}"] = f"the deb {deb}"
        for package in self.packages.values():
            if package.where != PINS and (cuda := self.cuda_of(package)):
                users.setdefault(cuda, package.text)
        if self.wheel_cuda and self.torch:
            users[self.wheel_cuda] = self.torch.text
        return users

    def cuda_of(self, package: Package) -> str:
        """The CUDA version of a package, from its name, its version or the tables; empty without one."""
        release = Version(package.version).release if package.version else ()
        if _CUDA_VERSIONED.fullmatch(package.name) and release:
            return ".".join(str(part) for part in (*release, 0)[:2])
        rows = [row for row in self.facts.releases.values() if row.package == package.name and row.cuda]
        if rows:
            return rows[-1].cuda
        local = _CUDA_LOCAL.search(Version(package.version).local or "") if package.version else None
        if local and package.name not in _TORCH_FAMILY:
            return f"{local[1]}.{local[2] or 0}"
        suffix = _CUDA_NAMED.fullmatch(package.name)
        major = suffix[1] if suffix else ""
        if _CUDA_BY_MAJOR.fullmatch(package.name) and release and release[0] >= _FIRST_UNSUFFIXED_MAJOR:
            major = str(release[0])
        if major:
            return next((row.key for row in self.facts.cuda.values() if row.key.startswith(f"{major}.")), f"{major}.0")
        return ""

    @property
    def cuda(self) -> str:
        """The newest CUDA that the driver has to support; empty when nothing in the image uses CUDA."""
        return max(self.cuda_users, key=Version, default="")

    @property
    def compiles(self) -> bool:
        """Whether the builder stage compiles something."""
        options = self.preset.build_options
        return bool(options.ffmpeg_version or options.opencv_version or options.xaiva_media_branch)

    @property
    def system(self) -> SystemRow | None:
        """The distribution of the base image, from the lock, else from its name."""
        os_release = self.resolved.os_release if self.resolved else ""
        image = os_release or self.preset.base_image.lower()
        normalized = re.sub(r"[^a-z0-9.]", "", image)
        for row in self.facts.systems.values():
            if row.key in normalized or any(name in image for name in row.names):
                return row
        return None

    def family(self, image: str) -> FamilyRow | None:
        """The family of an image: for the base image from the lock, else from its name."""
        os_release = self.resolved.os_release.lower() if self.resolved and image == self.preset.base_image else ""
        image = image.lower()
        folder, slash, last = image.partition("@")[0].rpartition("/")
        repository = f"{folder}{slash}{last.partition(':')[0]}".removeprefix("docker.io/").removeprefix("library/")
        words = set(re.findall(r"[a-z][a-z0-9]*", image)) | set(re.findall(r"[a-z]+", image))
        family_words = set(re.findall(r"[a-z]+", os_release)) or words
        for row in self.facts.families.values():
            if (words if row.aarch64 else family_words) & set(row.names):
                return row
        return next((row for row in self.facts.families.values() if repository in row.images), None)


# The runtime and the toolkit have CUDA's own version. Other packages have its major version in their names, or in their
# versions, unless these are their own, as cuFFT's.
_CUDA_VERSIONED = re.compile(r"nvidia-cuda-runtime(-cu\d+)?|cuda-toolkit")
_CUDA_NAMED = re.compile(r".+-cu(?:da)?(\d\d)[\dx]?(?:-.*)?")
_CUDA_LOCAL = re.compile(r"cu(?:da)?(\d\d)(\d)?(?!\d)")
_TORCH_FAMILY = ("torch", "torchvision", "torchaudio")  # their tag is judged as torch's own
_CUDA_BY_MAJOR = re.compile(r"cuda-(python|bindings)|nvidia-(cuda-(nvrtc|cupti|nvcc|cccl)|nvjitlink|nvtx|cublas)")
_FIRST_UNSUFFIXED_MAJOR = 12  # older wheels without a suffix are placeholders
_CUDA_DEB = re.compile(r"(?:cuda|libcu|libnv|libnpp)[a-z-]*-(\d\d)-(\d+)(?:=.*)?$")


class Check(Protocol):
    """A pure function over data: the same input gives the same findings, in the same order."""

    def __call__(self, context: CheckContext) -> list[Finding]:
        """Check one aspect of the preset."""


def build_context(
    preset: Preset, layers: Layers, facts: Facts, target: TargetMachine | None, resolved: Resolved | None
) -> CheckContext:
    """The context for a preset whose requirement files were read."""
    requirements = torch_requirements(preset, facts, layers)
    # The lock chooses the ONNX Runtime; its limit for NumPy is known before.
    service = engine_choices(preset, layers, facts)[0]
    numpy = [line for line in service if line.startswith("numpy")]
    numpy_limits = parse_requirements([("service", numpy)], [], preset.python_version)
    return CheckContext(preset, (*requirements, *numpy_limits), facts, target, resolved)


def join_words(words: list[str], joint: str = "or") -> str:
    """Join words as in `a, b or c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {joint} {words[-1]}"
