"""Presets, their locks and their artifacts as rows and lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.artifacts.dependency_confusion import confusion_findings
from tui.present import findings as present_findings
from tui.present.cells import Cell, Column, Line, Span, fit, line, wrap
from tui.present.figures import bar, duration, size

if TYPE_CHECKING:
    from core.artifacts.lockfile import Lock
    from core.artifacts.sync_plan import SyncPlan
    from core.operations.model import Operation
    from core.presets.compat import Suggestion
    from core.presets.model import Preset
    from tui.sources import PresetView

COLUMNS = (
    Column("preset", minimum=20, weight=2),
    Column("checked", 12),
    Column("lock", 9),
    Column("base image", minimum=16, rank=1),
    Column("python", 6, rank=2),
)
ARTIFACT_COLUMNS = (
    Column("preset", minimum=20),
    Column("lock", 9),
    Column("files", 6, right=True),
    Column("size", 9, right=True),
    Column("busy", 10, rank=1),
)
LABEL = 12
SHORT_HASH = 12
FEW_LINES = 6  # of a difference, in a question


def lock_state(view: PresetView) -> Span:
    """Whether it is locked, for the preset as it is now, and as a whole: a build refuses less."""
    if view.lock is None:
        return (
            Span("✗ broken", "error")
            if any(finding.code == "lock" for finding in view.findings)
            else Span("none", "dim")
        )
    if view.stale:
        return Span("! changed", "warn")
    return Span("! partial", "warn") if view.lock.unlocked else Span("✓ locked", "ok")


def row(view: PresetView) -> tuple[Cell, ...]:
    """One preset in the list."""
    preset = view.entry.preset
    if preset is None:
        return (Span(view.entry.name, "title"), Span("✗ broken", "error"), "", "", "")
    return (
        Span(view.entry.name, "title"),
        present_findings.summary(view.findings),
        lock_state(view),
        Span(preset.base_image, "dim"),
        Span(preset.python_version, "dim"),
    )


def detail(view: PresetView, width: int) -> list[Line]:
    """What it is made of, and what is to be said against it."""
    preset = view.entry.preset
    if preset is None:
        error = view.entry.error
        assert error is not None
        out = [line(Span("This file cannot be used. The others are not affected.", "error")), line()]
        return out + wrap(error.why, width) + wrap(f"→ {error.remedy}", width, "accent", indent="  ")
    out = wrap(preset.metadata.description, width, "title") if preset.metadata.description else []
    out += _facts(_made_of(preset), width)
    target = view.target
    out += [line(), *wrap(f"checked for {target or 'no particular machine'}", width, "dim")]
    return out + present_findings.lines(view.findings, width)


def _made_of(preset: Preset) -> list[tuple[str, str]]:
    run = preset.run
    options = preset.build_options
    compiled = [
        f"{name} {version}"
        for name, version in (
            ("FFmpeg", options.ffmpeg_version),
            ("OpenCV", options.opencv_version),
            ("Xaiva Media", options.xaiva_media_branch),
        )
        if version
    ]
    torch = preset.pytorch
    return [
        ("base", preset.base_image),
        ("runtime", preset.runtime_base_image or ""),
        ("Python", preset.python_version),
        ("PyTorch", f"{torch.version}: {', '.join(torch.components)}" if torch else ""),
        ("TensorRT", preset.tensorrt.version if preset.tensorrt.enabled else ""),
        ("compiled", ", ".join(compiled)),
        ("layers", ", ".join(layer.name for layer in preset.layers)),
        ("pins", ", ".join(preset.pins)),
        ("models", ", ".join(model.name for model in preset.models)),
        ("ports", ", ".join(run.ports)),
        ("volumes", ", ".join(run.volumes)),
        ("GPUs", run.gpus),
    ]


def _facts(facts: Sequence[tuple[str, Cell]], width: int) -> list[Line]:
    return [(*fit(Span(name, "dim"), LABEL), *fit(value, max(width - LABEL, 1))) for name, value in facts if value]


def artifact_row(view: PresetView, busy: Operation | None) -> tuple[Cell, ...]:
    """One preset in the list of artifacts."""
    lock = view.lock
    files = "" if lock is None else str(len(lock.files))
    total = "" if lock is None else size(sum(file.size for file in lock.files))
    return (
        Span(view.entry.name, "title"),
        Span("✗ broken", "error") if view.entry.preset is None else lock_state(view),
        files,
        total,
        Span(f"▶ {busy.kind}", "accent") if busy else "",
    )


def artifacts(view: PresetView, plan: SyncPlan | None, why: str, width: int) -> list[Line]:
    """What is locked, what is there, what a sync would do. `why`: why there is no plan (yet)."""
    lock = view.lock
    broken = next((finding for finding in view.findings if finding.code == "lock"), None)
    if lock is None and broken:
        out = wrap(f"✗ {broken.what}: {broken.why}", width, "error")
        return out + wrap(f"→ {broken.remedy}", width, "accent", indent="  ")
    if lock is None:
        words = (
            "not locked yet: l names every file by size and SHA-256" if view.entry.preset else "the preset is broken"
        )
        return wrap(words, width, "dim")
    out = _facts(_locked(lock), width)
    if view.stale:
        out += [line(), *wrap("! the preset changed after it was locked: lock it again", width, "warn")]
    for missing in lock.unlocked:
        out += [line(), *wrap(f"! {missing.what}: {missing.why}", width, "warn")]
        out += wrap(f"→ {missing.remedy}", width, "accent", indent="  ")
    for finding in confusion_findings(view.entry.name, lock.shared):
        out += [line(), *wrap(f"! {finding.what}: {finding.why}", width, "warn")]
        out += wrap(f"→ {finding.remedy}", width, "accent", indent="  ")
    out += [line(), line(Span("Plan", "title"))]
    return out + (wrap(why, width, "dim") if plan is None else plan_lines(plan, width))


def _locked(lock: Lock) -> list[tuple[str, Cell]]:
    kinds: dict[str, list[int]] = {}
    for file in lock.files:
        kinds.setdefault(file.kind.value, []).append(file.size)
    parts = [(f"{kind}s", f"{len(sizes):5d} files  {size(sum(sizes)):>9}") for kind, sizes in sorted(kinds.items())]
    base = lock.base_image
    return [
        ("base", base.reference),
        ("digest", (base.manifest_digest or base.config_digest).removeprefix("sha256:")[:SHORT_HASH]),
        ("layers", ", ".join(layer.name for layer in lock.layers)),
        *parts,
    ]


def plan_lines(plan: SyncPlan, width: int) -> list[Line]:
    """What a sync would do."""
    share = plan.present_bytes / plan.bytes if plan.bytes else 1.0
    whole = plan.present_files == plan.files and not plan.corrupt and not plan.extra
    facts: list[tuple[str, Cell]] = [
        ("there", (*bar(share, 20, "ok" if whole else "accent"), Span(f" {plan.present_files} of {plan.files} files"))),
        ("to fetch", _amount(plan.fetch_files, plan.fetch_bytes)),
        ("resumed", size(plan.resumed_bytes) if plan.resumed_bytes else ""),
        ("to link", _amount(plan.link_files, plan.link_bytes)),
        ("to make", _amount(plan.make_files, plan.make_bytes)),
        ("about", duration(plan.seconds) if plan.seconds else ""),
        ("free", f"{size(plan.free_bytes)}, {size(plan.needed_bytes)} needed"),
    ]
    out = _facts(facts, width)
    if plan.free_bytes < plan.needed_bytes:
        out += wrap("✗ the disk is too small for this", width, "error")
    for title, names in (("corrupt", plan.corrupt), ("not of the lock", plan.extra)):
        if names:
            out += [line(), line(Span(f"{len(names)} {title}", "error"))]
            out += [fit(Span(f"  {name}"), width) for name in names[:20]]
    if whole and plan.unlocked:
        out += wrap("! all that is locked is there, but the lock lacks what stands above: no build", width, "warn")
    elif whole:
        out.append(line(Span("✓ complete", "ok"), Span("; v reads every byte to prove it", "dim")))
    return out


def _amount(files: int, count: int) -> str:
    return f"{files} {'file' if files == 1 else 'files'}, {size(count)}" if files else ""


def suggestions(found: Sequence[Suggestion], width: int) -> list[Line]:
    """What would work, newest first."""
    out: list[Line] = []
    for one in found:
        parts = [f"torch {one.torch}", f"Python {one.python}", f"TensorRT {one.tensorrt}" if one.tensorrt else ""]
        out += wrap(" · ".join(part for part in parts if part), width, "title")
        out += wrap(one.base_image, width)
        for reason in one.reasons:
            out += wrap(reason, width, "dim", indent="  ")
        out.append(line())
    return out[:-1]


def changed_lines(before: str, after: str) -> str:
    """The first changed lines, for a question."""
    changed = [span.text for (span, *_) in json_difference(before, after, "") if span.text[:1] in "+-"]
    more = len(changed) - FEW_LINES
    return "\n".join([*changed[:FEW_LINES], *([f"… and {more} more lines"] if more > 0 else [])])


def json_difference(before: str, after: str, name: str) -> list[Line]:
    """The changed lines of a preset file, with some around them; empty when nothing changed."""
    import difflib

    roles = {"+": "add", "-": "remove", "@": "dim"}
    found = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{name} saved", f"{name} now", lineterm="", n=2
    )
    return [line(Span(text, roles.get(text[:1], ""))) for text in list(found)[2:]]
