"""The first steps as rows, and what is said about one of them."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import XaivaError
from core.first_steps.steps import Step, StepState
from core.install_commands import InstallAdvice
from tui.formatters.cells import Cell, Span

STATE_SPANS: Mapping[StepState, Span] = {
    StepState.DONE: Span("✓ done", "ok"),
    StepState.NEXT: Span("→ next", "accent"),
    StepState.WAITING: Span("· waiting", "dim"),
    StepState.RUNNING: Span("▶ running", "accent"),
    StepState.FAILED: Span("✗ failed", "error"),
    StepState.UNKNOWN: Span("? unknown", "stale"),
}
DOES = {  # what Enter does for a step that is open or done
    "engine": "shows what it needs",
    "preset": "chooses the preset",
    "lock": "locks",
    "sync": "syncs",
    "build": "builds",
    "launch": "launches",
    "camera": "adds a camera",
}


def row(step: Step, key: str) -> tuple[Cell, ...]:
    """Title, state, how far it is, and the key that does it."""
    text = Span(step.what, "dim" if step.state in (StepState.WAITING, StepState.DONE) else "")
    return step.title, STATE_SPANS[step.state], text, Span(key, "key")


def enter_text(step: Step) -> str:
    """What Enter does on the step."""
    if step.operation:
        return f"Enter opens operation {step.operation}"
    if step.state is StepState.UNKNOWN and step.name != "engine":
        return "Enter says why"
    if step.state is StepState.FAILED:
        return "Enter opens the container" if step.name == "launch" else "Enter opens the preset"
    return f"Enter {DOES[step.name]}"


def engine_text(error: XaivaError, advice: InstallAdvice | None) -> str:
    """Why no engine answers, and the exact commands that install one here."""
    parts = [error.summary]
    if error.remedy and advice is None:  # the advice says more than the remedy
        parts.append(f"→ {error.remedy}")
    if advice is not None and advice.commands:
        parts.append("\n".join([f"→ {advice.text}:", *advice.commands]))
    elif advice is not None:
        parts.append(advice.text)
    return "\n\n".join(parts)
