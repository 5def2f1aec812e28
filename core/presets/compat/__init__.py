"""Compatibility of CUDA, PyTorch, TensorRT, Python, drivers and GPUs, from tables with their sources."""

from core.presets.compat.checking import check, evaluate, site_facts, target_for
from core.presets.compat.choice_fit import RatedChoice, rate_choices
from core.presets.compat.choices import FIELD_CHOICES, Choices, choices
from core.presets.compat.facts import Facts, load_facts
from core.presets.compat.gpu_names import GpuModel, find_gpu
from core.presets.compat.image_packages import LockedPackage, Resolved
from core.presets.compat.machine import TargetMachine, host_target, named_target, nvml_gpu
from core.presets.compat.suggest import Suggestion, suggest

__all__ = [
    "FIELD_CHOICES",
    "Choices",
    "Facts",
    "GpuModel",
    "LockedPackage",
    "RatedChoice",
    "Resolved",
    "Suggestion",
    "TargetMachine",
    "check",
    "choices",
    "evaluate",
    "find_gpu",
    "host_target",
    "load_facts",
    "named_target",
    "nvml_gpu",
    "rate_choices",
    "site_facts",
    "suggest",
    "target_for",
]
