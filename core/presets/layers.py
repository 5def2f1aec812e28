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
    indexes = list(preset.indexes)
    if preset.pytorch:
        layers.append((PYTORCH, pytorch_requirements(preset, facts)))
        index = Index(name=PYTORCH, url=PYTORCH_INDEX.format(tag=preset.pytorch.tag))
        if preset.pytorch.tag and index.url not in [known.url.rstrip("/") for known in indexes]:
            indexes.append(index)
    own = [(layer.name, layer_requirements(preset, folder, layer.name)) for layer in preset.layers]
    if preset.tensorrt.enabled and not preset.source(TENSORRT):
        layers.append((TENSORRT, [tensorrt_requirement(preset, facts, own)]))
    layers += own
    return Expanded(layers, indexes, list(preset.pins))
