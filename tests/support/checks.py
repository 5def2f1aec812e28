"""The compatibility check of a preset in a few words: its fields, its machine and its lock."""

from __future__ import annotations

from typing import Any

from core.findings import Finding
from core.presets.compat import LockedPackage, Resolved, check, named_target
from core.presets.compat.checks import CODES
from core.presets.model import Preset, Target

PASCAL = "GTX 1050"
DRIVER = "580.65.06"

Fields = dict[str, Any] | list[str]


def preset_of(fields: Fields) -> Preset:
    """A preset for Ubuntu 22.04 with Python 3.10; a list is the requirements of one layer named `speech`."""
    fields = {"layers": fields} if isinstance(fields, list) else dict(fields)
    layers = fields.pop("layers", [])
    if layers and isinstance(layers[0], str):
        layers = [{"name": "speech", "requirements": layers}]
    return Preset.model_validate({"base_image": "ubuntu:22.04", "python_version": "3.10", **fields, "layers": layers})


def locked(*packages: str, complete: bool = True, os_release: str = "ubuntu 22.04") -> Resolved:
    """What a lock holds: `torch==2.8.0`, …, all in the layer speech."""
    pairs = (package.split("==") for package in packages)
    return Resolved(
        tuple(LockedPackage(name, version, "speech") for name, version in pairs), os_release, complete=complete
    )


def check_fields(
    fields: Fields, gpu: str = PASCAL, driver: str = DRIVER, resolved: Resolved | None = None
) -> list[Finding]:
    """The findings for a preset on a machine; each code is one that `overrides` may name."""
    findings = check(preset_of(fields), named_target([gpu] if gpu else [], driver), resolved=resolved)
    assert {finding.code for finding in findings} <= set(CODES)
    return findings


def cuda_preset(torch: str, **fields: object) -> Preset:
    """A preset with a PyTorch for CUDA, for Ubuntu 24.04 with Python 3.12."""
    base = {"base_image": "ubuntu:24.04", "python_version": "3.12", "pytorch": {"version": torch}}
    return Preset.model_validate({**base, **fields})


def findings_with(preset: Preset, code: str, target: Target) -> list[Finding]:
    """The findings of one code for a preset on a target."""
    return [found for found in check(preset.model_copy(update={"target": target})) if found.code == code]
