"""`xaiva console`: the console that was installed from a medium, and the way back from an update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.session import CliSession, confirm, json_option, yes_option
from core.cli.single_use_options import Group

if TYPE_CHECKING:
    from core.carry.console_backup import Loss


@click.group("console", cls=Group)
def console_command() -> None:
    """The console of a site that was installed from a medium. Each new medium updates it."""


@console_command.command("list")
@json_option
@click.pass_obj
def list_command(session: CliSession, as_json: bool) -> None:
    """List the installed releases, and which one `back` leads to."""
    from core.carry.console_update import list_releases

    releases = list_releases(session.site)
    if as_json:
        output.print_json({"releases": releases})
        return
    output.print_table(
        ("RELEASE", "INSTALLED", "STATE"),
        ((r.name, output.moment(r.installed.timestamp()), _state(r.current, r.way_back)) for r in releases),
    )


def _state(current: bool, way_back: bool) -> str:
    return "in use" if current else "the way back" if way_back else ""


@console_command.command("back")
@yes_option
@json_option
@click.pass_obj
def back(session: CliSession, yes: bool, as_json: bool) -> None:
    """Go back to the release before the last update, with the ledger and the database of that time.

    What was recorded since then is lost there, and named before you confirm. A backup keeps it: going back once more
    leads to it.
    """
    from core.carry.console_backup import backup_folder
    from core.carry.console_update import go_back, plan_way_back

    plan = plan_way_back(session.site)
    if not yes:
        for loss in plan.losses:
            output.print_line(f"lost: {_loss(loss)}", err=True)
    confirm(
        f"Go back from {plan.current} to {plan.release}, as of {output.moment(plan.backup.created.timestamp())}?", yes
    )
    replaced = backup_folder(session.site, go_back(session.site, session.ledger, plan))
    if as_json:
        output.print_json(
            {"release": plan.release, "previous": plan.current, "losses": plan.losses, "backup": replaced}
        )
        return
    output.print_line(f"the console is {plan.release} now, as of {output.moment(plan.backup.created.timestamp())}")
    for loss in plan.losses:
        output.print_line(f"  lost: {_loss(loss)}")
    output.print_line(f"  what was there until now is kept in {replaced}; the same command leads back to it")


def _loss(loss: Loss) -> str:
    count = "an unknown number" if loss.rows is None else str(loss.rows)
    if loss.table == "events":
        return f"{count} of events, and every change of cameras, users and rules since then, of {loss.path}"
    return f"{count} of operations, of {loss.path}"
