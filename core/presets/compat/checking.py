"""Runs all checks of a preset for a machine. Returns the findings, worst first."""

from __future__ import annotations

import difflib
from pathlib import Path

from core.errors import InputError
from core.findings import Finding, Level
from core.presets.compat.check_context import build_context
from core.presets.compat.checks import CHECKS, CODES
from core.presets.compat.facts import OVERLAY, Facts, load_facts
from core.presets.compat.image_packages import Layers, Resolved
from core.presets.compat.layer_findings import UNNAMED_PRESET, layer_findings
from core.presets.compat.machine import TargetMachine, host_target, preset_target
from core.presets.model import MEDIA_SOURCE, MEDIA_VARIABLE, Preset
from core.presets.store import read_layer
from core.site import Site

_ORDER = {Level.ERROR: 0, Level.WARNING: 1, Level.NOTE: 2}


def check(
    preset: Preset,
    target: TargetMachine | None = None,
    *,
    site: Site | None = None,
    resolved: Resolved | None = None,
    name: str = UNNAMED_PRESET,
) -> list[Finding]:
    """Check the preset `name` for `target`; without one, for the machine that the preset names, else for this host.

    `site` provides the overlay of the tables (`docker/compat/`) and the requirement files of layers. `resolved` is the
    content of the preset's current lock.
    """
    facts = site_facts(site)
    layers, constraints, layer_problems = _layers(preset, site.presets if site else None, resolved, name)
    earlier_findings = [*layer_problems, *_media_source(preset, site)]
    constrained = preset.model_copy(update={"pins": [*preset.pins, *constraints]})
    return evaluate(constrained, layers, target or target_for(preset, facts), facts, earlier_findings, resolved)


def target_for(preset: Preset, facts: Facts | None = None) -> TargetMachine | None:
    """The machine that the preset names, else this host; None when neither has an NVIDIA GPU."""
    return preset_target(preset, facts) or host_target(facts)


def evaluate(
    preset: Preset,
    layers: Layers,
    target: TargetMachine | None,
    facts: Facts,
    earlier_findings: list[Finding] | None = None,
    resolved: Resolved | None = None,
) -> list[Finding]:
    """Run the checks without reading files: `layers` are names with requirement lines."""
    context = build_context(preset, layers, facts, target, resolved)
    findings = [*(earlier_findings or []), *_overlay_problems(facts)]
    for run_check in CHECKS:
        findings += run_check(context)
    findings = [*(_apply_override(finding, preset) for finding in findings), *_unknown_overrides(preset)]
    return sorted(findings, key=lambda finding: _ORDER[finding.level])


def site_facts(site: Site | None) -> Facts:
    """The tables, with the overlay of a site."""
    return load_facts(site.docker / OVERLAY if site else None)


def _layers(
    preset: Preset, folder: Path | None, resolved: Resolved | None, name: str
) -> tuple[list[tuple[str, list[str]]], list[str], list[Finding]]:
    """The layers with their requirements, the constraints in their files, and findings about the files."""
    layers, constraints, findings = [], [], []
    for layer in preset.layers:
        try:
            content = read_layer(preset, folder, layer.name)
        except InputError as problem:
            findings.append(
                Finding.error("preset-layers", problem.what, problem.why, problem.remedy, f"layers: {layer.name}")
            )
            continue
        references = [entry.reference.requirement for entry in content.direct_references if entry.reference.name]
        layers.append((layer.name, [*content.requirements, *references]))
        constraints += content.constraints
        findings += layer_findings(preset, layer.name, content, resolved, name)
    return layers, constraints, findings


def _media_source(preset: Preset, site: Site | None) -> list[Finding]:
    """Xaiva Media has no public releases, unlike FFmpeg and OpenCV: its source tree must be on this machine."""
    branch = preset.build_options.xaiva_media_branch
    if not branch or preset.source(MEDIA_SOURCE):
        return []
    folder = site.env.get(MEDIA_VARIABLE, "") if site else ""
    if site and folder and (site.root / Path(folder).expanduser()).exists():
        return []
    why = f"{MEDIA_VARIABLE} names {folder}, which does not exist" if folder else f"{MEDIA_VARIABLE} is not set"
    remedy = f"set {MEDIA_VARIABLE} in .env to a checkout of it, or add a source named {MEDIA_SOURCE} to the preset"
    what = f"the location of the Xaiva Media source ({branch}) is not set"
    return [Finding.warning("media-source", what, why, remedy, "build_options.xaiva_media_branch")]


def _overlay_problems(facts: Facts) -> list[Finding]:
    return [
        Finding.warning("overlay-unusable", str(problem.path), problem.what, problem.remedy, str(problem.path))
        for problem in facts.problems
    ]


def _apply_override(finding: Finding, preset: Preset) -> Finding:
    """Turn a finding that the preset's overrides accept into a note."""
    if finding.code not in preset.overrides or finding.level is Level.NOTE:
        return finding
    why = f"{finding.why} (accepted by `overrides`)".strip()
    return finding.model_copy(update={"level": Level.NOTE, "why": why})


def _unknown_overrides(preset: Preset) -> list[Finding]:
    findings = []
    for code in preset.overrides:
        if code not in CODES:
            close = difflib.get_close_matches(code, CODES, n=1)
            remedy = f'did you mean "{close[0]}"?' if close else "copy the code that the check shows"
            what = f"no check gives the code {code}"
            findings.append(Finding.warning("override-unknown", what, "the override does nothing", remedy, "overrides"))
    return findings
