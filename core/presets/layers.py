"""The layers of a preset with their files read: the implicit ones of PyTorch and TensorRT, then its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.presets.compat.facts import Facts
from core.presets.compat.pytorch_wheels import pytorch_requirements, tensorrt_requirement
from core.presets.index_entries import PYTORCH, indexes_of
from core.presets.index_entries import PYTORCH_INDEX as PYTORCH_INDEX
from core.presets.index_entries import PYTORCH_PACKAGES as PYTORCH_PACKAGES
from core.presets.layer_file import LayerReference
from core.presets.model import Index, Preset
from core.presets.store import read_layer

TENSORRT = "tensorrt"


@dataclass(frozen=True)
class ExpandedPreset:
    """Layers in build order with their requirement lines, the indexes to ask, and the pins that hold for all.

    `direct_references` are those that no index has, each with its layer; `hashes` the SHA-256 that a package may have.
    """

    layers: list[tuple[str, list[str]]]
    indexes: list[Index]
    pins: list[str]
    direct_references: list[tuple[str, LayerReference]] = field(default_factory=list)
    hashes: dict[str, list[str]] = field(default_factory=dict)


def expand_preset(preset: Preset, folder: Path, facts: Facts) -> ExpandedPreset:
    """Expand a preset; `folder` is the folder of its file, in which requirement files lie, `facts` the site's tables.

    An implicit layer `pytorch` holds the components in versions that were built for each other; an implicit layer
    `tensorrt` its wheels, unless the preset has a source of that name. Raises InputError for a requirement file
    that cannot be used.
    """
    layers = []
    if preset.pytorch:
        layers.append((PYTORCH, pytorch_requirements(preset, facts)))
    files = [(layer.name, read_layer(preset, folder, layer.name)) for layer in preset.layers]
    own_layers = [(name, file.requirements) for name, file in files]
    if preset.tensorrt.enabled and not preset.source(TENSORRT):
        layers.append((TENSORRT, [tensorrt_requirement(preset, facts, own_layers)]))
    layers += own_layers
    pins = [*preset.pins, *(line for _, file in files for line in file.constraints)]
    references = [(name, entry) for name, file in files for entry in file.direct_references]
    hashes: dict[str, list[str]] = {}
    for _, file in files:
        for package, allowed in file.hashes.items():
            hashes.setdefault(package, []).extend(allowed)
    return ExpandedPreset(layers, indexes_of(preset), pins, references, hashes)
