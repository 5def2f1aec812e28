"""The wheels that the fields `pytorch` and `tensorrt` stand for: requirements, tag, CUDA version."""

from __future__ import annotations

from packaging.version import Version

from core.presets.compat.facts import Facts
from core.presets.model import Preset


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
