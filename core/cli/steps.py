"""`xaiva steps`: the way from a bare machine to a live camera, and how far this site has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.session import CliSession, PresetName, json_option
from core.cli.single_use_options import Command

if TYPE_CHECKING:
    from core.first_steps.steps import Step

MARKS = {"done": "✓", "next": "→", "waiting": "·", "running": "▶", "failed": "✗", "unknown": "?"}


@click.command("steps", cls=Command)
@click.option("--preset", type=PresetName(), help="Follow this preset from now on.")
@json_option
@click.pass_obj
def steps_command(session: CliSession, preset: str | None, as_json: bool) -> None:
    """Show the first steps of a site: engine, preset, lock, sync, build, launch, camera; and how to do the next one."""
    from core.first_steps.choice import choose_preset
    from core.first_steps.steps import UP_STEPS, first_steps
    from core.first_steps.survey import survey

    if preset is not None:
        choose_preset(session.site, preset)
    facts = survey(session.site)
    steps = first_steps(facts)
    if as_json:
        output.print_json({"steps": steps})
        return
    for step in steps:
        _print_step(step)
    if any(step.name in UP_STEPS and step.state.value == "next" for step in steps) and facts.preset.value is not None:
        click.echo(f"\nall up to the launch at once: xaiva up {facts.preset.value.name} --create-folders")


def _print_step(step: Step) -> None:
    output.print_line(f"{MARKS[step.state.value]} {step.title:<8}{step.state.value:<9}{step.what}")
    if step.state.value in ("done", "waiting"):
        return
    for text in (step.detail, f"→ {step.remedy}" if step.remedy else "", *step.commands):
        if text:
            output.print_text("    " + text.replace("\n", "\n    "))
