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
    """Long-running operations. They continue when the terminal that started them closes."""


@ops_command.command("list")
@click.option("--live", is_flag=True, help="Only operations that are running.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many, newest first.")
@json_option
@click.pass_obj
def list_operations(session: CliSession, live: bool, limit: int, as_json: bool) -> None:
    """List operations, newest first."""
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
        "no operation is running; leave out --live to list finished ones" if live else "no operations yet",
    )


def _started(operation: Operation) -> str:
    return output.moment(operation.started or operation.created)


@ops_command.command("show")
@click.argument("identifier", metavar="ID", type=int, shell_complete=complete(operations))
@json_option
@click.pass_obj
def show(session: CliSession, identifier: int, as_json: bool) -> None:
    """Show an operation: its stages, history, outcome and log file."""
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
@click.option("--offset", default=0, help="Continue at this offset of the log (from an earlier --json line).")
@json_option
@click.pass_obj
def follow(session: CliSession, identifier: int, offset: int, as_json: bool) -> None:
    """Watch an operation until it ends. Ctrl-C stops watching; the operation continues.

    With --json, each change is one line: the operation, its stages, new log lines, and the offset to continue from.
    """
    try:
        if as_json:
            for update in session.ledger.follow(identifier, offset):
                output.print_json(update, one_line=True)
            return
        operation = watch(session, identifier, as_json=False)
    except KeyboardInterrupt:
        click.echo(f"the operation continues; watch it again with: xaiva ops follow {identifier}", err=True)
        return
    finish(session, operation, as_json=False)


@ops_command.command("cancel")
@click.argument("identifier", metavar="ID", type=int, shell_complete=complete(operations))
@json_option
@click.pass_obj
def cancel(session: CliSession, identifier: int, as_json: bool) -> None:
    """Cancel an operation within a second. Completed files stay."""
    before = session.ledger.get(identifier)
    session.ledger.cancel(identifier)
    operation = session.ledger.wait(identifier, timeout=10)
    if as_json:
        output.print_json({"operation": operation})
    elif before.state.live:
        click.echo(f"{operation.title()}: {operation.state.value}")
    else:
        click.echo(f"{operation.title()} had already ended: {operation.state.value}")


@ops_command.command("retry")
@click.argument("identifier", metavar="ID", type=int, shell_complete=complete(operations))
@json_option
@click.pass_obj
def retry(session: CliSession, identifier: int, as_json: bool) -> None:
    """Retry an operation that failed, crashed or was cancelled. It reuses what is already complete."""
    operation = session.ledger.retry(identifier)
    if as_json:
        output.print_json({"operation": operation})
    else:
        click.echo(f"operation {identifier} has started again; follow it with: xaiva ops follow {identifier}")
