"""What a preset's layers come to: the implicit ones of PyTorch and TensorRT, then its own, with their files read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

from core.presets.compat.facts import Facts, load_facts
from core.presets.model import Index, Preset
from core.presets.store import layer_requirements

PYTORCH = "pytorch"
TENSORRT = "tensorrt"
PYTORCH_INDEX = "https://download.pytorch.org/whl/{tag}"


@dataclass(frozen=True)
class Expanded:
    """Layers in build order with their requirement lines, the indexes to ask, and the pins that hold for all."""

    layers: list[tuple[str, list[str]]]
    indexes: list[Index]
    pins: list[str]


def expand(preset: Preset, folder: Path, facts: Facts | None = None) -> Expanded:
    """Expand a preset; `folder` is the folder of its file, in which requirement files lie.

    An implicit layer `pytorch` holds the components in versions that were built for each other; an implicit layer
    `tensorrt` its wheels, unless the preset has a source of that name. Raises InputError for a requirement file
    that cannot be used.
    """
    facts = facts or load_facts()
    layers = []
    indexes = list(preset.indexes)
    if preset.pytorch:
        layers.append((PYTORCH, pytorch_requirements(preset, facts)))
        index = Index(name=PYTORCH, url=PYTORCH_INDEX.format(tag=preset.pytorch.tag))
        if preset.pytorch.tag and index.url not in [known.url.rstrip("/") for known in indexes]:
            indexes.append(index)
    if preset.tensorrt.enabled and not preset.source(TENSORRT):
        layers.append((TENSORRT, [tensorrt_requirement(preset, facts)]))
    layers += [(layer.name, layer_requirements(preset, folder, layer.name)) for layer in preset.layers]
    return Expanded(layers, indexes, list(preset.pins))


def pytorch_requirements(preset: Preset, facts: Facts) -> list[str]:
    """`torch==2.7.1+cu126` and its companions; a companion of an unknown torch is left to the resolver."""
    if not preset.pytorch:
        return []
    pair = facts.pair(preset.pytorch.version)
    versions = {"torch": preset.pytorch.release}
    if pair:
        versions |= {"torchvision": pair.torchvision, "torchaudio": pair.torchaudio}
    local = f"+{preset.pytorch.tag}" if preset.pytorch.tag else ""
    return [f"{name}=={versions[name]}{local}" if versions.get(name) else name for name in preset.pytorch.components]


def tensorrt_requirement(preset: Preset, facts: Facts) -> str:
    """The TensorRT wheel for the preset's CUDA: one package name for each CUDA major version since release 10."""
    version = Version(preset.tensorrt.version)
    cuda = wheel_cuda(preset, facts) or preset.cuda_of_base
    package = f"tensorrt-cu{cuda.partition('.')[0]}" if version.major >= 10 and cuda else "tensorrt"
    return f"{package}=={version.public}.*"


def wheel_cuda(preset: Preset, facts: Facts) -> str:
    """The CUDA version inside the preset's PyTorch wheels, `12.6`; empty for none or an unknown tag."""
    tag = wheel_tag(preset, facts)
    row = facts.wheel_tags.get(tag)
    return row.cuda if row else ""


def wheel_tag(preset: Preset, facts: Facts) -> str:
    """The PyTorch wheel tag: the one of the version, else that of the plain build; empty when neither is known."""
    if not preset.pytorch:
        return ""
    row = facts.torch_row(preset.pytorch.version)
    return preset.pytorch.tag or (row.default_tag if row else "")
