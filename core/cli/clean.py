"""`xaiva clean`: what takes space and is no longer needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.follow import run_operation
from core.cli.session import CliSession, confirm, json_option, yes_option
from core.cli.single_use_options import Command

if TYPE_CHECKING:
    from core.clean.model import CleanPlan

# The values of core.clean.model.Category, which would be slow to import for `--help`; a test compares them.
CATEGORIES = ("artifacts", "images", "cache", "containers", "builds", "operations", "leftovers", "clips")


@click.command("clean", cls=Command)
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--only", type=click.Choice(CATEGORIES), multiple=True, help="Only this category; may be repeated.")
@yes_option
@json_option
@click.pass_obj
def clean_command(session: CliSession, only_plan: bool, only: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Show what takes space and is no longer needed, then ask, then remove it.

    What a preset, a container, an operation in progress or a way back needs is never listed. The exit code is 3 when
    something could not be removed.
    """
    from core.clean.holds import KEY, KIND
    from core.clean.model import Category
    from core.clean.plan import plan_clean

    session.ledger.list(live_only=True)  # notices operations that have crashed, so that they hold nothing any more
    plan = plan_clean(session.site).only(Category(name) for name in only)
    if as_json and only_plan:
        output.print_json({"plan": plan, "bytes": plan.size})
        return
    if not as_json:
        _print_plan(plan)
    if only_plan or not plan.items:
        if as_json:
            output.print_json({"plan": plan, "bytes": plan.size})
        return
    confirm(f"Remove {_count(plan)}, {output.size(plan.size)}?", yes)
    options = {"items": [item.id for item in plan.items]}
    run_operation(session, KIND, "site", options, detach=False, as_json=as_json, key=KEY)


def _print_plan(plan: CleanPlan) -> None:
    for item in plan.kept:
        output.print_line(f"stays    {item.what}: {item.why}")
    for part in plan.unknown:
        output.print_line(f"unknown  {part.category.value}: {part.why}" + (f"; {part.remedy}" if part.remedy else ""))
    if plan.kept or plan.unknown:
        click.echo()
    rows = (
        (item.category.value, "?" if item.size is None else output.size(item.size), item.what, item.why, item.loss)
        for item in plan.items
    )
    nothing = "nothing can go" if not plan.unknown else "nothing can go, as far as is known"
    output.print_table(("CATEGORY", "SIZE", "WHAT", "WHY", "WHAT IS LOST"), rows, nothing)
    if plan.items:
        click.echo(f"{_count(plan)}, {output.size(plan.size)}" + _unmeasured(plan))


def _count(plan: CleanPlan) -> str:
    return f"{len(plan.items)} item{'' if len(plan.items) == 1 else 's'}"


def _unmeasured(plan: CleanPlan) -> str:
    number = sum(item.size is None for item in plan.items)
    return f", and {number} of unknown size" if number else ""
