"""`xaiva up`: from a preset to a running container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.follow import operation_options, run_operation
from core.cli.session import CliSession, preset_argument
from core.cli.single_use_options import Command

if TYPE_CHECKING:
    from core.up.plan import UpPlan


@click.command("up", cls=Command)
@preset_argument
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--replace", is_flag=True, help="Replace the preset's container, even if it is running.")
@click.option("--create-folders", is_flag=True, help="Create missing volume folders.")
@operation_options
@click.pass_obj
def up_command(
    session: CliSession, preset: str, only_plan: bool, replace: bool, create_folders: bool, detach: bool, as_json: bool
) -> None:
    """Lock, sync, build and launch a preset in one operation. What is done already is skipped.

    Shows its plan first. When a step cannot work, nothing is started, and the exit code is 3. After a failure the same
    command continues where it stopped.
    """
    from core.up.plan import UpRequest, check_plan, plan_up

    options = {"replace": replace, "create_folders": create_folders}
    plan = plan_up(UpRequest(session.site, preset, **options))
    if not as_json:
        _print_plan(plan)
    elif only_plan:
        output.print_json({"preset": preset, "plan": plan})
        if plan.errors():
            raise click.exceptions.Exit(3)
        return
    check_plan(plan)
    if not only_plan:
        run_operation(session, "up", preset, options, detach=detach, as_json=as_json)


def _print_plan(plan: UpPlan) -> None:
    rows = (("done" if step.done else "to do", step.name, step.text) for step in plan.steps)
    for state, name, text in rows:
        output.print_line(f"{state:<7}{name:<8}{text}")
