"""The wheels for the fields `pytorch` and `tensorrt`, and the CUDA inside PyTorch's wheels."""

from __future__ import annotations

import re
from collections.abc import Mapping

from packaging.version import Version

from core.presets.compat.facts import Facts
from core.presets.compat.image_packages import Layers, Package, PresetRequirement, collect_packages, parse_requirements
from core.presets.model import Preset
from core.presets.package_binding import index_for

PYTORCH_FIELD = "pytorch.version"
_INDEX_TAG = re.compile(r"[/-](cu\d{2,3}|cpu|xpu|rocm[\d.]+)(?:/|$)")


def pytorch_requirements(preset: Preset, facts: Facts) -> list[str]:
    """`torch==2.7.1+cu126` and its companions; the resolver picks a companion of an unknown torch."""
    if not preset.pytorch:
        return []
    pair = facts.pair(preset.pytorch.version)
    versions = {"torch": preset.pytorch.release}
    if pair:
        versions |= {"torchvision": pair.torchvision, "torchaudio": pair.torchaudio}
    local = f"+{preset.pytorch.tag}" if preset.pytorch.tag else ""
    return [f"{name}=={versions[name]}{local}" if versions.get(name) else name for name in preset.pytorch.components]


def tensorrt_requirement(preset: Preset, facts: Facts, layers: Layers = ()) -> str:
    """The TensorRT wheel for the preset's CUDA: one package name for each CUDA major version since release 10."""
    version = Version(preset.tensorrt.version)
    cuda = wheel_cuda(preset, facts, layers) or preset.base_image_cuda
    package = f"tensorrt-cu{cuda.partition('.')[0]}" if version.major >= 10 and cuda else "tensorrt"
    return f"{package}=={version.public}.*"


def wheel_cuda(preset: Preset, facts: Facts, layers: Layers = ()) -> str:
    """The CUDA version inside the PyTorch wheels of the field or of `layers`, `12.6`; empty for none or unknown."""
    packages = infer_torch(collect_packages(torch_requirements(preset, facts, layers), None, {}), facts)
    versions = torch_versions(packages.get("torch"), preset, facts)
    row = facts.wheel_tags.get(torch_tag(versions[0], preset, facts)) if versions else None
    return row.cuda if row else ""


def torch_requirements(preset: Preset, facts: Facts, layers: Layers) -> tuple[PresetRequirement, ...]:
    """The requirements of the field `pytorch`, of the layers and of the pins."""
    fields = parse_requirements([("pytorch", pytorch_requirements(preset, facts))], [], preset.python_version)
    from_field = tuple(PresetRequirement(entry.requirement, PYTORCH_FIELD) for entry in fields)
    return (*from_field, *parse_requirements(layers, preset.pins, preset.python_version))


def infer_torch(packages: dict[str, Package], facts: Facts) -> dict[str, Package]:
    """Add the torch that belongs to a torchvision or torchaudio with a fixed version, if torch has none."""
    torch = packages.get("torch")
    if torch is not None and (torch.version or torch.address):
        return packages
    for name in ("torchvision", "torchaudio"):
        companion = packages.get(name)
        if companion is None or not companion.version:
            continue
        version = Version(companion.version)
        pairs = (pair for row in facts.torch.values() for pair in row.versions)
        fitting = [pair.torch for pair in pairs if getattr(pair, name) == version.public]
        if len(fitting) == 1 and (torch is None or torch.allows(fitting[0])):
            exact = f"{fitting[0]}+{version.local}" if version.local else fitting[0]
            inferred = Package("torch", exact, companion.where, f"torch {exact} (for {companion.text})")
            return {**packages, "torch": inferred}
    return packages


def torch_versions(torch: Package | None, preset: Preset, facts: Facts) -> list[str]:
    """The version of torch; while that is open, all possible versions in the tables, newest first."""
    if torch is None or torch.address:
        return []
    if torch.version:
        return [torch.version]
    rows = [row for row in facts.torch.values() if preset.python_version in (*row.python, *row.experimental_python)]
    tag = index_tag(preset)
    rows = [row for row in rows if tag in ("", "cpu", *row.tags, *row.experimental_tags)]
    versions = torch.allowed(pair.torch for row in rows for pair in row.versions)
    return sorted(versions, key=Version, reverse=True)


def torch_tag(version: str, preset: Preset, facts: Facts, packages: Mapping[str, Package] | None = None) -> str:
    """The wheel tag of a torch version: its own, that of its index, else that of the plain build; empty when unknown.

    `packages` are those of a lock: the CUDA runtime among them shows the CUDA of an unknown plain build.
    """
    local = Version(version).local or ""
    if local:
        return local
    row = facts.torch_row(version)
    if packages and packages["torch"].locked:
        return (row.default_tag if row else "") or _tag_of_runtime(packages)
    if index_for("torch", preset.indexes) or index_tag(preset):
        return index_tag(preset)
    return row.default_tag if row else ""


def index_tag(preset: Preset) -> str:
    """The wheel tag in the address of torch's index: the index it is bound to, else the first index with a tag."""
    owner = index_for("torch", preset.indexes)
    indexes = [owner] if owner else [index for index in preset.indexes if not index.packages]
    return next((match[1] for index in indexes if (match := _INDEX_TAG.search(index.url))), "")


def _tag_of_runtime(packages: Mapping[str, Package]) -> str:
    for name, package in packages.items():
        if re.fullmatch(r"nvidia-cuda-runtime(-cu\d+)?", name) and package.locked:
            return "cu{}{}".format(*(*Version(package.version).release, 0)[:2])
    return ""
