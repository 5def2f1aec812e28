"""The layers of a preset with their requirement files read: the implicit PyTorch and TensorRT layers, then its own."""

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
    """What a preset installs and from where."""

    layers: list[tuple[str, list[str]]]
    """Names and requirement lines, in build order."""

    indexes: list[Index]
    pins: list[str]
    """Limits for the packages of all layers."""

    direct_references: list[tuple[str, LayerReference]] = field(default_factory=list)
    """Requirements that no index has, each with the name of its layer."""

    hashes: dict[str, list[str]] = field(default_factory=dict)
    """Package to the SHA-256 values that its file may have."""


def expand_preset(preset: Preset, folder: Path, facts: Facts) -> ExpandedPreset:
    """Expand a preset. `folder` is where its requirement files are, `facts` are the site's tables.

    The implicit layer `pytorch` has the components in versions that were built for each other. The implicit layer
    `tensorrt` has its wheels, unless the preset has a source of that name. Raises InputError for a requirement file
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
