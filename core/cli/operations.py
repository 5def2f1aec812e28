"""`xaiva ops`: the operations in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.cli import output
from core.cli.follow import finish, print_result, watch
from core.cli.name_completion import complete, operations
from core.cli.session import CliSession, json_option
from core.cli.single_use_options import Group

if TYPE_CHECKING:
    from core.operations.model import Operation


@click.group("ops", cls=Group)
def ops_command() -> None:
    """Long work: it outlives the terminal that started it."""


@ops_command.command("list")
@click.option("--live", is_flag=True, help="Only what runs now.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many, newest first.")
@json_option
@click.pass_obj
def list_operations(session: CliSession, live: bool, limit: int, as_json: bool) -> None:
    """Operations, newest first."""
    from core.operations.outcome import summarize_outcome

    operations = session.ledger.list(limit, live_only=live)
    if as_json:
        output.print_json({"operations": operations})
        return
    output.print_table(
        ("ID", "STATE", "WHAT", "STARTED", "TOOK", "BY", "RESULT"),
        (
            (o.id, o.state.word, o.title(), _started(o), output.seconds(o.seconds), o.by, summarize_outcome(o))
            for o in operations
        ),
        "no operation runs: without --live those that are over are listed" if live else "no operation yet",
    )


def _started(operation: Operation) -> str:
    return output.moment(operation.started or operation.created)


@ops_command.command("show")
@click.argument("identifier", metavar="ID", type=int, shell_complete=complete(operations))
@json_option
@click.pass_obj
def show(session: CliSession, identifier: int, as_json: bool) -> None:
    """One operation: stages, history, outcome and where its log is."""
    operation = session.ledger.get(identifier)
    stages, events = session.ledger.stages(identifier), session.ledger.events(identifier)
    if as_json:
        output.print_json({"operation": operation, "stages": stages, "events": events})
        return
    print_result(operation)
    if operation.failure:
        output.print_text(f"  {operation.failure.error()}")
    for stage in stages:
        took = output.seconds(stage.ended - stage.started) if stage.ended and stage.started else ""
        output.print_line(f"  [{stage.state.word}] {stage.title} {took}".rstrip())
    for event in events:
        by = f" by {event.by}" if event.by else ""
        output.print_line(f"  {output.moment(event.time)} {event.what}{by}")
    click.echo(f"  log: {operation.log}")


@ops_command.command("follow")
@click.argument("identifier", metavar="ID", type=int, shell_complete=complete(operations))
@click.option("--offset", default=0, help="Go on at this offset of the log (from an earlier --json line).")
@json_option
@click.pass_obj
def follow(session: CliSession, identifier: int, offset: int, as_json: bool) -> None:
    """Watch an operation to its end. Ctrl-C stops watching; the operation goes on.

    With --json every change is one line: the operation, its stages, new log lines, and the offset to go on from.
    """
    try:
        if as_json:
            for update in session.ledger.follow(identifier, offset):
                output.print_json(update, one_line=True)
            return
        operation = watch(session, identifier, as_json=False)
    except KeyboardInterrupt:
        click.echo(f"it goes on; see it again with: xaiva ops follow {identifier}", err=True)
        return
    finish(session, operation, as_json=False)


@ops_command.command("cancel")
@click.argument("identifier", metavar="ID", type=int, shell_complete=complete(operations))
@json_option
@click.pass_obj
def cancel(session: CliSession, identifier: int, as_json: bool) -> None:
    """End an operation within a second; what is complete stays."""
    before = session.ledger.get(identifier)
    session.ledger.cancel(identifier)
    operation = session.ledger.wait(identifier, timeout=10)
    if as_json:
        output.print_json({"operation": operation})
    elif before.state.live:
        click.echo(f"{operation.title()}: {operation.state.value}")
    else:
        click.echo(f"{operation.title()} was over already: {operation.state.value}")


@ops_command.command("retry")
@click.argument("identifier", metavar="ID", type=int, shell_complete=complete(operations))
@json_option
@click.pass_obj
def retry(session: CliSession, identifier: int, as_json: bool) -> None:
    """Start an operation that failed, crashed or was cancelled once more; it goes on from what is complete."""
    operation = session.ledger.retry(identifier)
    if as_json:
        output.print_json({"operation": operation})
    else:
        click.echo(f"operation {identifier} has started again; follow it with: xaiva ops follow {identifier}")
