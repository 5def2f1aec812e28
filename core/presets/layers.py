"""The layers of a preset with their files read: the implicit ones of PyTorch and TensorRT, then its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.presets.compat.facts import Facts
from core.presets.compat.wheels import pytorch_requirements, tensorrt_requirement
from core.presets.model import Index, Preset
from core.presets.store import layer_requirements

PYTORCH = "pytorch"
TENSORRT = "tensorrt"
PYTORCH_INDEX = "https://download.pytorch.org/whl/{tag}"
# What only PyTorch's index has with that tag. It also holds old copies of much that the default index has newer (numpy,
# pillow, requests), and NVIDIA's libraries, which the default index has in the same versions: none of that is bound.
PYTORCH_PACKAGES = ["torch", "torchvision", "torchaudio", "pytorch-triton*"]


@dataclass(frozen=True)
class Expanded:
    """Layers in build order with their requirement lines, the indexes to ask, and the pins that hold for all."""

    layers: list[tuple[str, list[str]]]
    indexes: list[Index]
    pins: list[str]


def expand(preset: Preset, folder: Path, facts: Facts) -> Expanded:
    """Expand a preset; `folder` is the folder of its file, in which requirement files lie, `facts` the site's tables.

    An implicit layer `pytorch` holds the components in versions that were built for each other; an implicit layer
    `tensorrt` its wheels, unless the preset has a source of that name. Raises InputError for a requirement file
    that cannot be used.
    """
    layers = []
    if preset.pytorch:
        layers.append((PYTORCH, pytorch_requirements(preset, facts)))
    own = [(layer.name, layer_requirements(preset, folder, layer.name)) for layer in preset.layers]
    if preset.tensorrt.enabled and not preset.source(TENSORRT):
        layers.append((TENSORRT, [tensorrt_requirement(preset, facts, own)]))
    layers += own
    return Expanded(layers, _indexes(preset), list(preset.pins))


def _indexes(preset: Preset) -> list[Index]:
    """The preset's indexes and the one that its PyTorch comes from: PyTorch's own, or the preset's index in its place,
    which has the same address or is named `pytorch` (a mirror)."""
    tag = preset.pytorch.tag if preset.pytorch else ""
    if not tag:
        return list(preset.indexes)
    implicit = Index(name=PYTORCH, url=PYTORCH_INDEX.format(tag=tag), packages=PYTORCH_PACKAGES)
    taken = [index for index in preset.indexes if index.name == PYTORCH or index.url.rstrip("/") == implicit.url]
    if not taken:
        return [*preset.indexes, implicit]
    bound = {"packages": PYTORCH_PACKAGES}
    return [
        index.model_copy(update=bound) if index in taken and not index.packages else index for index in preset.indexes
    ]
