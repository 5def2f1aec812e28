"""What a piece of long work would do, as lines: shown before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.formatters import presets
from tui.formatters.cells import Line, Span, labelled_lines, line, wrap
from tui.formatters.numbers import size

if TYPE_CHECKING:
    from core.api_schema import CameraStatus
    from core.artifacts.lockfile import Lock
    from core.artifacts.sync_plan import SyncPlan
    from core.presets.model import Preset

LABEL_WIDTH = 12


def lock_preview(preset: Preset, old_lock: Lock | None, upgrade: bool, width: int) -> list[Line]:
    """What is looked up, and what is kept of the lock there is."""
    images = [preset.base_image, *([preset.runtime_base_image] if preset.runtime_base_image else [])]
    torch = preset.pytorch
    wheels = [*([f"torch {torch.version}"] if torch else []), *(layer.name for layer in preset.layers)]
    facts = [
        ("images", ", ".join(images)),
        ("Debian", ", ".join(preset.debs)),
        ("wheels", f"for Python {preset.python_version}: {', '.join(wheels)}" if wheels else ""),
        ("pins", ", ".join(preset.pins)),
        ("indexes", ", ".join(["the usual one", *(index.name for index in preset.indexes)])),
        ("sources", ", ".join(source.name for source in preset.sources)),
        ("models", ", ".join(model.name for model in preset.models)),
    ]
    out = wrap("Looked up over the network, down to each file's size and SHA-256; nothing is downloaded yet.", width)
    out.append(line())
    for name, words in facts:
        out += labelled_lines(name, words, LABEL_WIDTH, width) if words else []
    newest_text = "The newest versions allowed are taken."
    kept_text = "What is locked already is kept where it still fits."
    return [*out, line(), *wrap(newest_text if upgrade or old_lock is None else kept_text, width, "dim")]


def sync_preview(plan: SyncPlan, width: int) -> list[Line]:
    """The plan."""
    return presets.plan_lines(plan, width)


def verify_preview(old_lock: Lock, width: int) -> list[Line]:
    """How much is read."""
    total = size(sum(file.size for file in old_lock.files))
    return wrap(f"{len(old_lock.files)} files, {total}, are read in full and compared with their SHA-256.", width)


def build_preview(stages: Sequence[str], width: int) -> list[Line]:
    """The stages in their order."""
    out = wrap("With the network off, from the artifacts alone; unchanged stages come from the cache.", width)
    out += [line(), line(Span(f"{len(stages)} stages", "title")), *wrap(" → ".join(stages), width)]
    return [*out, line(), line(Span("✓ nothing is in the way", "ok"), Span("; models are read once more", "dim"))]


def learning_preview(camera: CameraStatus, minutes: float) -> str:
    """How many pictures a learning would see, as a sentence."""
    if not camera.processed_fps:
        return f"It decides no picture now ({camera.state.value}): there is nothing to learn from until it is live."
    pictures = int(camera.processed_fps * 60 * minutes)
    shape = f" of {camera.width}×{camera.height}" if camera.width else ""
    return f"At {camera.processed_fps:.3g} pictures{shape} a second, {minutes:g} minutes give about {pictures:,}."
