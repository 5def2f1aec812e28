"""Which preset the first steps follow: the one that was chosen or used last, else the best for this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from packaging.version import Version

from core.artifacts.lock_store import LOCK_NAME, artifacts_folder
from core.findings import Level, has_errors
from core.first_steps.state import StepsState, read_state, write_state
from core.operations.model import Operation
from core.presets.compat import TargetMachine, check
from core.presets.compat.machine import preset_target
from core.presets.model import Preset
from core.presets.store import PresetEntry, load_named
from core.site import Site

FOLLOWED_KINDS = ("lock", "sync", "build", "load", "up")  # operations that bring a preset a step further


def choose_preset(site: Site, name: str) -> None:
    """Let the steps follow this preset.

    Raises InputError when the site has no such preset or it cannot be used, XaivaError when that cannot be kept.
    """
    load_named(site, name)
    write_state(site, read_state(site).model_copy(update={"preset": name, "chosen": time.time()}))


def chosen_or_used(names: Sequence[str], state: StepsState, operations: Sequence[Operation]) -> tuple[str, str]:
    """The preset that was chosen last, or that an operation has worked on since, and why; empty without one."""
    used = next((one for one in operations if one.kind in FOLLOWED_KINDS and one.subject in names), None)
    if state.preset in names and (used is None or state.chosen >= used.created):
        return state.preset, "you chose it"
    return (used.subject, f"operation {used.id} worked on it last") if used else ("", "")


@dataclass(frozen=True)
class Suggested:
    """The preset that fits this machine best, "" when none does, and why."""

    name: str
    reason: str


def suggest_preset(site: Site, entries: Sequence[PresetEntry], machine: TargetMachine | None) -> Suggested:
    """The best of the site's presets for this machine; `machine` is None without an NVIDIA driver.

    A preset with an error for the machine does not fit, nor does one that needs a GPU where there is none. Of the
    others the first is one with the inference service; then one that is locked already, which alone works offline; then
    one that uses the GPU, and is meant for such a GPU; then the one with the fewest warnings, with the fewest layers,
    and with the newest PyTorch.
    """
    machine_text = str(machine) if machine else "this machine without an NVIDIA GPU"
    ranked: list[tuple[tuple[object, ...], str]] = []
    for place, entry in enumerate(entries):
        preset = entry.preset
        if preset is None or (needs_gpu(preset) and machine is None):
            continue
        findings = check(preset, machine, site=site, name=entry.name)
        if not has_errors(findings):
            rank = (
                not preset.inference_service,  # the steps lead to a live camera
                not (artifacts_folder(site, entry.name) / LOCK_NAME).is_file(),
                machine is not None and not needs_gpu(preset),
                machine is not None and not _is_meant_for(preset, machine),
                sum(finding.level is Level.WARNING for finding in findings),
                len(preset.layers),
                [-number for number in Version(preset.pytorch.version).release] if preset.pytorch else [0],
                place,
            )
            ranked.append((rank, entry.name))
    if ranked:
        return Suggested(min(ranked)[1], f"it fits {machine_text}")
    if not entries:
        return Suggested("", "this site has no preset yet")
    return Suggested("", f"none of the site's presets fits {machine_text}")


def _is_meant_for(preset: Preset, machine: TargetMachine) -> bool:
    """Whether the preset names a GPU of the same architecture as the machine's."""
    target = preset_target(preset)
    return target is not None and {gpu.sm for gpu in target.gpus} >= {gpu.sm for gpu in machine.gpus}


def needs_gpu(preset: Preset) -> bool:
    """Whether containers of the preset need an NVIDIA GPU."""
    return bool(preset.run.gpus) or "cuda" in preset.base_image
