"""Previews of long work, shown before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.formatters import findings, presets
from tui.formatters.cells import Line, Span, labelled_lines, line, wrap
from tui.formatters.numbers import size

if TYPE_CHECKING:
    from core.api_schema import CameraStatus
    from core.artifacts.lockfile import Lock
    from core.artifacts.sync_plan import SyncPlan
    from core.clean.model import CleanPlan
    from core.presets.model import Preset
    from core.up.plan import UpPlan

LABEL_WIDTH = 12


def lock_preview(preset: Preset, old_lock: Lock | None, upgrade: bool, width: int) -> list[Line]:
    """What a lock looks up, and whether versions of the old lock are kept."""
    images = [preset.base_image, *([preset.runtime_base_image] if preset.runtime_base_image else [])]
    torch = preset.pytorch
    wheels = [*([f"torch {torch.version}"] if torch else []), *(layer.name for layer in preset.layers)]
    facts = [
        ("images", ", ".join(images)),
        ("Debian", ", ".join(preset.debs)),
        ("wheels", f"for Python {preset.python_version}: {', '.join(wheels)}" if wheels else ""),
        ("pins", ", ".join(preset.pins)),
        ("indexes", ", ".join(["default", *(index.name for index in preset.indexes)])),
        ("sources", ", ".join(source.name for source in preset.sources)),
        ("models", ", ".join(model.name for model in preset.models)),
    ]
    out = wrap("The lock looks up every file's size and SHA-256 over the network. It downloads nothing yet.", width)
    out.append(line())
    for name, words in facts:
        out += labelled_lines(name, words, LABEL_WIDTH, width) if words else []
    newest_text = "The lock takes the newest versions allowed."
    kept_text = "Versions that are already locked stay where they still fit."
    return [*out, line(), *wrap(newest_text if upgrade or old_lock is None else kept_text, width, "dim")]


def sync_preview(plan: SyncPlan, width: int) -> list[Line]:
    """What a sync would do."""
    return presets.plan_lines(plan, width)


def verify_preview(old_lock: Lock, width: int) -> list[Line]:
    total = size(sum(file.size for file in old_lock.files))
    return wrap(f"{len(old_lock.files)} files ({total}) are read in full and checked against their SHA-256.", width)


def build_preview(stages: Sequence[str], width: int) -> list[Line]:
    """The stages of a build in order."""
    out = wrap(
        "The build uses only the artifacts, without network access. Unchanged stages come from the cache.", width
    )
    out += [line(), line(Span(f"{len(stages)} stages", "title")), *wrap(" → ".join(stages), width)]
    return [*out, line(), line(Span("✓ ready to build", "ok"), Span("; models are verified again", "dim"))]


def up_preview(plan: UpPlan, width: int) -> list[Line]:
    """What each step of `up` would do or why it is skipped, and below it what would stop it."""
    out: list[Line] = []
    for step in plan.steps:
        out += labelled_lines(f"{'≡' if step.done else '○'} {step.name}", step.text, LABEL_WIDTH, width)
        out += findings.lines(step.findings, width) if step.findings else []
    return out


def clean_preview(plan: CleanPlan, width: int) -> list[Line]:
    """What a clean-up would remove, category by category; what could not be looked at; what stays."""
    sizes = "" if not plan.items else f": {size(plan.size)}"
    out = [line(Span(f"{len(plan.items)} to remove{sizes}", "title"))]
    for part in plan.unknown:
        text = f"? {part.category.value}: {part.why}" + (f" → {part.remedy}" if part.remedy else "")
        out += wrap(text, width, "warn", indent="  ")
    for item in plan.items:
        freed = "?" if item.size is None else size(item.size)
        out += labelled_lines(item.category.value, f"{freed}  {item.what}", LABEL_WIDTH, width)
        reasons = wrap(f"{item.why}; lost: {item.loss}", max(width - LABEL_WIDTH, 1), "dim")
        out += [(Span(" " * LABEL_WIDTH), *reason) for reason in reasons]
    out += [line(), line(Span("What stays", "title"))]
    for kept in plan.kept:
        out += wrap(f"{kept.what}: {kept.why}", width, "dim", indent="  ")
    return out


def learning_preview(camera: CameraStatus, minutes: float) -> str:
    """How many pictures learning would see, as a sentence."""
    if not camera.processed_fps:
        return f"The camera is {camera.state.value}: it cannot learn until it is live."
    pictures = int(camera.processed_fps * 60 * minutes)
    shape = f" of {camera.width}×{camera.height}" if camera.width else ""
    return f"At {camera.processed_fps:.3g} pictures{shape} per second, {minutes:g} minutes give about {pictures:,}."
