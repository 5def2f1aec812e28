"""Presets, their locks and their artifacts as rows and lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.artifacts.dependency_confusion import confusion_findings
from tui.formatters import findings as finding_format
from tui.formatters.cells import Cell, Column, Line, Span, fit, line, wrap
from tui.formatters.numbers import bar, duration, size

if TYPE_CHECKING:
    from core.artifacts.lockfile import Lock
    from core.artifacts.sync_plan import SyncPlan
    from core.operations.model import Operation
    from core.presets.compat import Suggestion
    from core.presets.model import Preset
    from tui.sources import PresetView

COLUMNS = (
    Column("preset", minimum=20, weight=2, sort=lambda view: view.entry.name),
    Column("checked", 12, sort=lambda view: finding_format.severity(view.findings) if view.entry.preset else -1),
    Column("lock", 9, sort=lambda view: lock_state_span(view).text.lstrip("✓✗! ")),
    Column("base image", minimum=16, rank=1, sort=lambda view: view.entry.preset and view.entry.preset.base_image),
    Column("python", 6, rank=2, sort=lambda view: view.entry.preset and view.entry.preset.python_version),
)
ARTIFACT_COLUMNS = (  # sorted by a preset and the operation that holds it
    Column("preset", minimum=20, sort=lambda item: item[0].entry.name),
    Column("lock", 9, sort=lambda item: lock_state_span(item[0]).text.lstrip("✓✗! ")),
    Column("files", 6, right=True, sort=lambda item: item[0].lock and len(item[0].lock.files)),
    Column("size", 9, right=True, sort=lambda item: item[0].lock and _bytes_of(item[0].lock)),
    Column("busy", 10, rank=1, sort=lambda item: item[1] and item[1].kind),
)
LABEL_WIDTH = 12
SHORT_HASH_LENGTH = 12
MAX_CHANGED_LINES = 6  # of a difference shown in a question


def lock_state_span(view: PresetView) -> Span:
    """Whether the lock is complete and matches the preset; a build needs both."""
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
        finding_format.summary(view.findings),
        lock_state_span(view),
        Span(preset.base_image, "dim"),
        Span(preset.python_version, "dim"),
    )


def detail(view: PresetView, width: int) -> list[Line]:
    """What the preset contains, and its findings."""
    preset = view.entry.preset
    if preset is None:
        error = view.entry.error
        assert error is not None
        out = [line(Span("This file has errors. Other presets are not affected.", "error")), line()]
        return out + wrap(error.why, width) + wrap(f"→ {error.remedy}", width, "accent", indent="  ")
    out = wrap(preset.metadata.description, width, "title") if preset.metadata.description else []
    out += _fact_lines(_preset_facts(preset), width)
    target = view.target
    out += [line(), *wrap(f"checked for {target or 'any machine'}", width, "dim")]
    return out + finding_format.lines(view.findings, width)


def _preset_facts(preset: Preset) -> list[tuple[str, str]]:
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


def _fact_lines(facts: Sequence[tuple[str, Cell]], width: int) -> list[Line]:
    return [
        (*fit(Span(name, "dim"), LABEL_WIDTH), *fit(value, max(width - LABEL_WIDTH, 1)))
        for name, value in facts
        if value
    ]


def artifact_row(view: PresetView, operation: Operation | None) -> tuple[Cell, ...]:
    """One preset in the list of artifacts."""
    lock = view.lock
    files = "" if lock is None else str(len(lock.files))
    total = "" if lock is None else size(_bytes_of(lock))
    return (
        Span(view.entry.name, "title"),
        Span("✗ broken", "error") if view.entry.preset is None else lock_state_span(view),
        files,
        total,
        Span(f"▶ {operation.kind}", "accent") if operation else "",
    )


def _bytes_of(lock: Lock) -> int:
    return sum(file.size for file in lock.files)


def artifact_lines(view: PresetView, plan: SyncPlan | None, no_plan_reason: str, width: int) -> list[Line]:
    """The lock, the files on disk, and what a sync would do. `no_plan_reason` is shown while there is no plan."""
    lock = view.lock
    broken_lock = next((finding for finding in view.findings if finding.code == "lock"), None)
    if lock is None and broken_lock:
        out = wrap(f"✗ {broken_lock.summary}", width, "error")
        return out + wrap(f"→ {broken_lock.remedy}", width, "accent", indent="  ")
    if lock is None:
        words = "not locked yet: press l to lock it" if view.entry.preset else "the preset has errors"
        return wrap(words, width, "dim")
    out = _fact_lines(_lock_facts(lock), width)
    if view.stale:
        out += [line(), *wrap("! the preset changed after it was locked: lock it again (l)", width, "warn")]
    for missing in lock.unlocked:
        out += [line(), *wrap(f"! {missing.summary}", width, "warn")]
        out += wrap(f"→ {missing.remedy}", width, "accent", indent="  ")
    for finding in confusion_findings(view.entry.name, lock.shared):
        out += [line(), *wrap(f"! {finding.summary}", width, "warn")]
        out += wrap(f"→ {finding.remedy}", width, "accent", indent="  ")
    out += [line(), line(Span("Plan", "title"))]
    return out + (wrap(no_plan_reason, width, "dim") if plan is None else plan_lines(plan, width))


def _lock_facts(lock: Lock) -> list[tuple[str, Cell]]:
    kinds: dict[str, list[int]] = {}
    for file in lock.files:
        kinds.setdefault(file.kind.value, []).append(file.size)
    parts = [(f"{kind}s", f"{len(sizes):5d} files  {size(sum(sizes)):>9}") for kind, sizes in sorted(kinds.items())]
    base = lock.base_image
    return [
        ("base", base.reference),
        ("digest", (base.manifest_digest or base.config_digest).removeprefix("sha256:")[:SHORT_HASH_LENGTH]),
        ("layers", ", ".join(layer.name for layer in lock.layers)),
        *parts,
    ]


def plan_lines(plan: SyncPlan, width: int) -> list[Line]:
    share = plan.present_bytes / plan.bytes if plan.bytes else 1.0
    is_complete = plan.present_files == plan.files and not plan.corrupt and not plan.extra
    facts: list[tuple[str, Cell]] = [
        (
            "present",
            (*bar(share, 20, "ok" if is_complete else "accent"), Span(f" {plan.present_files} of {plan.files} files")),
        ),
        ("to fetch", _files_text(plan.fetch_files, plan.fetch_bytes)),
        ("resumed", size(plan.resumed_bytes) if plan.resumed_bytes else ""),
        ("to link", _files_text(plan.link_files, plan.link_bytes)),
        ("to build", _files_text(plan.make_files, plan.make_bytes)),
        ("estimate", duration(plan.seconds) if plan.seconds else ""),
        ("free", f"{size(plan.free_bytes)}, {size(plan.needed_bytes)} needed"),
    ]
    out = _fact_lines(facts, width)
    if plan.free_bytes < plan.needed_bytes:
        out += wrap("✗ not enough free disk space", width, "error")
    for title, names in (("corrupt", plan.corrupt), ("not in the lock", plan.extra)):
        if names:
            out += [line(), line(Span(f"{len(names)} {title}", "error"))]
            out += [fit(Span(f"  {name}"), width) for name in names[:20]]
    if is_complete and plan.unlocked:
        out += wrap(
            "! every locked file is there, but the lock is incomplete: no build yet",
            width,
            "warn",
        )
    elif is_complete:
        out.append(line(Span("✓ complete", "ok"), Span("; press v to verify every byte", "dim")))
    return out


def _files_text(files: int, count: int) -> str:
    return f"{files} {'file' if files == 1 else 'files'}, {size(count)}" if files else ""


def suggestion_lines(suggestions: Sequence[Suggestion], width: int) -> list[Line]:
    out: list[Line] = []
    for suggestion in suggestions:
        parts = [
            f"torch {suggestion.torch}",
            f"Python {suggestion.python}",
            f"TensorRT {suggestion.tensorrt}" if suggestion.tensorrt else "",
        ]
        out += wrap(" · ".join(part for part in parts if part), width, "title")
        out += wrap(suggestion.base_image, width)
        for reason in suggestion.reasons:
            out += wrap(reason, width, "dim", indent="  ")
        out.append(line())
    return out[:-1]


def changed_text(old_text: str, new_text: str) -> str:
    """The first changed lines, for a question."""
    changed = [span.text for (span, *_) in json_difference(old_text, new_text, "") if span.text[:1] in "+-"]
    hidden = len(changed) - MAX_CHANGED_LINES
    return "\n".join([*changed[:MAX_CHANGED_LINES], *([f"… and {hidden} more lines"] if hidden > 0 else [])])


def json_difference(old_text: str, new_text: str, name: str) -> list[Line]:
    """The changed lines of a preset file with some context; empty when nothing changed."""
    import difflib

    roles = {"+": "add", "-": "remove", "@": "dim"}
    diff = difflib.unified_diff(
        old_text.splitlines(), new_text.splitlines(), f"{name} saved", f"{name} now", lineterm="", n=2
    )
    return [line(Span(text, roles.get(text[:1], ""))) for text in list(diff)[2:]]
